"""The card's account of exports: what each costs against the tuned model, what is released, how it is read."""

from __future__ import annotations

from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, FactSource, Sentence, sentence
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.evaluation import Interval
from stsflow.tasks.records.exports import ExportFigures, ExportOutcome, Speed


class ExportRow(Record):
    """One export, or the tuned model itself."""

    name: str
    kind: str
    """Empty for the model itself."""
    file: str
    dimension: Fact | None
    size: Fact | None
    max_distance: Fact | None
    mean_distance: Fact | None
    batch_distance: Fact | None
    limits: tuple[Fact | None, Fact | None, Fact | None]
    """Largest distance, mean distance, loss."""
    alone: Fact | None
    """Milliseconds for one text alone."""
    together: Fact | None
    """Texts a second in the largest batch."""
    outcome: str


class ExportScore(Record):
    """One export on one suite."""

    name: str
    suite: str
    metric: str
    score: Fact
    change: Fact
    interval: tuple[Fact, Fact] | None


class ExportSnippet(Record):
    """How one that is released is read."""

    name: str
    code: str
    digest: Fact


class ExportsSection(Record):
    """The section."""

    about: Sentence
    rows: tuple[ExportRow, ...]
    """The tuned model first."""
    scores: tuple[ExportScore, ...]
    refused: tuple[Sentence, ...]
    snippets: tuple[ExportSnippet, ...]


def exports_section(evidence: Evidence) -> ExportsSection | None:
    """The section; None where the recipe asks for no exports."""
    found = evidence.exports
    if found is None:
        return None
    model = evidence.source("Exports", model_digest=found.model_digest)
    whole = ExportRow(
        name="the tuned model in PyTorch", kind="", file="", dimension=evidence.training_source.fact(
            "model.dimension", evidence.trained.dimension or evidence.base.dimension, "count"
        ),
        size=model.fact("export.torch.bytes", found.model_bytes, "bytes"), max_distance=None, mean_distance=None,
        batch_distance=None, limits=(None, None, None), outcome="",
        **_speed(model, "export.torch", found.speed),
    )  # fmt: skip
    count = model.fact("export.texts", found.texts, "count")
    return ExportsSection(
        about=sentence(
            "Forms of the model that run without PyTorch, each held to limits: its cosine distance to the tuned model "
            "over ", count, " texts of this run's data, its loss on the suites by the worse end of the paired "
            "interval. What costs more is not released. Times are those of a CPU of the machine of this run."
        ),
        rows=(whole, *(_row(evidence, item) for item in found.items)),
        scores=tuple(score for item in found.items for score in _scores(evidence, item)),
        refused=tuple(_refusal(evidence, item) for item in found.items if not item.passed),
        snippets=tuple(
            ExportSnippet(
                name=item.name, code=item.snippet,
                digest=_source(evidence, item).fact(f"export.{item.name}.digest", item.digest),
            )
            for item in found.released
        ),
    )  # fmt: skip


def _source(evidence: Evidence, item: ExportOutcome) -> FactSource:
    return evidence.source("ExportOutcome", model_digest=item.digest)


def _speed(source: FactSource, stem: str, speeds: tuple[Speed, ...]) -> dict[str, Fact | None]:
    alone = next((one for one in speeds if one.batch == 1), None)
    most = next((one for one in speeds if one.batch > 1), None)
    return {
        "alone": source.known(f"{stem}.milliseconds", alone.milliseconds if alone else None, "decimal"),
        "together": source.known(f"{stem}.texts_per_second", most.texts_per_second if most else None, "decimal"),
    }


def _row(evidence: Evidence, item: ExportOutcome) -> ExportRow:
    source, stem, figures, limits = _source(evidence, item), f"export.{item.name}", item.figures, item.limits
    return ExportRow(
        name=item.name, kind=item.kind, file=item.main_file,
        dimension=source.fact(f"{stem}.dimension", item.dimension, "count") if item.dimension else None,
        size=source.known(f"{stem}.bytes", figures.size_bytes if figures else None, "bytes"),
        max_distance=source.known(f"{stem}.max_distance", figures.max_distance if figures else None, "rate"),
        mean_distance=source.known(f"{stem}.mean_distance", figures.mean_distance if figures else None, "rate"),
        batch_distance=source.known(f"{stem}.batch_distance", figures.batch_distance if figures else None, "rate"),
        limits=(
            source.known(f"{stem}.limit.max_distance", limits.max_distance, "rate"),
            source.known(f"{stem}.limit.mean_distance", limits.mean_distance, "rate"),
            source.known(f"{stem}.limit.metric_loss", limits.metric_loss, "rate"),
        ),
        outcome="released" if item.passed else "**not released**",
        **_speed(source, stem, figures.speed if figures else ()),
    )  # fmt: skip


def _scores(evidence: Evidence, item: ExportOutcome) -> list[ExportScore]:
    figures: ExportFigures | None = item.figures
    if figures is None:
        return []
    rows = []
    for found in item.differences:
        scored = figures.scores.suites[found.suite]
        source = evidence.source(
            "ExportOutcome", suite=found.suite, split=scored.split, rows=found.rows, data_digest=scored.data_digest,
            model_digest=item.digest,
        )  # fmt: skip
        stem = f"export.{item.name}.{found.suite}.{found.metric}"
        rows.append(
            ExportScore(
                name=item.name, suite=scored.title, metric=found.metric,
                score=source.fact(stem, scored.metrics[found.metric], "score"),
                change=source.fact(f"{stem}.change", found.difference, "change"),
                interval=_interval(source, stem, found.interval),
            )
        )  # fmt: skip
    return rows


def _interval(source: FactSource, stem: str, interval: Interval | None) -> tuple[Fact, Fact] | None:
    if interval is None:
        return None
    return (
        source.fact(f"{stem}.change.low", interval.low, "change"),
        source.fact(f"{stem}.change.high", interval.high, "change"),
    )


def _refusal(evidence: Evidence, item: ExportOutcome) -> Sentence:
    source = _source(evidence, item)
    reasons = [source.fact(f"export.{item.name}.why_not.{number}", one) for number, one in enumerate(item.reasons)]
    parts = [part for reason in reasons for part in ("; ", reason)][1:]
    return sentence(f"{item.name} ({item.kind}) is not released: ", *parts, ".")
