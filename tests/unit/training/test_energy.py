"""Energy of a training is what counters of the hardware say, or is said not to be measured, and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.records.training import MeasuredEnergy
from stsflow.tasks.training import energy
from stsflow.tasks.training.energy import EnergyMeter, measured_energy
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child

RANGE = 65_532_610_987
"""µJ at which the counters of a desktop processor start again, as its kernel says it."""


class Powercap:
    """A tree as the kernel shows it: zones are links to folders elsewhere, with those inside a package beside it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.devices = folder / "class", folder / "devices"
        self.root.mkdir()
        (self.devices / "intel-rapl").mkdir(parents=True)
        (self.root / "intel-rapl").symlink_to(self.devices / "intel-rapl")

    def zone(self, name: str, title: str, energy_uj: int) -> None:
        folder = self.devices / name
        folder.mkdir()
        (folder / "name").write_text(f"{title}\n")
        (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (folder / "enabled").write_text("1\n")
        (self.root / name).symlink_to(folder)
        self.set(name, energy_uj)

    def set(self, name: str, energy_uj: int) -> None:
        """The counter's new value, never a torn one."""
        path = self.devices / name / "energy_uj"
        path.with_suffix(".new").write_text(f"{energy_uj}\n")
        path.with_suffix(".new").replace(path)


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Powercap:
    tree = Powercap(tmp_path)
    monkeypatch.setattr(energy, "POWERCAP", tree.root)
    return tree


@pytest.fixture
def meter() -> Iterator[Callable[..., EnergyMeter]]:
    made = []

    def make(*gpus: str) -> EnergyMeter:
        made.append(EnergyMeter(gpus))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_packages_and_memory_count_once(powercap: Powercap, meter: Callable[..., EnergyMeter]) -> None:
    zones = {
        "intel-rapl:0": ("package-0", 7_000_000), "intel-rapl:0:0": ("core", 5_000_000),
        "intel-rapl:0:1": ("dram", 900_000), "intel-rapl:1": ("package-1", RANGE - 400_000),
        "intel-rapl:2": ("psys", 90_000_000), "intel-rapl-mmio:0": ("package-0", 7_000_000),
    }  # fmt: skip
    for name, (title, value) in zones.items():
        powercap.zone(name, title, value)
    found = meter()
    assert found.joules() == {"processor": 0.0}
    for name, (_, value) in zones.items():
        powercap.set(name, value + 250_000)  # a quarter of a joule each
    assert found.joules() == {"processor": pytest.approx(0.75)}
    powercap.set("intel-rapl:1", 600_000)  # a joule after the start, and over the top
    assert found.joules() == {"processor": pytest.approx(1.5)}
    assert found.said() == {"processor": {"counters": "package-0, dram, package-1"}}


def test_a_machine_without_counters_says_so(powercap: Powercap, meter: Callable[..., EnergyMeter]) -> None:
    found = meter()
    assert found.joules() == {}
    assert "no counters of a processor" in found.missing["processor"]
    powercap.zone("intel-rapl:0", "psys", 5)
    assert "no counters of a processor" in meter().missing["processor"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_that_root_alone_may_read(powercap: Powercap, meter: Callable[..., EnergyMeter]) -> None:
    powercap.zone("intel-rapl:0", "package-0", 5)
    (powercap.devices / "intel-rapl:0" / "energy_uj").chmod(0o000)
    assert meter().missing["processor"] == "this user may not read the processor's counters (RAPL: energy_uj)"


def test_counters_that_vanish_make_no_smaller_number(powercap: Powercap, meter: Callable[..., EnergyMeter]) -> None:
    powercap.zone("intel-rapl:0", "package-0", 5)
    found = meter()
    shutil.rmtree(powercap.devices / "intel-rapl:0")
    assert found.joules() == {}
    assert "cannot be read" in found.missing["processor"]


NVML = r"""
#include <string.h>
static unsigned long long spent = 5000000;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    if (strcmp(uuid, "GPU-1b0e6a5c") && strcmp(uuid, "GPU-old")) return 6;
    *device = strcmp(uuid, "GPU-old") ? (void *)1 : (void *)2;
    return 0;
}
int nvmlDeviceGetName(void *device, char *name, unsigned length) {
    strncpy(name, device == (void *)1 ? "NVIDIA H200" : "Tesla K80", length);
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
    *energy = spent += 1500; /* millijoules, since the driver was loaded */
    return device == (void *)1 ? 0 : 3;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_gpu_is_read_through_the_drivers_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meter: Callable[..., EnergyMeter]
) -> None:
    (tmp_path / "nvml.c").write_text(NVML)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True)
    monkeypatch.setattr(energy, "NVML", str(library))
    found = meter("1b0e6a5c")
    assert found.joules()["gpu"] == pytest.approx(1.5)
    assert found.joules()["gpu"] == pytest.approx(3.0)
    assert found.said()["gpu"] == {"counters": "NVIDIA H200"}
    assert meter("GPU-old").missing["gpu"] == "Tesla K80 has no counter of energy (NVML)"
    assert "does not know the GPU GPU-elsewhere" in meter("1b0e6a5c", "elsewhere").missing["gpu"]


def test_a_machine_without_the_drivers_library(
    meter: Callable[..., EnergyMeter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "NVML", "libnvidia-ml-that-is-not-there.so")
    assert meter("1b0e6a5c").missing["gpu"] == "the driver's library (NVML) is missing"


def attempt(number: int, said: dict[str, dict[str, str]], *joules: float | None) -> list[Event]:
    def of(value: float | None) -> dict[str, float]:
        return {"train_seconds": 9.0} | ({} if value is None else {"processor_joules": value})

    begins = Event(seq=1, time=0, kind="phase", text="train", attempt=number, details={"energy": dict(said)})
    return [begins, *(Event(seq=1, time=0, kind="progress", attempt=number, values=of(value)) for value in joules)]


READ = {"processor": {"counters": "package-0"}}


def test_attempts_add_up() -> None:
    (found,) = measured_energy([*attempt(1, READ, 100.0, 250.0), *attempt(2, READ), *attempt(3, READ, 30.0)])
    assert (found.part, found.joules) == ("processor", 280.0)  # the second one was killed before its first step
    assert "RAPL's counters (package-0), which are of the whole machine" in found.how


def test_a_part_that_one_attempt_could_not_measure_is_not_measured() -> None:
    missing = {"processor": {"missing": "the kernel shows none"}}
    assert measured_energy([*attempt(1, READ, 100.0), *attempt(2, missing, None)]) == (
        MeasuredEnergy(part="processor", joules=None, how="in attempt 2, the kernel shows none"),
    )
    assert measured_energy(attempt(1, READ, 100.0, None)) == (
        MeasuredEnergy(part="processor", joules=None, how="the counters could not be read to the end"),
    )


@pytest.mark.usefixtures("in_this_process")
def test_a_training_measures_itself(
    request_of: Callable[..., TrainingRequest], training_folder: TrainingFolder, powercap: Powercap
) -> None:
    """The counter grows by a joule as often as it is asked to, from the first step to the saved model."""
    powercap.zone("intel-rapl:0", "package-0", 0)
    stop, given = threading.Event(), [0]

    def grow() -> None:
        while not stop.wait(0.05):
            given[0] += 1
            powercap.set("intel-rapl:0", given[0] * 1_000_000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        trained = train_in_child(request_of(choose=False, epochs=1), training_folder)
    finally:
        stop.set()
        thread.join()
    (found,) = trained.energy
    assert found.joules is not None
    assert 1 <= found.joules <= given[0]
    assert found.joules == int(found.joules)
