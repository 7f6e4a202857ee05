"""Energy that a training takes, from counters that the hardware keeps: RAPL of the processor, NVML of a GPU.

A counter is of a whole processor or board, whatever else runs on it. Nothing is estimated: a processor's rated power
gives a number anywhere, but not what was used.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from stsflow.tasks.records.training import MeasuredEnergy
from stsflow.tasks.training.events import Event

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"
SECONDS_BETWEEN_READINGS = 20.0
"""A processor's counter starts again at about 65 kJ on some machines: at 500 W after two minutes."""
NVML_SUCCESS, NVML_NOT_SUPPORTED = 0, 3


class NoCounter(Exception):
    """Why a counter cannot be read, as the rest of a sentence."""


@dataclass
class Counter:
    """A number that grows with the energy that was used, and starts again after `turns_over_at`."""

    name: str
    read: Callable[[], int]
    joules_each: float
    turns_over_at: int | None = None
    _last: int = field(init=False)
    _grown: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._last = self.read()

    def joules(self) -> float:
        """Joules since the counter was made; raises NoCounter."""
        now = self.read()
        step = now - self._last
        if step < 0:
            if self.turns_over_at is None:
                raise NoCounter(f"the counter of {self.name} started again")
            step += self.turns_over_at
        self._last = now
        self._grown += step
        return self._grown * self.joules_each


class EnergyMeter:
    """Joules since `start`, by part of the machine: `processor`, and `gpu` where the training is on one."""

    def __init__(self, gpus: Sequence[str] = (), *, of_the_whole: bool = True) -> None:
        """`gpus` are the UUIDs, as CUDA writes them, of those that train; `of_the_whole`: none does elsewhere."""
        self._of_the_whole = of_the_whole
        self._find: dict[str, Callable[[], list[Counter]]] = {"processor": processor_counters}
        if gpus:
            self._find["gpu"] = lambda: gpu_counters(gpus)
        self._counters: dict[str, list[Counter]] = {}
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self.missing: dict[str, str] = {}
        """Why a part is not measured."""

    def start(self) -> None:
        """Count from now on; a thread reads often enough that no counter turns over unseen."""
        for part, find in self._find.items():
            try:
                if not self._of_the_whole:
                    raise NoCounter("it ran on other machines too, whose counters are not read")
                self._counters[part] = find()
            except NoCounter as error:
                self.missing[part] = str(error)
        if self._counters:
            threading.Thread(target=self._keep_reading, name="energy", daemon=True).start()

    def joules(self) -> dict[str, float]:
        """By part, of those that could be read from the start until now."""
        found = {}
        with self._lock:
            for part, counters in list(self._counters.items()):
                try:
                    found[part] = sum(counter.joules() for counter in counters)
                except NoCounter as error:
                    self.missing[part] = str(error)
                    del self._counters[part]
        return found

    def said(self) -> dict[str, JsonValue]:
        """By part, the counters that are read (`counters`) or why there are none (`missing`): of a training's event."""
        told: dict[str, JsonValue] = {part: {"missing": why} for part, why in self.missing.items()}
        for part, counters in self._counters.items():
            told[part] = {"counters": ", ".join(counter.name for counter in counters)}
        return told

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _keep_reading(self) -> None:
        while not self._stopped.wait(SECONDS_BETWEEN_READINGS):
            self.joules()


def processor_counters() -> list[Counter]:
    """RAPL's counters of every processor package and of the memory beside it; raises NoCounter.

    What lies inside a package (its cores) is in its number already. So is the package in that of the whole board
    (`psys`), and a package is shown once more by another way (`intel-rapl-mmio`).
    """
    counters = []
    for zone in sorted(POWERCAP.glob("intel-rapl:*")):
        name = _text(zone / "name")
        if name.startswith("package") or name == "dram":
            counters.append(_zone_counter(zone, name))
    if not counters:
        raise NoCounter("the kernel shows no counters of a processor (RAPL), as on most virtual machines")
    return counters


def _zone_counter(zone: Path, name: str) -> Counter:
    return Counter(name, lambda: int(_text(zone / "energy_uj")), 1e-6, int(_text(zone / "max_energy_range_uj")))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError:
        raise NoCounter(f"this user may not read the processor's counters (RAPL: {path.name})") from None
    except OSError as error:
        raise NoCounter(f"the processor's counters (RAPL: {path.name}) cannot be read: {error.strerror}") from None


def gpu_counters(gpus: Sequence[str]) -> list[Counter]:
    """The driver's counters of these GPUs, by UUID; raises NoCounter."""
    try:
        nvml = ctypes.CDLL(NVML)
    except OSError:
        raise NoCounter("the driver's library (NVML) is missing") from None
    if (code := nvml.nvmlInit_v2()) != NVML_SUCCESS:
        raise NoCounter(f"the driver's library (NVML) did not start (error {code})")
    return [_gpu_counter(nvml, uuid) for uuid in gpus]


def _gpu_counter(nvml: ctypes.CDLL, uuid: str) -> Counter:
    handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
    full = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    if (code := nvml.nvmlDeviceGetHandleByUUID(full.encode(), ctypes.byref(handle))) != NVML_SUCCESS:
        raise NoCounter(f"the driver (NVML) does not know the GPU {full} (error {code})")
    nvml.nvmlDeviceGetName(handle, name, ctypes.c_uint(len(name)))
    title = name.value.decode("utf-8", "replace")

    def millijoules() -> int:
        value = ctypes.c_ulonglong()
        code = nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(value))
        if code == NVML_NOT_SUPPORTED:
            raise NoCounter(f"{title} has no counter of energy (NVML)")
        if code != NVML_SUCCESS:
            raise NoCounter(f"the counter of {title} (NVML) cannot be read (error {code})")
        return int(value.value)

    return Counter(title, millijoules, 1e-3)


def measured_energy(events: Sequence[Event]) -> tuple[MeasuredEnergy, ...]:
    """What the attempts at a training took together, by part; a part that one of them could not measure to its end is
    not measured."""
    said: dict[int, Mapping[str, Mapping[str, str]]] = {}
    last: dict[int, Event] = {}
    for event in events:
        if event.kind == "phase" and isinstance(energy := event.details.get("energy"), dict):
            said[event.attempt] = energy  # type: ignore[assignment]  # as EnergyMeter.said wrote it
        if "train_seconds" in event.values:
            last[event.attempt] = event
    parts = dict.fromkeys(part for attempt in last for part in said.get(attempt, {}))
    return tuple(_together(part, said, last) for part in parts)


def _together(
    part: str, said: Mapping[int, Mapping[str, Mapping[str, str]]], last: Mapping[int, Event]
) -> MeasuredEnergy:
    joules, counters = 0.0, ""
    for attempt in last:
        if (told := said.get(attempt, {}).get(part)) is None:
            continue  # it did not train there
        measured = last[attempt].values.get(f"{part}_joules")
        if measured is None:
            why = told.get("missing", "the counters could not be read to the end")
            return MeasuredEnergy(part=part, joules=None, how=f"in attempt {attempt}, {why}" if len(last) > 1 else why)
        joules, counters = joules + measured, told["counters"]
    by = "RAPL's counters" if part == "processor" else "NVML's counters"
    whole = "the whole machine" if part == "processor" else "the whole board"
    return MeasuredEnergy(
        part=part, joules=joules, how=f"{by} ({counters}), which are of {whole}, whatever else ran on it"
    )
