"""supervisord for one workspace: its configuration, its start, and what it answers.

supervisord is an ordinary dependency from the package index. It listens on a Unix socket that only the owner can open;
its configuration holds no secret, because the services inherit what they need from its environment.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from stsflow.flows.ops.services.settings import Services
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.workspace import Workspace

LONGEST_SOCKET_PATH = 90  # the system's limit is 107 bytes, and supervisord adds its process id while it starts


def socket_path(workspace: Workspace) -> Path:
    """The control socket: beside the logs, or in the temporary folder when that path is too long for a socket."""
    beside = workspace.services / "supervisor.sock"
    if len(os.fsencode(beside)) <= LONGEST_SOCKET_PATH:
        return beside
    short = hashlib.sha256(os.fsencode(workspace.root)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"stsflow-{os.getuid()}-{short}" / "supervisor.sock"


def write_configuration(workspace: Workspace, services: Services) -> Path:
    """Write supervisord's configuration for `services`; return its path."""
    folder = workspace.services
    control = socket_path(workspace)
    for path in (folder, control, services.directory, Path(sys.executable)):
        _require_plain(path)
    control.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if control.parent.stat().st_uid != os.getuid():
        raise PreconditionError(
            f"the folder {control.parent} belongs to another user; set TMPDIR to a folder of yours."
        )
    sections = [
        f"[unix_http_server]\nfile={control}\nchmod=0600",
        f"[supervisord]\nlogfile={folder}/supervisord.log\npidfile={folder}/supervisord.pid\n"
        f"childlogdir={folder}\nlogfile_maxbytes=5MB\nlogfile_backups=1\numask=077\nidentifier=stsflow",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for rank, name in enumerate(services.programs):
        sections.append(
            f"[program:{name}]\n"
            f'command="{sys.executable}" -m stsflow.flows.ops.services.launch {name}\n'
            f"directory={services.directory}\n"
            f"priority={100 + rank}\n"  # stopped in reverse: workers before the servers that they talk to
            f"autorestart=true\nstartsecs=3\nstartretries=3\n"
            f"stopsignal=TERM\nstopwaitsecs=30\nstopasgroup=true\nkillasgroup=true\n"
            f"redirect_stderr=true\nstdout_logfile={folder}/{name}.log\n"
            f"stdout_logfile_maxbytes=20MB\nstdout_logfile_backups=2"
        )
    return write_text_atomically(workspace.services / "supervisord.conf", "\n\n".join(sections) + "\n")


def _require_plain(path: Path) -> None:
    """Raise PreconditionError where the manager's file would not hold the path as it is.

    A line break begins another setting, a program to run among them; ` ;` begins a comment; a quote ends the command's;
    a `%` is expanded twice in names of log files, so that no escape survives.
    """
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PreconditionError(f"the path {text!r} is not UTF-8, which the process manager cannot handle.") from None
    found = next((one for one in ("%", '"', " ;") if one in text), None)
    if found is None and not text.isprintable():
        found = repr(next(character for character in text if not character.isprintable()))
    if found is not None:
        raise PreconditionError(f"the path {text!r} holds a `{found}`, which the process manager cannot handle.")


def start(workspace: Workspace, configuration: Path, secrets: Mapping[str, str]) -> None:
    """Start supervisord in the background with `secrets` in its environment; return when its socket is there."""
    environment = os.environ | secrets | {
        "STSFLOW_WORKSPACE": str(workspace.root),
        "PYTHONSAFEPATH": "1",  # packages of the current folder shadow none
    }  # fmt: skip
    socket_path(workspace).unlink(missing_ok=True)
    started = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(configuration)],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if started.returncode != 0:
        lines = (started.stderr or started.stdout).strip().splitlines() or ["no message"]
        reason = next((line for line in lines if line.startswith("Error")), lines[-1])
        raise PreconditionError(f"the process manager did not start: {reason}")


def ask(workspace: Workspace) -> Any:
    """supervisord's own interface (XML-RPC over the socket), or None when none answers."""
    control = socket_path(workspace)
    if not control.exists():
        return None
    proxy = xmlrpc.client.ServerProxy(
        "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{control}")
    )
    try:
        proxy.supervisor.getPID()
    except (OSError, HTTPException, xmlrpc.client.Error):
        return None
    return proxy.supervisor


def states(supervisor: Any) -> dict[str, str]:
    """State of each program, such as STARTING, RUNNING, BACKOFF, FATAL."""
    return {str(entry["name"]): str(entry["statename"]) for entry in supervisor.getAllProcessInfo()}


def pids(supervisor: Any) -> dict[str, int]:
    """Process id of each program; 0 while it has none."""
    return {str(entry["name"]): int(entry["pid"]) for entry in supervisor.getAllProcessInfo()}
