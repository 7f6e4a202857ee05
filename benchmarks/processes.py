"""Rows a second of one training on one process and on several of this machine, and what becomes of each.

    python -m benchmarks.processes --processes 1 2 --batch 32 --steps 16 --rounds 3

Every way trains the packaged MiniLM on the same generated rows and the same batches: `--batch` rows a step, shared by
the processes, each on one thread of a CPU or on a GPU of its own (`--device cuda`). Counted is the wall time from the
end of the first step to that of the last. Efficiency is the rate against that of the first way, for each process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from benchmarks.training import prepared, write_generated
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=32, help="rows of a step, all processes together")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    rates: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_generated(folder / "data")
        request = prepared(folder / "one", data, arguments.batch, arguments.steps, arguments.precision)
        for number in range(arguments.rounds):
            for count in arguments.processes:
                place = folder / f"{number}-{count}"
                shared = shared_by(request, count, arguments.batch, arguments.device)
                rates.setdefault(count, []).append(rate(shared, place, arguments.batch))
    found = {count: statistics.median(each) for count, each in rates.items()}
    print(table(found))
    if arguments.json:
        everything = {"rows_a_second": rates, "hardware": hardware(), "versions": versions(), **vars(arguments)}
        arguments.json.write_text(json.dumps(everything, indent=1, default=str) + "\n", encoding="utf-8")


def shared_by(request: TrainingRequest, processes: int, batch: int, device: str) -> TrainingRequest:
    """The same training, its batches shared by so many processes."""
    if batch % processes:
        raise SystemExit(f"--batch {batch} cannot be shared by {processes} processes")
    section = {"processes": processes, "batch_size": batch // processes, "device": device}
    return request.model_copy(update={"training": request.training.model_copy(update=section)})


def rate(request: TrainingRequest, folder: Path, batch: int) -> float:
    """Rows a second from the end of the first step on."""
    seconds: dict[int, float] = {}

    def note(events: list[Event]) -> None:
        for event in events:
            if event.kind == "progress" and event.step and event.step not in seconds:
                seconds[event.step] = event.values["train_seconds"]

    trained = train_in_child(
        request.model_copy(update={"training": request.training.model_copy(update={"logging_steps": 1})}),
        TrainingFolder(folder), on_event=note,
    )  # fmt: skip
    return batch * (trained.steps - 1) / (seconds[trained.steps] - seconds[1])


def table(found: dict[int, float]) -> str:
    """A Markdown table."""
    first, alone = next((count, each / count) for count, each in found.items())
    lines = [f"| processes | rows a second | efficiency against {first} |", "|--:|--:|--:|"]
    lines += [f"| {count} | {each:.2f} | {each / count / alone:.2f} |" for count, each in found.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
