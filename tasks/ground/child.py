"""Run a module of this project in a child process that can be watched, stopped, and never outlives its parent.

The parent calls `run_child`; the module calls `guard` first thing. A pipe connects them: the parent holds its writing
end open, and when that closes, because the parent ended in whatever way, the child ends its own process group. The
child runs in a session of its own, so that one signal reaches everything it started.

Only the standard library is used: the same file works on a bare GPU machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GUARD_VARIABLE = "STSFLOW_GUARD_FD"
END_WITH_PARENT = "STSFLOW_END_WITH_PARENT"
"""Set where a launcher between us and the child keeps no pipe open; the kernel's signal has to do then."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Left over from a launcher above us, these would make a single trainer believe that it is one of several.
LAUNCHER_VARIABLES = (
    "LOCAL_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK",
)  # fmt: skip
# A child that trains needs no way to speak for us; what it does not have it cannot leak.
TRACKER_VARIABLES = (
    "MLFLOW_RUN_ID", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code (negative: minus the signal), why we stopped it (if we did), seconds it ran."""

    code: int
    stopped: str | None
    seconds: float
    lost: str = ""
    """Of a child on another host: why it was ended with its parent, such as that the host is gone."""


def run_child(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    on_tick: Callable[[], str | None] = lambda: None,
    tick_seconds: float = 0.5,
    grace_seconds: float = 10.0,
) -> Ended:
    """Run `command`, its output appended to the file `log`, until it ends; return how it ended.

    `on_tick` is called about every `tick_seconds`; a sentence that it returns stops the child (SIGTERM to the whole
    group, SIGKILL after `grace_seconds`) and comes back as `Ended.stopped`. Any exception, KeyboardInterrupt and a
    cancelled task among them, stops the child before it goes on.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    started = time.monotonic()
    inherited = {k: v for k, v in os.environ.items() if k not in LAUNCHER_VARIABLES + TRACKER_VARIABLES}
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                pass_fds=(reading,), env=inherited | dict(environment or {}) | {GUARD_VARIABLE: str(reading)},
            )  # fmt: skip
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    stopped: str | None = None
    try:
        while True:
            try:
                code = process.wait(timeout=tick_seconds)
                on_tick()
                return Ended(code, stopped, time.monotonic() - started)
            except subprocess.TimeoutExpired:
                stopped = on_tick()
                if stopped is not None:
                    return Ended(end_group(process, grace_seconds), stopped, time.monotonic() - started)
    finally:
        end_group(process, grace_seconds)
        os.close(writing)


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` with this interpreter; packages of the current folder shadow none (`-P`)."""
    return [sys.executable, "-P", "-m", module, *arguments]


def end_group(process: subprocess.Popen[bytes], grace_seconds: float) -> int:
    """End the child's whole process group: SIGTERM, then SIGKILL; return the child's exit code. Safe to repeat."""
    for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            _signal_group(process.pid, number)
            try:
                process.wait(timeout=patience)
            except subprocess.TimeoutExpired:
                continue
        break
    _signal_group(process.pid, signal.SIGKILL)  # what the child started and left behind
    return process.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def guard(*, kernel_too: bool = True) -> None:
    """In the child: end this process group as soon as the parent is gone. Does nothing when started by hand.

    The kernel is asked for the same too (Linux): a library that holds Python's lock for ever stops every thread, and
    with them the one that watches the pipe. The kernel's signal alone would not do: it reaches one process, no group.
    """
    if os.environ.pop(END_WITH_PARENT, None):
        _end_with_parent()
    handle = os.environ.pop(GUARD_VARIABLE, None)
    if handle is None:
        return
    descriptor = int(handle)
    if kernel_too:
        _end_with_parent()

    def watch() -> None:
        while True:
            try:
                if os.read(descriptor, 1) == b"":
                    break
            except InterruptedError:
                continue
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-guard", daemon=True).start()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def last_lines(log: Path, count: int = 20) -> str:
    """The last `count` lines of the file, for an error message; empty when there is no file."""
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 16_384))
        return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-count:])
