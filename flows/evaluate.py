"""`stsflow evaluate`: a finished model on the suites of a recipe, or on a file of scored pairs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stsflow.tasks.data.build import prepare_evaluation
from stsflow.tasks.data.defined import require_defined
from stsflow.tasks.evaluation.adhoc import in_options, suite_of_file
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.ground.errors import DataError, DownloadFailed, ModelError
from stsflow.tasks.ground.names import HUB_ID, REVISION
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.hardware import AskedDevice
from stsflow.tasks.models.length import NO_LENGTH
from stsflow.tasks.models.preflight import require_sound, sample_texts
from stsflow.tasks.models.sources import DirectoryModel, HubModel
from stsflow.tasks.recipe.sections import EvaluationConfig, ModelConfig, RunConfig
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.models import BaseModelRef


def evaluate_on_recipe(model: str, recipe: RunConfig, *, revision: str | None = None) -> EvaluationReport:
    """Scores of `model` on every suite of the recipe.

    The recipe's own base model is read as the recipe reads it (length, pooling, prompts), so that it scores here what
    it scores in a run; any other model is read as its files say.
    """
    return _evaluate(
        model, revision, recipe.evaluation, recipe.data.root, recipe.headline_suite, recipe.training.device, recipe,
    )  # fmt: skip


def evaluate_on_file(
    model: str,
    data: Path,
    columns: tuple[str, str, str],
    score_range: tuple[float, float],
    *,
    positional: tuple[str, ...] = (),
    revision: str | None = None,
    **reading: str,
) -> EvaluationReport:
    """Scores of `model` on the scored pairs in the file `data`; `positional` and `reading` as `suite_of_file` has them.

    A message about the data speaks of the command line's options, not of a recipe's fields.
    """
    (suite,) = suite_of_file(data, columns, score_range, positional, **reading).values()
    config = EvaluationConfig(suites={"file": suite})
    try:
        return _evaluate(model, revision, config, None, "file")
    except DataError as error:
        raise DataError(in_options(error.message)) from None


def model_named(model: str, revision: str | None, workspace: Workspace) -> tuple[ModelUnderTest, BaseModelRef]:
    """The model that a person named, a folder of it or of its run, `models:/name@alias` or a hub id with its revision.

    Beside it stands what it is.

    Raises ModelError when it is not there, is another kind of model, or is nothing that may be loaded; code of its own
    is never run, as no recipe can allow it here.
    """
    label, digest = model.replace("/", "-"), None
    source: DirectoryModel | HubModel
    if model.startswith("models:/"):
        from stsflow.tasks.tracking.store import Store
        from stsflow.tasks.tracking.store_address import check_reachable

        check_reachable(workspace)
        registered = Store(workspace).registry.by_uri(model)
        source, digest = DirectoryModel(path=registered.path), registered.digest
        label = model.removeprefix("models:/").replace("/", "-")
    elif Path(model).is_dir():
        folder = Path(model).resolve()
        of_a_run = (folder / "recipe.yaml").is_file() and (folder / "model").is_dir()
        source = DirectoryModel(path=folder / "model" if of_a_run else folder)
        label = folder.name
    elif not HUB_ID.holds(model) or "/" not in model:
        raise ModelError(
            f"{model}: there is no such folder; give a folder, a hub id with --revision, or models:/name@alias"
        )
    elif revision is None:
        raise ModelError(f"{model}: there is no such folder; for a model on the hub, give --revision COMMIT")
    else:
        source = HubModel(id=model, revision=REVISION.check("--revision", revision))
    found = fetch_base_model(ModelConfig(source=source), workspace)
    return ModelUnderTest(label, found.path, digest or found.digest), found


def print_report(report: EvaluationReport, console: Console) -> None:
    """The scores of one model for a person."""
    if report.max_seq_length is not None:
        cut = f"texts are cut at {report.max_seq_length:,} tokens" if report.max_seq_length < NO_LENGTH else "no cut"
        console.print(f"{report.model}: {cut}", highlight=False, markup=False)
    for name, suite in report.suites.items():
        table = Table(title=f"{suite.title or name}: {suite.rows:,} rows", title_justify="left", show_edge=False)
        table.add_column("metric")
        table.add_column("value", justify="right")
        table.add_column("95 % interval", justify="right")
        beside = suite.reference.metrics if suite.reference else {}
        if suite.reference:
            table.add_column(suite.reference.name, justify="right")
        for metric, value in suite.metrics.items():
            interval = suite.intervals.get(metric)
            text = f"[{interval.low:.4f}, {interval.high:.4f}]" if interval else ""
            other = [f"{beside[metric]:.4f}"] if beside else []
            style = "bold" if metric == suite.primary else ""
            table.add_row(metric, f"{value:.4f}", text.replace("[", r"\["), *other, style=style)
        console.print(table)
        console.print()


def _as_base(recipe: RunConfig, named: str, found: BaseModelRef, workspace: Workspace) -> BaseModelRef | None:
    """The recipe's base model, where that is what was named; None where it is another model, or not at hand."""
    if recipe.model.source.hub_id not in ("", named):
        return None  # it would have to be fetched to be told apart
    try:
        base = fetch_base_model(recipe.model, workspace, recipe.prompts)
    except (ModelError, DownloadFailed):
        return None
    return base if base.digest == found.digest else None


def _evaluate(
    model: str,
    revision: str | None,
    config: EvaluationConfig,
    root: Path | None,
    headline: str,
    device: AskedDevice = "auto",
    of_recipe: RunConfig | None = None,
) -> EvaluationReport:
    workspace = Workspace.here()
    under_test, found = model_named(model, revision, workspace)
    if of_recipe is not None:
        under_test = replace(under_test, base=_as_base(of_recipe, model, found, workspace))
    data = prepare_evaluation(config.suites, root, workspace)
    require_defined(data, headline=headline)
    require_sound(found, sample_texts(data), workspace)
    with tempfile.TemporaryDirectory(prefix="evaluate-", dir=workspace.root) as scratch:
        (report,) = evaluate_models(
            [under_test], config, data, Path(scratch), prompts=of_recipe.prompts.suites if of_recipe else {},
            device=device, workspace=workspace,
        )  # fmt: skip
    return report
