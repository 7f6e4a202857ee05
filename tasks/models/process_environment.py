"""Environment of a child process that runs PyTorch: threads, allocator and waiting that fit the machine.

These are read when a process starts, by its libraries, so they cannot be set from within it. What the user has set
already stays as it is, except the number of threads where the recipe states one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# A training step frees and takes again hundreds of megabytes in blocks that glibc hands back to the kernel by default;
# about half of a padded step's time then goes into page faults. Kept blocks cost memory that the next step uses anyway.
MALLOC = {
    "glibc.malloc.mmap_threshold": 1 << 30,
    "glibc.malloc.trim_threshold": 4 << 30,
    "glibc.malloc.top_pad": 64 << 20,
}

SETTINGS = {
    "GLIBC_TUNABLES": ":".join(f"{name}={value}" for name, value in MALLOC.items()),
    # Threads that wait by spinning take the cores from those that work, as soon as the machine runs anything else.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    # Batches change their size at each step; fixed segments would fragment the GPU's memory.
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    # Models and data are on the disk by now: a child that asks the hub anyway should fail at once, not after retries.
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "PYTHONUNBUFFERED": "1",
}


def process_environment(
    threads: int = 0, *, processes: int = 1, current: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Variables to add to a PyTorch child's environment.

    `threads` is the number of CPU threads of each of `processes` children on this machine; 0 shares the physical cores
    that this process may use. `current` is the environment that the child inherits (default: this process's).
    """
    inherited = os.environ if current is None else current
    chosen = {name: value for name, value in SETTINGS.items() if name not in inherited}
    if threads or "OMP_NUM_THREADS" not in inherited:
        chosen["OMP_NUM_THREADS"] = str(threads or max(1, usable_cores() // processes))
    return chosen


def usable_cores(system: Path = Path("/sys")) -> int:
    """Physical cores that this process may use: within its affinity and its container's CPU quota, at least 1."""
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    # Hyperthreads of one core share its arithmetic units, so they count once.
    cores = {_siblings(system, number) for number in processors}
    quota = _quota(system)
    return max(1, min(len(cores), round(quota)) if quota is not None else len(cores))


def _siblings(system: Path, processor: int) -> str:
    path = system / "devices/system/cpu" / f"cpu{processor}" / "topology/thread_siblings_list"
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return str(processor)


def _quota(system: Path) -> float | None:
    """CPUs that the control group grants (cgroup v2, then v1); None without a limit."""
    group = system / "fs/cgroup"
    try:
        if (group / "cpu.max").is_file():
            allowed, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            allowed = (group / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (group / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        return None if allowed in ("max", "-1") else int(allowed) / int(period)
    except (OSError, ValueError):
        return None
