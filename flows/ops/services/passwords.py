"""The one user and password of both servers. They travel in environments of processes and in files that only the owner
can read; never in arguments, configuration files, records or logs.

Loopback is open to every user of a machine, and whoever may call the Prefect API may start programs as its owner. So
there is a password by default: `up` makes one and keeps it in the workspace, where every command of that workspace
finds it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.workspace import Workspace

AUTH_VARIABLE = "STSFLOW_AUTH"
"""`user:password` of both servers."""
DATABASE_PASSWORD_VARIABLE = "PGPASSWORD"
"""Password of the PostgreSQL user: libpq (MLflow) and asyncpg (Prefect) both read this name."""
MINIMUM_PASSWORD_LENGTH = 12  # MLflow refuses shorter ones for its admin user
DEFAULT_USER = "stsflow"
PASSWORD_FILE = "password"
"""Name of the file in the workspace's folder of services that holds `user:password` where none was given."""


@dataclass(frozen=True)
class Auth:
    """User and password; the password stays out of `repr`."""

    user: str
    password: str = field(repr=False)

    @property
    def pair(self) -> str:
        """`user:password`, as Prefect wants it."""
        return f"{self.user}:{self.password}"


def read_auth(auth_file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Auth | None:
    """User and password from `auth_file` (its first line) or from STSFLOW_AUTH; None when neither is given.

    Raises PreconditionError when the file is missing or readable by others, or when the text is not
    `user:password` with a password of at least 12 characters.
    """
    if auth_file is not None:
        origin = f"the file {auth_file}"
        text = _private_text(auth_file)
    else:
        origin = f"the environment variable {AUTH_VARIABLE}"
        text = environment.get(AUTH_VARIABLE, "")
        if not text:
            return None
    user, colon, password = text.strip().partition(":")
    # Anything else would arrive differently at the two servers: one takes ASCII alone in the header of a request.
    plain = user.isascii() and password.isascii() and (user + password).isprintable()
    if not colon or not user or not plain or len(password) < MINIMUM_PASSWORD_LENGTH:
        raise PreconditionError(
            f"{origin} must hold `user:password` in printable ASCII, with a password of at least "
            f"{MINIMUM_PASSWORD_LENGTH} characters."
        )
    return Auth(user, password)


def own_password_file(workspace: Workspace) -> Path:
    """The workspace's own file of `user:password`, made with a random password where it is missing (mode 600)."""
    path = workspace.services / PASSWORD_FILE
    if not path.exists():
        write_text_atomically(path, f"{DEFAULT_USER}:{secrets.token_urlsafe(24)}\n")
    return path


def client_environment(auth: Auth | None) -> dict[str, str]:
    """What a client of the two servers needs in its environment to be let in."""
    if auth is None:
        return {}
    return {
        "PREFECT_API_AUTH_STRING": auth.pair,
        "MLFLOW_TRACKING_USERNAME": auth.user,
        "MLFLOW_TRACKING_PASSWORD": auth.password,
    }


def _private_text(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PreconditionError(f"the password file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise PreconditionError(f"the password file {path} is not text in UTF-8.") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PreconditionError(f"the password file {path} can be read by others; run `chmod 600 {path}`.")
    return text.partition("\n")[0]
