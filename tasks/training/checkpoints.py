"""Checkpoints that are whole or not there: staged, sealed with a manifest of digests, renamed into place.

`checkpoint-<step>/seal.json` names every file with its size and SHA-256 and is written last. A checkpoint counts only
when its seal is there and holds; otherwise the one before it is used.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from stsflow.tasks.made.folder import seal as write_seal
from stsflow.tasks.made.folder import what_is_wrong

_NAME = re.compile(r"^checkpoint-(\d+)$")


def checkpoint_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of `step` lies."""
    return checkpoints / f"checkpoint-{step}"


def staging_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it is sealed."""
    return checkpoints / f".staging-{step}"


def seal(staged: Path, place: Path, step: int) -> Path:
    """Seal the folder `staged`, rename it to `place`, return that; an older folder of that name is replaced.

    Everything is on the disk (fsync) before the rename, so that a power cut cannot leave a sealed shell.
    """
    for path in staged.rglob("*"):
        if path.is_file():
            _sync(path)
    write_seal(staged, step=step)
    _sync(staged)
    if place.exists():
        shutil.rmtree(place)
    staged.rename(place)
    _sync(place.parent)
    return place


def steps_of(checkpoints: Path) -> list[int]:
    """Steps that have a checkpoint folder, whole or not, ascending."""
    if not checkpoints.is_dir():
        return []
    names = (_NAME.match(path.name) for path in checkpoints.iterdir() if path.is_dir())
    return sorted(int(match.group(1)) for match in names if match)


def last_whole(checkpoints: Path) -> tuple[Path | None, list[str]]:
    """The latest checkpoint whose seal holds (None: none does), and a sentence on each later one passed over."""
    passed_over: list[str] = []
    for step in reversed(steps_of(checkpoints)):
        folder = checkpoint_folder(checkpoints, step)
        wrong = what_is_wrong(folder)
        if not wrong:
            return folder, passed_over
        passed_over.append(f"checkpoint of step {step} is not used: {wrong}")
    return None, passed_over


def prune(checkpoints: Path, keep: int, best: int | None) -> None:
    """Delete all checkpoints but the one of step `best` and the latest `keep` others."""
    others = [step for step in steps_of(checkpoints) if step != best]
    for step in others[:-keep] if keep else others:
        shutil.rmtree(checkpoint_folder(checkpoints, step))


def drop_unfinished(checkpoints: Path) -> None:
    """Delete what a killed attempt was still staging."""
    for path in checkpoints.glob(".staging-*"):
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
