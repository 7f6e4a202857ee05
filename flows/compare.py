"""`stsflow compare`: two recipes by all of their seeds, or two models, on the rows that both were measured on."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from stsflow.flows.seeds import print_claims
from stsflow.tasks.evaluation.over_seeds import compare_over_seeds
from stsflow.tasks.ground.errors import DamagedRecord, EvaluationFailed, PreconditionError
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.evaluation import EvaluationReport, RecipeDifference, Study
from stsflow.tasks.tracking.runs import known_runs


class Compared(Record):
    """What a comparison found, as `stsflow compare --json` prints it."""

    first: str
    second: str
    seeds: tuple[int, int]
    """Of first and second; 1 is a single run, whose weights are meant."""
    claim: str
    """What the intervals speak of, in a sentence."""
    differences: tuple[RecipeDifference, ...]
    """Second minus first."""

    def show(self, console: Console) -> None:
        """The comparison for a person."""
        title = f"{self.second} against {self.first}"
        table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
        for heading in ("suite", "metric", "first", "sd", "second", "sd", "difference"):
            table.add_column(heading, justify="left" if heading in ("suite", "metric") else "right", no_wrap=True)
        for row in self.differences:
            deviations = ["" if value is None else f"{value:.4f}" for value in row.deviations]
            table.add_row(
                row.suite, row.metric, f"{row.means[0]:.4f}", deviations[0], f"{row.means[1]:.4f}", deviations[1],
                f"{row.difference:+.4f}",
            )  # fmt: skip
        console.print(table)
        console.print()
        print_claims(self.differences, console)
        console.print(self.claim, soft_wrap=True, highlight=False, markup=False)


def compare_recipes(first: str, second: str) -> Compared:
    """Second minus first, each a study of seeds (its name or MLflow run) or a single run of this workspace.

    Raises PreconditionError for a name that is neither, a run without scores, and rows that differ.
    """
    workspace = Workspace.here()
    groups = [_runs(workspace, name) for name in (first, second)]
    reports = [[_report(folder) for folder in group] for group in groups]
    config = RunConfig.from_recipe(groups[0][0].recipe).evaluation
    try:
        found = compare_over_seeds(reports[0], reports[1], (first, second), config, workspace=workspace)
    except EvaluationFailed as error:
        raise PreconditionError(error.message) from error
    if not found:
        raise PreconditionError(f"{first} and {second} were measured on no suite of the same name")
    seeds = len(groups[0]), len(groups[1])
    return Compared(first=first, second=second, seeds=seeds, claim=_claim(first, second, seeds), differences=found)


def _claim(first: str, second: str, seeds: tuple[int, int]) -> str:
    if max(seeds) == 1:
        return (
            "The claim that was tested is of these weights: another seed of either recipe may come out otherwise. "
            "stsflow run RECIPE --seeds 5 tests the recipe."
        )
    one = [name for name, count in zip((first, second), seeds, strict=True) if count == 1]
    if one:
        return f"The claim that was tested is of a recipe against the weights of {one[0]}, which has one seed."
    return "The claim that was tested is of the recipes, whatever the seed."


def _runs(workspace: Workspace, name: str) -> list[RunFolder]:
    """The runs of a study by seed, or the single run called so."""
    for study in _studies(workspace):
        if name in (study.name, study.mlflow_run_id):
            return [workspace.run(folder) for _, folder in sorted(study.runs.items())]
    runs = list(known_runs(workspace))
    for folder, state in runs:
        if name in (state.name, state.mlflow_run_id):
            return [folder]
    studies = ", ".join(study.name for study in _studies(workspace)) or "none"
    newest = ", ".join(state.name for _, state in runs[-5:]) or "none"
    raise PreconditionError(
        f"there is no study of seeds and no run {name!r} in {workspace.root}; studies: {studies}; newest runs: {newest}"
    )


def _studies(workspace: Workspace) -> Iterator[Study]:
    for path in sorted(workspace.studies.glob("*.json")):
        study = Study.load_or_none(path)
        if study is not None:
            yield study


def _report(folder: RunFolder) -> EvaluationReport:
    try:
        return EvaluationReport.load(folder.report("tuned"))
    except DamagedRecord as error:
        raise PreconditionError(
            f"{folder.root.name} has no scores to compare ({error.message}); run its recipe again: what was made is "
            "reused"
        ) from error
