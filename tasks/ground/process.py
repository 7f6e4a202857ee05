"""Which process works on something, and whether it still exists."""

from __future__ import annotations

import os
import socket
from typing import Any

import psutil

SAME_START_SECONDS = 2.0
"""Process ids are used again; two processes of one id that started this close together are the same one."""


def this_process() -> dict[str, Any]:
    """`process_id`, `process_started` and `host` of this process, as records keep them."""
    return {"process_id": os.getpid(), "process_started": psutil.Process().create_time(), "host": socket.gethostname()}


def is_alive(process_id: int, process_started: float, host: str) -> bool:
    """Whether that process still exists. One on another host counts as alive: from here nobody can tell."""
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(process_id)
        same = abs(process.create_time() - process_started) < SAME_START_SECONDS
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
