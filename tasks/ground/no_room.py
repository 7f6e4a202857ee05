"""Errors that mean: no memory, or no room on the disk.

Of some libraries the text is the only sign of it. It is read here and nowhere else.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from stsflow.tasks.ground.errors import causes

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
SAYS_DISK_FULL = "No space left on device"
"""The system's words for ENOSPC, which safetensors and a child's log repeat without its number."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory ran out; torch's CPU allocator has no class of its own for this."""
    by_class = (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    )  # torch's, not imported here
    return by_class or "allocate memory" in str(error)


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether a write into `folder` failed for want of room. torch.save says that it failed, and not why."""
    for cause in causes(error):
        if (isinstance(cause, OSError) and cause.errno in DISK_FULL) or SAYS_DISK_FULL in str(cause):
            return True
        if "PytorchStreamWriter" in str(cause) or "inline_container" in str(cause):
            room = os.statvfs(folder)
            return room.f_bavail * room.f_frsize < 64 * 2**20
    return False
