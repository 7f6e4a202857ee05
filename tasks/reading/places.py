"""Which files a recipe's `paths` mean, and that none of them lies outside the folder they belong in.

With `data.root` (which defaults to the recipe's folder) every path, absolute or relative, must end up inside that
folder after `..` and symbolic links are followed. Without a root, as when a file is named on the command line,
relative paths start from the working directory and must stay inside it, and absolute paths are free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.formats import format_of, is_text
from stsflow.tasks.reading.rows import cut

WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Place:
    """One local file that a recipe reads."""

    entry: str
    """The entry of `paths` that named it."""
    shown: str
    """The file for messages and records: relative to the root where there is one."""
    path: Path


def resolve_entry(entry: str, root: Path | None) -> list[Place]:
    """The files that a path, folder or glob means, globs and folders in sorted order.

    Raises `DataError` when there is no such file, when a folder or glob gives none, and when a path leads out.
    """
    try:
        return _resolved(entry, root)
    except OSError as error:  # a name beyond what the file system takes, a folder that may not be entered
        raise DataError(f"{cut(entry)}: this path cannot be followed ({error.strerror}).") from None
    except (ValueError, RuntimeError) as error:  # a pattern with **x, a null character; links that form a circle
        raise DataError(f"{cut(entry)}: this path cannot be followed ({error}).") from None


def _resolved(entry: str, root: Path | None) -> list[Place]:
    base = (root or Path.cwd()).resolve()
    free = root is None and Path(entry).is_absolute()
    if not base.is_dir():
        raise DataError(f"data.root: there is no folder {base}.")
    start = Path(entry) if Path(entry).is_absolute() else base / entry
    if not free:
        _inside(Path(_plain_part(start)), base, entry)
    if WILDCARDS & set(entry) and not start.exists():
        found = sorted(path for path in _glob(start) if path.is_file())
        nothing = f"{entry}: no file matches this pattern below {base}."
    elif start.is_dir():
        found = sorted(path for path in start.iterdir() if path.is_file() and format_of(path.name))
        nothing = f"{entry}: the folder holds no tsv, csv, json, jsonl or parquet file."
    else:
        found, nothing = [start], ""
        if start.exists() and not start.is_file():
            raise DataError(f"{entry}: this is a pipe, a socket or a device; rows are read from files.")
        if not start.is_file():
            raise DataError(f"{entry}: there is no such file{_neighbours(start)}.")
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise DataError(nothing)
    if not free:
        for path in found:
            _inside(path, base, entry)
    for path in found:
        if not is_text(str(path)):
            raise DataError(f"{entry}: the file's name {path.name!a} is not UTF-8: give it another.")
    return [Place(entry, _shown(path, base), path.resolve()) for path in found]


def _inside(path: Path, base: Path, entry: str) -> None:
    resolved = path.resolve()
    if not resolved.is_relative_to(base):
        raise DataError(
            f"{entry}: the path leads to {resolved}, outside of data.root ({base}). Sources stay inside that folder: "
            "set `data.root` to one that holds the data."
        )


def _plain_part(path: Path) -> str:
    """The path up to its first part with a wildcard."""
    parts: list[str] = []
    for part in path.parts:
        if WILDCARDS & set(part):
            break
        parts.append(part)
    return str(Path(*parts))


def _glob(pattern: Path) -> list[Path]:
    plain = Path(_plain_part(pattern))
    if any("**" in part and part != "**" for part in pattern.parts):  # Python 3.13 would read it as one `*`
        raise ValueError("** stands for folders and is a whole part of a path")
    return list(plain.glob(str(pattern.relative_to(plain))))


def _shown(path: Path, base: Path) -> str:
    for candidate in (path, path.resolve()):
        if candidate.is_relative_to(base):
            return candidate.relative_to(base).as_posix()
    return str(path)


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (there is no folder {path.parent} either)"
    names = sorted(one.name for one in path.parent.iterdir() if format_of(one.name))
    return f"; {path.parent} has: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}" if names else ""
