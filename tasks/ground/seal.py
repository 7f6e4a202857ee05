"""A folder that knows its files: name, size and SHA-256 of each, so that what changed on the disk is not used."""

from __future__ import annotations

import json
from pathlib import Path

from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.fingerprint import sha256_of_file

SEAL = "seal.json"


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
