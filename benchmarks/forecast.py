"""The forecast from the probe against the real duration of a 200-step run of a real recipe.

    python -m benchmarks.forecast --root KorNLUDatasets [--steps 200] [--set training.batch_size=8]

Recipe: flows/recipes/kornlu-minilm.yaml without evaluation during training. Probe and run are both the real trainer
process; the probe is `plan.probe_steps` of the recipe. CPU and wall seconds run from the end of the first step (loading
is no part of a forecast) to the end, checkpoints included. Wall time says something on a quiet machine only: the load
average is printed with it. Results go to standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.plan.exposure import plan_exposure
from stsflow.tasks.plan.probe import probe_forecast
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.tokens.lengths import stored_lengths
from stsflow.tasks.tokens.statistics import measure_tokens
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.request import TrainingRequest, training_request
from stsflow.tasks.training.run import train_in_child

RECIPE = Path(__file__).parents[1] / "flows" / "recipes" / "kornlu-minilm.yaml"


def run(request: TrainingRequest, workspace: Workspace) -> tuple[TrainedModel, Mapping[str, float]]:
    """The finished run without evaluations, and its totals after the first step."""
    request = request.model_copy(update={"choose": None})
    first: dict[int, Mapping[str, float]] = {}

    def note(events: list[Event]) -> None:
        first.update({event.step: event.values for event in events if event.kind == "progress" and event.step == 1})

    return train_in_child(request, workspace.training(request.fingerprint), on_event=note), first[1]


def main() -> None:
    """Probe, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    arguments = parser.parse_args()
    fixed = (f"data.root={arguments.root}", f"training.max_steps={arguments.steps}", "training.eval_steps=null")
    recipe = RunConfig.from_recipe(RECIPE, (*fixed, *arguments.overrides))
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name))
        base = fetch_base_model(recipe.model, workspace)
        data = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
        tokens = measure_tokens(data, base, recipe.batch_sizes, workspace, recipe.tokens, maximum_truncated_share=1.0)
        lengths = stored_lengths(tokens, workspace)
        plan = plan_exposure(recipe, data, 1, base, lengths)
        request = training_request(recipe, data, base, lengths)
        forecast, _ = probe_forecast(recipe, request, tokens, plan, workspace)
        assert forecast is not None
        real, first = run(request, workspace)
    cpu, wall = real.cpu_seconds - first["cpu_seconds"], real.train_seconds - first["train_seconds"]
    low, high = forecast.train_seconds_low, forecast.train_seconds_high
    print(
        json.dumps(
            {
                "steps": plan.steps,
                "probe_steps": forecast.probe_steps,
                "load_average": [round(value, 1) for value in os.getloadavg()],
                "cpu_seconds": {"forecast": round(forecast.cpu_seconds, 1), "real": round(cpu, 1)},
                "cpu_ratio": round(forecast.cpu_seconds / cpu, 3),
                "wall_seconds": {"forecast": [round(low, 1), round(high, 1)], "real": round(wall, 1)},
                "wall_ratio": round(forecast.train_seconds / wall, 3),
                "peak_mib": {"forecast": forecast.peak_memory_bytes >> 20, "real": real.peak_memory_bytes >> 20},
                "memory_ratio": round(forecast.peak_memory_bytes / real.peak_memory_bytes, 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
