"""What the machine does to a command - a full disk, a folder that cannot be written, a broken database - in a sentence.

These come from wherever something is written, our own code or a library, so they are told here, once, where a command
ends. Whatever this does not know is a defect and keeps its traceback.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from stsflow.tasks.ground.errors import DiskFull, PreconditionError, StsflowError, causes
from stsflow.tasks.ground.no_room import DISK_FULL
from stsflow.tasks.ground.sqlite import code_of
from stsflow.tasks.ground.workspace import Workspace

NOT_OURS_TO_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EIO)
BROKEN = (
    sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
)  # fmt: skip
NO_ROOM = 2**20
"""Bytes below which a disk counts as full: SQLite and Prefect then answer in many words, none of which says so."""


def in_a_sentence(error: BaseException, workspace: Workspace) -> StsflowError | None:
    """The error of the family that says what the machine did, or None when that is not why the command failed."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in DISK_FULL:
            return disk_full(workspace, f"{cause.filename or 'a file'} could not be written")
        if isinstance(cause, OSError) and cause.errno in NOT_OURS_TO_WRITE and _is_inside(cause.filename, workspace):
            return PreconditionError(
                f"{cause.filename} cannot be used: {cause.strerror}; what lies in the workspace must be yours to write"
            )
        if code_of(cause) == sqlite3.SQLITE_FULL:
            return disk_full(workspace, "a database could not be written")
        if code_of(cause) in BROKEN:
            return PreconditionError(
                f"a database in {workspace.root} cannot be used: {cause}; `stsflow doctor` says which; restore a "
                "backup (python -m stsflow.flows.ops.backup restore), or move the file away and run again"
            )
    if _free(workspace.root) < NO_ROOM:
        return disk_full(workspace, str(error).strip().partition("\n")[0][:300] or type(error).__name__)
    return None


def disk_full(workspace: Workspace, what: str) -> DiskFull:
    """The error that says so, and what to do."""
    return DiskFull(
        f"the disk of {workspace.root} is full: {what}; what was done is kept: make room, and the same command goes on"
    )


def _is_inside(name: object, workspace: Workspace) -> bool:
    return isinstance(name, str) and Path(name).absolute().is_relative_to(workspace.root)


def _free(place: Path) -> int:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return NO_ROOM
