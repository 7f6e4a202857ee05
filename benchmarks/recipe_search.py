"""Settings of the real-data recipe held against each other on dev, over seeds, at a CPU budget.

    python -m benchmarks.recipe_search --data KorNLUDatasets --seeds 1 2 3 --steps 150 \\
        --try 'as it is' --try cosent 'training.losses={korsts: {kind: cosent}}' --try fast training.learning_rate=2e-4

Each `--try` has a name and any number of `dotted.key=value`. The trainer process alone runs, with two evaluations on
dev; the score is that of the checkpoint that dev chose. Nothing here looks at test. Candidates take turns within a
seed. One that does more work in a step gets `training.max_steps` of its own: the CPU seconds are in the table, so that
it shows whether the budget was the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.training.request import training_request
from stsflow.tasks.training.run import train_in_child

RECIPE = Path(__file__).resolve().parents[1] / "flows/recipes/kornlu-minilm.yaml"


def main() -> None:
    """Train every candidate with every seed, print the table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a checkout of KorNLUDatasets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--try", dest="candidates", nargs="+", action="append", default=[], metavar="NAME KEY=VALUE")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    candidates: dict[str, list[str]] = {name: settings for name, *settings in arguments.candidates or [["as it is"]]}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in candidates}
    common = (f"data.root={arguments.data.absolute()}", f"training.max_steps={arguments.steps}",
              "training.epochs=100")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            for number, (name, settings) in enumerate(candidates.items()):
                place = Path(folder) / f"{seed}-{number}"
                found[name].append(once((*common, *settings, f"training.seed={seed}"), Path(folder), place))
                print(f"{name}, seed {seed}: {found[name][-1]}", flush=True)
    print(table(found))
    if arguments.json:
        everything = {"candidates": candidates, "runs": found, "hardware": hardware(), "versions": versions()}
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def once(settings: tuple[str, ...], folder: Path, place: Path) -> dict[str, Any]:
    """Best dev score, the step it is of, CPU seconds of the trainer process."""
    steps = RunConfig.from_recipe(RECIPE, settings).training.max_steps or 1
    recipe = RunConfig.from_recipe(RECIPE, (*settings, f"training.eval_steps={max(1, steps // 2)}"))
    workspace = Workspace(folder / "workspace")
    data = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
    spent = [0.0]
    trained = train_in_child(
        training_request(recipe, data, fetch_base_model(recipe.model, workspace)),
        TrainingFolder(place),
        on_event=lambda events: spent.extend(event.values.get("cpu_seconds", 0.0) for event in events),
    )
    return {"dev": trained.best_metric, "steps": trained.steps, "cpu_seconds": round(max(spent), 1)}


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: mean and spread over the seeds, best first."""
    lines = ["| candidate | dev Spearman, mean | lowest to highest | CPU s, median |", "|---|--:|--:|--:|"]
    for name, runs in sorted(found.items(), key=lambda item: -statistics.mean(run["dev"] for run in item[1])):
        scores = [run["dev"] for run in runs]
        seconds = statistics.median(run["cpu_seconds"] for run in runs)
        lines.append(
            f"| {name} | {statistics.mean(scores):.4f} | {min(scores):.4f} to {max(scores):.4f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
