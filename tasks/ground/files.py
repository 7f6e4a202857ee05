"""Files that appear whole or not at all, with permissions that keep other users out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text_atomically(path: Path, text: str) -> Path:
    """Write UTF-8 `text` to `path` through a temporary neighbour and a rename; return `path`."""
    return write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, content: bytes) -> Path:
    """Write `content` to `path` so that a reader, or a kill, never meets half of it; return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@contextmanager
def folder_made_whole(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour to fill; rename it to `path` when the block ends well, delete it when it does not.

    When `path` already exists at the end (another process was first), the new folder is dropped: names that use this
    are derived from their content, so both are the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def links_that_leave(folder: Path) -> list[Path]:
    """Symbolic links below `folder` whose target lies outside of it.

    A snapshot in the cache of the Hugging Face hub holds links into the `blobs` of its repository: those belong to it.
    """
    real = folder.resolve()
    inside, repository = [real], real.parent.parent
    if real.parent.name == "snapshots" and repository.name.startswith("models--"):
        inside.append(repository / "blobs")
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() and not any(Path(os.path.realpath(path)).is_relative_to(place) for place in inside)
    ]


def link_or_copy(source: Path, target: Path) -> Path:
    """Make the file or folder `source` appear at `target` too: hard links where the disk allows it, else copies."""

    def place(origin: str, destination: str) -> str:
        try:
            os.link(origin, destination)
        except OSError:
            shutil.copy2(origin, destination)
        return destination

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=place, dirs_exist_ok=True)
    else:
        target.unlink(missing_ok=True)
        place(str(source), str(target))
    return target
