"""What the machine gives: installed packages, disk, GPU."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess

from packaging.requirements import Requirement

from stsflow.flows.ops.doctor.observation import Observation, note, ok, wrong
from stsflow.tasks.ground.workspace import Workspace

LEAST_FREE_GIB = 5.0
GPU_LIMIT_SECONDS = 15.0


def look_at_versions() -> Observation:
    """Installed packages against the requirements of stsflow itself; extras are looked at only where installed."""
    differing = []
    for text in importlib.metadata.requires("stsflow") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            differing.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            differing.append(f"{requirement.name} {version} instead of {requirement.specifier}")
    if differing:
        return wrong("; ".join(differing), "install again: pip install --constraint constraints.txt .")
    return ok("every package is of a version that was tried")


def look_at_disk(workspace: Workspace) -> Observation:
    """Room where the workspace is, or will be, and whether it can be written."""
    place = next(path for path in (workspace.root, *workspace.root.parents) if path.exists())
    free = shutil.disk_usage(place).free / 2**30
    if not place.is_dir() or not os.access(place, os.W_OK):
        return wrong(
            f"{place} cannot be written" if place.is_dir() else f"{place} is a file, and must be a folder",
            "set STSFLOW_WORKSPACE to a folder of yours",
        )
    found = f"{free:.0f} GiB free at {place}"
    if free < LEAST_FREE_GIB:
        return wrong(found, "make room, or set STSFLOW_WORKSPACE to another disk; old trainings lie under trainings/")
    return ok(found)


def look_at_gpu() -> Observation:
    """What nvidia-smi lists; torch is not loaded for it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return note("none; runs use the CPU")
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=GPU_LIMIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode != 0 or not done.stdout.strip():
        return wrong(
            "nvidia-smi is there and does not answer",
            "the driver needs help: `nvidia-smi`, then a restart of the machine",
        )
    return ok("; ".join(done.stdout.strip().splitlines()))
