"""Texts of production against those of training, or of an earlier window: `stsflow drift`, and the weekly look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from stsflow.flows.evaluate import model_named
from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.drift.look import Looker, look
from stsflow.tasks.drift.texts import source_of, texts_of_source, texts_of_training
from stsflow.tasks.ground.errors import DataError, PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.preflight import require_sound
from stsflow.tasks.recipe.messages import explain
from stsflow.tasks.recipe.sections import DriftConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.drift import DriftReport
from stsflow.tasks.sources import Access
from stsflow.tasks.tracking.drift import trained_on
from stsflow.tasks.tracking.store import Store


def asked_for(
    recipe: RunConfig | None, texts: Sequence[str], against: Sequence[str], **options: object
) -> DriftConfig | None:
    """What is to be looked at: the recipe's section `drift`, with what was given beside it in its place.

    None where neither names texts. Raises DataError for an option that cannot be.
    """
    known = recipe.drift.model_dump(mode="json") if recipe is not None and recipe.drift is not None else {}
    known |= {name: value for name, value in options.items() if value is not None}
    column = str(known.get("column", "text"))
    try:
        for field, places in (("texts", texts), ("against", against)):
            if places:
                known[field] = source_of(places, column).model_dump(mode="json")
        return DriftConfig.model_validate(known) if "texts" in known else None
    except ValidationError as error:
        raise DataError(explain(error, DriftConfig, "drift")) from None


def look_at_texts(
    model: Looker, config: DriftConfig, data: PreparedData | None, access: Access, workspace: Workspace,
    read: Mapping[str, str] | None = None,
) -> DriftReport:  # fmt: skip
    """The window against training's texts in `data`, or against the earlier window that `config` names.

    `read` are the digests of the sets that the model's run read, by name, where it is known: another one in `data` is
    said. Raises PreconditionError where there is neither data nor a window to compare with.
    """
    window = texts_of_source(config.texts, config.column, access, config.sample, config.seed)
    if config.against is not None:
        reference = texts_of_source(config.against, config.column, access, config.sample, config.seed)
        return look(model, reference, window, config, workspace)
    if data is None:
        raise PreconditionError(
            "nothing to compare with: give --recipe RECIPE for training's texts, or --against PLACE"
        )
    reference = texts_of_training(data, config.side, config.sample, config.seed)
    return look(model, reference, window, config, workspace, _other_rows(data, read or {}))


def _other_rows(data: PreparedData, read: Mapping[str, str]) -> tuple[str, ...]:
    """Sets whose rows are not those that the model was trained on, as a note."""
    other = [item.name for item in data.train if not item.digest.startswith(read.get(item.name, ""))]
    if not other:
        return ()
    return (f"the rows of {', '.join(other)} are not those that the model was trained on: they changed since",)


def drift_of(
    model: str, texts: Sequence[str], against: Sequence[str], recipe: RunConfig | None, **options: object
) -> DriftReport:
    """What became of the texts at `texts`, as the model that a person named reads them.

    Raises DataError, ModelError or PreconditionError before work begins.
    """
    workspace = Workspace.here()
    config = asked_for(recipe, texts, against, **options)
    if config is None:
        raise PreconditionError("no texts to look at: give --texts PLACE, or a recipe with a section `drift`")
    if recipe is None and config.against is None:
        raise PreconditionError(
            "nothing to compare with: give --recipe RECIPE for training's texts, or --against PLACE"
        )
    under_test, found = model_named(model, None, workspace)
    require_sound(found, (), workspace)
    reader = Looker(under_test.name, under_test.path, found.digest)
    data, access = None, Access(None, workspace.downloads)
    if recipe is not None:
        access = Access(
            recipe.data.root, workspace.downloads, recipe.data.download_timeout_seconds, recipe.data.download_retries
        )
        if config.against is None:
            data = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
    read = None
    if recipe is not None and model.startswith("models:/"):
        store = Store(workspace)
        read = read_by(store, store.registry.by_uri(model).run_id, recipe)
    return look_at_texts(reader, config, data, access, workspace, read)


def read_by(store: Store, run_id: str, recipe: RunConfig) -> dict[str, str]:
    """The digests of the training sets that a run read, by name; without those that mining or a teacher made of them,
    whose rows are others than the data's."""
    made = {*recipe.mining, *recipe.taught}
    return {name: digest for name, digest in trained_on(store, run_id).items() if name not in made}


def print_drift(report: DriftReport, console: Console) -> None:
    """The look for a person."""
    for name, sample in (("reference", report.reference), ("window", report.window)):
        taken = f"{sample.taken:,} of {sample.texts:,} texts"
        console.print(f"{name}: {sample.source}: {taken}", highlight=False, markup=False)
    table = Table(show_edge=False)
    for column in ("measure", "distance", "p", "corrected p"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for one in report.measures:
        style = "bold" if one in report.moved else ""
        table.add_row(one.what, f"{one.statistic:.4f}", f"{one.p_value:.4f}", f"{one.adjusted:.4f}", style=style)
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    console.print(report.verdict, highlight=False, markup=False)
