"""SQLite files of the workspace: whether one can be used, asked without the libraries that would wait for it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from stsflow.tasks.ground.errors import PreconditionError

AT_WORK = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
"""Somebody else is writing: no fault of the database."""


def code_of(error: BaseException) -> int | None:
    """SQLite's primary result code that an error of its module stands for; None where it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def fault_of(path: Path, *, thorough: bool = False) -> str:
    """Why the database at `path` cannot be used, in SQLite's words; empty when it can, or is not there yet.

    Looks at the head of the file, or with `thorough` at all of it.
    """
    if not path.exists():
        return ""
    question = "PRAGMA quick_check(1)" if thorough else "SELECT count(*) FROM sqlite_master"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            answer = str(connection.execute(question).fetchone()[0])
    except sqlite3.Error as error:
        return "" if code_of(error) in AT_WORK and not thorough else str(error)
    return answer if thorough and answer != "ok" else ""


def require_usable(path: Path) -> None:
    """Raise PreconditionError when the database at `path` is there and cannot be used."""
    if fault := fault_of(path):
        raise PreconditionError(
            f"the database {path} cannot be used: {fault}; restore a backup "
            "(python -m stsflow.flows.ops.backup restore), or move the file away: the runs on disk stay, and a new "
            "database begins without them"
        )
