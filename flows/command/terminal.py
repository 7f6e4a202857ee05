"""What the command line prints where: results on standard output, everything else on standard error.

Logging and the embedded servers are configured through the environment, so this runs before Prefect is imported.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal

from rich.console import Console
from rich.logging import RichHandler

from stsflow.flows.ops.configured_prefect import names_a_prefect_server
from stsflow.flows.ops.loopback import reach_loopback_directly
from stsflow.tasks.ground.errors import PreconditionError, StsflowError
from stsflow.tasks.ground.workspace import Workspace

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)
ROOM_FOR_RECORDS = 64 * 2**20
"""Bytes for logs, run records and the two SQLite stores of one run."""


def prepare_process(*, verbose: bool = False, use_services: bool = True, writes: bool = True) -> None:
    """Log our own lines to standard error, keep Prefect's to warnings, and choose the servers of this process.

    Those are the services that `stsflow up` keeps in the workspace, else the embedded ones. What the user has set in
    the environment, or in the active Prefect profile, stays. Unless the command only looks (`writes` is false), the
    workspace is made; raises PreconditionError when that cannot be. Whatever this process and its children write is for
    its user alone.
    """
    workspace = Workspace.here()
    os.umask(0o077)
    reach_loopback_directly()
    if writes:
        workspace.make()
    os.environ.setdefault("STSFLOW_WORKSPACE", str(workspace.root))
    own_server = names_a_prefect_server()
    if use_services and (workspace.services / "services.json").is_file():
        from stsflow.flows.ops import services

        services.connect(workspace, prefect=not own_server)
    if not own_server:
        os.environ.setdefault("PREFECT_HOME", str(workspace.prefect_home))
        if writes:
            workspace.prefect_home.mkdir(exist_ok=True)
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # 20 s, the default, is short on a busy laptop
        # A slot's lease must outlive the embedded server, which ends with its process; kept in memory it would not, and
        # the slot of a killed run would never come free.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # Waits 2, 4, 8 … seconds between tries: a server may be away for some eight minutes. The default is one.
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "stsflow",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO" if verbose else "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    handler = RichHandler(console=ERR, show_path=False, show_level=verbose, log_time_format="%H:%M:%S", markup=False)
    logger = logging.getLogger("stsflow")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
    for name in ("task_runs", "flow_runs", "engine", "task_engine", "flow_engine"):
        logging.getLogger(f"prefect.{name}").addFilter(_without_traceback)


def require_room(workspace: Workspace) -> None:
    """Raise PreconditionError when the disk has no room even for the records: both embedded stores would fail on it."""
    free = shutil.disk_usage(workspace.root).free
    if free < ROOM_FOR_RECORDS:
        raise PreconditionError(
            f"the disk of {workspace.root} has {free / 2**20:.0f} MiB free; a run needs {ROOM_FOR_RECORDS / 2**20:.0f} "
            "MiB for its records alone; make room there, or set STSFLOW_WORKSPACE to a folder on another disk"
        )


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that the trainer is ended and the record says cancelled."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Errors that we raise on purpose are sentences; their traceback helps nobody."""
    if record.exc_info and isinstance(record.exc_info[1], StsflowError):
        record.exc_info = None
    return True
