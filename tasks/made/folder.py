"""Find or make: a folder that its key determines is found whole, or made under a lease, sealed and put in place.

Nobody meets half a folder: it is made beside its place and renamed. It knows its files, name, size and SHA-256 of each,
so that what changed on the disk since is not used but made again.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from stsflow.tasks.ground.files import folder_made_whole, write_text_atomically
from stsflow.tasks.ground.fingerprint import sha256_of_file
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)
RECORD = "record.json"
SEAL = "seal.json"


def find_or_make(
    workspace: Workspace, kind: str, key: str, record: type[R], make: Callable[[Path], R], *, what: str,
    fresh: bool = False,
) -> R:  # fmt: skip
    """The record of the folder `workspace.made(kind, key)`, which `make` fills when it is not there whole.

    `make` gets an empty folder and returns the record, whose paths inside of that folder become those of the final
    place. What it raises leaves nothing behind. `fresh` makes again what is there. While another process makes the
    same, this one waits for it. `what` is made, for people: "the prepared data".
    """
    found = find_or_make_all(
        workspace, kind, [key], record, lambda folders: {key: make(folders[key])}, what=what, fresh=fresh
    )
    return found[key]


def find_or_make_all(
    workspace: Workspace, kind: str, keys: Iterable[str], record: type[R],
    make: Callable[[Mapping[str, Path]], Mapping[str, R]], *, what: str, fresh: bool = False,
) -> dict[str, R]:  # fmt: skip
    """`find_or_make` for several keys; `make` gets the folders of all that are missing, by key, and fills them at once.

    All appear, or none.
    """
    places = {key: workspace.made(kind, key) for key in keys}
    with ExitStack() as leases:
        for key in sorted(places):  # in one order, so that two processes never wait for each other
            leases.enter_context(held(workspace, kind, key, what))
        there = {} if fresh else {key: whole(place, record, what) for key, place in places.items()}
        found = {key: one for key, one in there.items() if one is not None}
        missing = [key for key in places if key not in found]
        if missing:
            with ExitStack() as making:
                for key in missing:
                    _sweep(places[key])
                targets = {key: making.enter_context(folder_made_whole(places[key])) for key in missing}
                for key, made in make(targets).items():
                    found[key] = with_paths(made, targets[key], places[key])
                    found[key].write(targets[key] / RECORD)
                    seal(targets[key])
                for key in missing:
                    shutil.rmtree(places[key], ignore_errors=True)
    return {key: found[key] for key in places}


def _sweep(place: Path) -> None:
    """Delete what a process that was killed had made of this folder: nobody else is at it while the lease is held."""
    for left in place.parent.glob(f".{place.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def held(workspace: Workspace, kind: str, key: str, what: str) -> Iterator[None]:
    """Hold the lease of what this key determines: one process at a time makes it. Says once whom it waits for."""
    path = workspace.lease(f"{kind}-{key[:24]}")
    with lease(path, on_wait=lambda who: logger.info("waiting for %s: %s", what, who)):
        yield


def whole(folder: Path, record: type[R], what: str) -> R | None:
    """The record of a folder that is there as it was sealed; None when it has to be made, with a word in the log when
    it was there and is damaged.
    """
    if not folder.is_dir():
        return None
    if wrong := what_is_wrong(folder):
        logger.warning("%s in %s: made again, as %s", what, folder, wrong)
        return None
    return record.load_or_none(folder / RECORD)


def with_paths(value: Any, old: Path, new: Path) -> Any:
    """The record with every path below the folder `old` as it is below `new`."""
    if isinstance(value, Path):
        return new / value.relative_to(old) if value.is_relative_to(old) else value
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return value.model_copy(update={name: with_paths(getattr(value, name), old, new) for name in names})
    if isinstance(value, dict):
        return {name: with_paths(part, old, new) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(with_paths(part, old, new) for part in value)
    return value


def seal(folder: Path, **more: object) -> Path:
    """Write the seal of `folder`, with every file that is in it; `more` stands in it too. Return the seal's path."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / SEAL
    }
    return write_text_atomically(folder / SEAL, json.dumps({**more, "files": files}, indent=1) + "\n")


def what_is_wrong(folder: Path) -> str:
    """Why the folder cannot be used, in words; empty when every file is what the seal says."""
    try:
        files = {
            str(name): (int(expected["bytes"]), str(expected["sha256"]))
            for name, expected in json.loads((folder / SEAL).read_text(encoding="utf-8"))["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "it has no readable seal"
    for name, (size, digest) in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes, sealed with {size}"
        if sha256_of_file(path) != digest:
            return f"{name} is not what was sealed (SHA-256 differs)"
    return ""
