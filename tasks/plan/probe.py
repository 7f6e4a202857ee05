"""A few dozen steps of the real trainer, in a temporary folder, without evaluation: what a step really takes."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
from stsflow.tasks.plan.exposure import draw_batches
from stsflow.tasks.plan.forecast import ProbeResult, forecast, forecast_findings
from stsflow.tasks.plan.work import token_work
from stsflow.tasks.recipe.sections import RunConfig, TrainingConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.plan import Forecast, PlanReport
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.launchers import launcher_of
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child


def probe_forecast(
    recipe: RunConfig, request: TrainingRequest, tokens: TokenReport, plan: PlanReport, workspace: Workspace
) -> tuple[Forecast | None, tuple[Finding, ...]]:
    """Forecast of the run of `plan`, and what it finds.

    None where the plan has no steps. An out-of-memory of the probe itself comes through as the trainer's error.
    """
    steps = min(recipe.plan.probe_steps, plan.steps)
    if not steps:
        return None, ()
    probe = run_probe(request, steps, workspace.root / "probes")
    data = PreparedData(fingerprint="", train=request.sets, evaluation=())
    batches = draw_batches(recipe, data, launcher_of(recipe.training).world_size, request.base, request.lengths)
    accumulation = recipe.training.gradient_accumulation_steps
    work = token_work(
        batches, request.sets, request.base, plan.steps, accumulation, padded=probe.padded, prompts=request.prompts,
        lengths=request.lengths,
    )  # fmt: skip
    size = max(source.batch_size for source in batches.sources)
    result = forecast(
        probe, work, tokens, plan, request.base, recipe.plan,
        batch_size=size, checkpoints=planned_checkpoints(recipe.training, plan.steps),
        looks=planned_looks(recipe, plan), processes=batches.world_size,
    )  # fmt: skip
    return result, forecast_findings(result, size)


def planned_checkpoints(training: TrainingConfig, steps: int) -> int:
    """Checkpoints in a run of `steps` steps: at the recipe's pace, else ten, the last step's among them."""
    pace = training.checkpoint_steps or training.eval_steps
    return -(-steps // pace) if pace else min(steps, 10)


def planned_looks(recipe: RunConfig, plan: PlanReport) -> dict[str, int]:
    """How often the choosing suite is evaluated during the training: at the recipe's pace, else ten times."""
    if recipe.choosing_suite is None:
        return {}
    pace = recipe.training.eval_steps
    return {recipe.choosing_suite: plan.steps // pace if pace else min(plan.steps, 10)}


def run_probe(
    request: TrainingRequest, steps: int, scratch: Path, *, memory_limit_bytes: int | None = None
) -> ProbeResult:
    """Train `steps` steps of `request` and return what they took; nothing is left in `scratch`.

    Whatever the trainer raises comes through: a recipe whose probe fails would fail the same way.
    """
    seen: dict[int, Mapping[str, float]] = {}
    loading: list[Mapping[str, float]] = []
    saved: dict[int, Mapping[str, float]] = {}

    def note(events: Sequence[Event]) -> None:
        seen.update({event.step: event.values for event in events if event.kind == "progress" and event.step})
        loading.extend(event.values for event in events if event.kind == "phase" and event.text == "load")
        saved.update({event.step: event.values for event in events if event.kind == "checkpoint" and event.step})

    scratch.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="probe-", dir=scratch) as folder:
        trained = train_in_child(probe_request(request, steps), TrainingFolder(Path(folder)), on_event=note)
    elapsed = time.monotonic() - began
    gpu = trained.environment.get("gpu_peak_memory_gib")
    peak = int(float(gpu) * 2**30) if gpu else int(trained.peak_memory_bytes)
    limit = memory_limit_bytes or memory_limit(on_gpu=gpu is not None)
    padded = not any(lever.name == "padding_free" and lever.chosen == "on" for lever in trained.levers)
    result = probe_result(seen, peak, limit, padded=padded).model_copy(
        update={
            "checkpoint_seconds": saved[steps]["train_seconds"] - seen[steps]["train_seconds"],
            "startup_seconds": max(0.0, elapsed - saved[steps]["train_seconds"]),
            "checkpoint_cpu_seconds": saved[steps]["cpu_seconds"] - seen[steps]["cpu_seconds"],
        }
    )
    if gpu:
        return result.model_copy(update={"peaks": ()})
    return result.model_copy(update={"process_bytes": int(loading[-1]["peak_memory_bytes"])})


def probe_request(request: TrainingRequest, steps: int) -> TrainingRequest:
    """The request for the probe: `steps` steps of the same training, all reported, no evaluation, one last checkpoint.

    By itself the trainer would put ten checkpoints into a run of any length, and half of the probe's time into them.
    """
    training = request.training.model_copy(
        update={
            "max_steps": steps,
            "logging_steps": 1,
            "eval_steps": None,
            "checkpoint_steps": steps,
            "early_stopping_patience": None,
            "on_out_of_memory": "fail",
            "max_restarts": 0,
        }
    )
    return request.model_copy(update={"training": training, "choose": None})


def probe_result(seen: Mapping[int, Mapping[str, float]], peak: int, limit: int, *, padded: bool = True) -> ProbeResult:
    """Time of each step, from the running totals that the trainer reports after each of them."""
    steps = sorted(seen)
    wall = [seen[step]["train_seconds"] for step in steps]
    cpu = [seen[step]["cpu_seconds"] for step in steps]
    gaps = [later - earlier for earlier, later in itertools.pairwise(steps)]

    def per_step(totals: Sequence[float]) -> tuple[float, ...]:
        spans = zip(totals, totals[1:], gaps, strict=False)
        each = [(later - earlier) / gap for earlier, later, gap in spans for _ in range(gap)]
        return (each[0], *each) if each else tuple(totals)  # the first step has no total before it

    return ProbeResult(
        step_seconds=per_step(wall), cpu_seconds=per_step(cpu), peak_memory_bytes=peak, memory_limit_bytes=limit,
        peaks=tuple(int(seen[step]["peak_memory_bytes"]) for step in steps), padded=padded,
    )  # fmt: skip


def memory_limit(*, on_gpu: bool) -> int:
    """Bytes of the first GPU's memory, or of the machine's as far as this process may use it."""
    if on_gpu:
        import subprocess

        command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        return int(shown.splitlines()[0]) * 2**20
    import psutil

    total = int(psutil.virtual_memory().total)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = Path(path)
        if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
            total = min(total, int(text))
    return total
