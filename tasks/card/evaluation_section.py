"""The card's evaluation: base beside tuned on every suite, with intervals, clean rows, slices and the choice made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stsflow.tasks.card.facts import Fact, FactSource, Sentence, sentence
from stsflow.tasks.evaluation.side_by_side import Beside, side_by_side
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, SuiteScores
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.suites import Suite


class MetricRow(Record):
    """One metric of one suite."""

    name: str
    is_primary: bool
    base: Fact | None
    tuned: Fact
    low: Fact | None = None
    """Lower end of the tuned model's interval."""
    high: Fact | None = None
    base_low: Fact | None = None
    base_high: Fact | None = None
    change: Fact | None = None
    """Tuned minus base."""


class Comparison(Record):
    """Base and tuned model on the same rows, by the suite's primary metric."""

    metric: str
    change: Fact
    low: Fact | None = None
    high: Fact | None = None
    p_value: Fact | None = None
    rows_needed: Fact | None = None
    verdict: str
    """`better`, `worse`, `not told apart` or `no interval`."""


class GroupRow(Record):
    """A slice or a subset of a suite's rows."""

    name: str
    rows: Fact
    base: Fact | None
    tuned: Fact


class CleanScore(Record):
    """The primary metric on the rows that share nothing with training."""

    rows: Fact
    base: Fact | None
    tuned: Fact
    change: Fact | None


class SuiteBlock(Record):
    """Everything that the card says of one suite."""

    name: str
    title: str
    heading: str
    task_type: str
    """What it measures, as the hub calls it."""
    measured_as: str
    """A sentence on how it measures; may be empty."""
    split: str
    rows: Fact
    data_digest: Fact
    source: str
    """Where its rows come from, in words."""
    license: str
    language: tuple[str, ...]
    roles: tuple[str, ...]
    """Among `chose the checkpoint` and `headline`."""
    primary: str
    higher_is_better: bool
    """Of the primary metric."""
    metrics: tuple[MetricRow, ...]
    comparison: Comparison | None
    clean: CleanScore | None
    groups: tuple[GroupRow, ...]
    plot: Path | None = None

    @property
    def primary_row(self) -> MetricRow:
        """The row of the primary metric."""
        return next(row for row in self.metrics if row.is_primary)


class EvaluationSection(Record):
    """The evaluation as the card tells it."""

    suites: tuple[SuiteBlock, ...]
    headline: Sentence
    choice: tuple[Sentence, ...]
    """How and on which split the checkpoint was chosen."""
    intervals: Sentence
    """How intervals were made, or that there are none."""

    def suite(self, name: str) -> SuiteBlock:
        """The block of suite `name`."""
        return next(block for block in self.suites if block.name == name)


def evaluation_section(
    recipe: RunConfig,
    run: RunRef,
    data: PreparedData,
    trained: TrainedModel,
    base_scores: EvaluationReport,
    tuned_scores: EvaluationReport,
    differences: Sequence[Difference],
) -> EvaluationSection:
    """The section from the two reports. Suites keep the recipe's order; only paired differences of `base` and `tuned`
    count, and a metric without one shows the plain difference of the two scores."""
    blocks = suite_blocks(recipe, run, data.evaluation, base_scores, tuned_scores, differences)
    headline = next((block for block in blocks if block.name == recipe.headline_suite), blocks[-1])
    return EvaluationSection(
        suites=blocks,
        headline=_headline(headline),
        choice=_choice(recipe, run, trained, blocks, _shared_with_choosing(recipe, run, data, blocks)),
        intervals=_intervals(recipe, run),
    )


def suite_blocks(
    recipe: RunConfig,
    run: RunRef,
    data: Sequence[PreparedSet],
    base_scores: EvaluationReport | None,
    tuned_scores: EvaluationReport,
    differences: Sequence[Difference],
) -> tuple[SuiteBlock, ...]:
    """The block of each suite that the tuned model was measured on; facts of the base model only where it was."""
    sets = {item.name: item for item in data}
    before = base_scores.suites if base_scores else {}
    rows = side_by_side(base_scores, tuned_scores, differences)
    return tuple(
        _suite_block(recipe, run, sets.get(name), before.get(name), [row for row in rows if row.suite is scores])
        for name, scores in tuned_scores.suites.items()
    )


def _suite_block(
    recipe: RunConfig,
    run: RunRef,
    prepared: PreparedSet | None,
    base: SuiteScores | None,
    rows: Sequence[Beside],
) -> SuiteBlock:
    roles, tuned = [], rows[0].suite
    if tuned.suite == recipe.choosing_suite:
        roles.append("chose the checkpoint")
    if tuned.suite == recipe.headline_suite:
        roles.append("headline")
    source, suite = _source(run, "SuiteScores", tuned), recipe.evaluation.suites.get(tuned.suite)
    told = Suite.of(tuned.kind)
    return SuiteBlock(
        name=tuned.suite,
        title=tuned.title or (prepared.title if prepared else "") or tuned.suite,
        task_type=told.task_type,
        measured_as=told.measured_as,
        heading=told.heading,
        split=tuned.split or (prepared.split if prepared else "") or tuned.suite,
        rows=source.fact(f"suite.{tuned.suite}.rows", tuned.rows, "count"),
        data_digest=source.fact(f"suite.{tuned.suite}.data_digest", tuned.data_digest),
        source=(prepared.source.uri or prepared.source.name) if prepared else told.brings,
        license=suite.license if suite else "",
        language=suite.language if suite else (),
        roles=tuple(roles),
        primary=tuned.primary,
        higher_is_better=told.metric(tuned.primary).higher_is_better,
        metrics=tuple(_metric_row(run, row, base) for row in rows),
        comparison=next((_comparison(run, row) for row in rows if row.is_primary and row.paired), None),
        clean=_clean(run, base, tuned),
        groups=(*_slices(run, base, tuned), *_subsets(run, base, tuned)),
        plot=tuned.plot,
    )


def _metric_row(run: RunRef, row: Beside, base: SuiteScores | None) -> MetricRow:
    tuned, name = row.suite, row.metric
    source = _source(run, "SuiteScores.metrics", tuned)
    low, high = _bounds(run, "tuned", tuned, name)
    base_low, base_high = _bounds(run, "base", base, name)
    return MetricRow(
        name=name,
        is_primary=row.is_primary,
        base=_base_fact(run, base, name),
        tuned=source.fact(f"tuned.{tuned.suite}.{name}", row.after, "score"),
        low=low,
        high=high,
        base_low=base_low,
        base_high=base_high,
        change=source.fact(f"change.{tuned.suite}.{name}", row.change, "change") if row.change is not None else None,
    )


def _bounds(run: RunRef, model: str, scores: SuiteScores | None, metric: str) -> tuple[Fact | None, Fact | None]:
    interval = scores.intervals.get(metric) if scores else None
    if scores is None or interval is None:
        return None, None
    source, name = _source(run, "SuiteScores.intervals", scores), f"{model}.{scores.suite}.{metric}"
    return source.fact(f"{name}.low", interval.low, "score"), source.fact(f"{name}.high", interval.high, "score")


def _base_fact(run: RunRef, base: SuiteScores | None, metric: str) -> Fact | None:
    if base is None or metric not in base.metrics:
        return None
    return _source(run, "SuiteScores.metrics", base).fact(f"base.{base.suite}.{metric}", base.metrics[metric], "score")


def _comparison(run: RunRef, row: Beside) -> Comparison | None:
    difference = row.paired
    if difference is None:
        return None
    source = FactSource(
        record="Difference", mlflow_run_id=run.mlflow_run_id, suite=difference.suite, rows=difference.rows
    )
    name, interval = f"difference.{difference.suite}.{difference.metric}", difference.interval
    return Comparison(
        metric=difference.metric,
        change=source.fact(name, difference.difference, "change"),
        low=source.fact(f"{name}.low", interval.low, "change") if interval else None,
        high=source.fact(f"{name}.high", interval.high, "change") if interval else None,
        p_value=source.fact(f"{name}.p_value", difference.p_value, "p_value")
        if difference.p_value is not None
        else None,
        rows_needed=source.fact(f"{name}.rows_needed", difference.rows_needed, "count")
        if difference.rows_needed is not None
        else None,
        verdict=_verdict(row),
    )


def _verdict(row: Beside) -> str:
    if row.interval is None:
        return "no interval"
    known = Suite.of(row.suite.kind).metric(row.metric)
    ends = known.gain(row.interval.low), known.gain(row.interval.high)
    if min(ends) > 0:
        return "better"
    return "worse" if max(ends) < 0 else "not told apart"


def _clean(run: RunRef, base: SuiteScores | None, tuned: SuiteScores) -> CleanScore | None:
    if tuned.clean_rows is None or tuned.primary not in tuned.clean:
        return None
    source = _source(run, "SuiteScores.clean", tuned).model_copy(update={"rows": tuned.clean_rows})
    name, value = f"{tuned.suite}.{tuned.primary}", tuned.clean[tuned.primary]
    before = base.clean.get(tuned.primary) if base else None
    return CleanScore(
        rows=source.fact(f"clean.{tuned.suite}.rows", tuned.clean_rows, "count"),
        base=source.fact(f"clean.base.{name}", before, "score") if before is not None else None,
        tuned=source.fact(f"clean.tuned.{name}", value, "score"),
        change=source.fact(f"clean.change.{name}", value - before, "change") if before is not None else None,
    )


def _slices(run: RunRef, base: SuiteScores | None, tuned: SuiteScores) -> list[GroupRow]:
    source = _source(run, "SuiteScores.slices", tuned)
    before = base.slices if base else {}
    return _groups(source, "slice", tuned.slices, before, tuned)


def _subsets(run: RunRef, base: SuiteScores | None, tuned: SuiteScores) -> list[GroupRow]:
    source = _source(run, "SuiteScores.subsets", tuned)
    before = base.subsets if base else {}
    return _groups(source, "subset", tuned.subsets, before, tuned)


def _groups(
    source: FactSource,
    what: str,
    after: Mapping[str, Mapping[str, float]],
    before: Mapping[str, Mapping[str, float]],
    tuned: SuiteScores,
) -> list[GroupRow]:
    rows = []
    for number, (group, scores) in enumerate(after.items()):
        if tuned.primary not in scores:
            continue
        name = f"{what}.{tuned.suite}.{number}"
        here = source.model_copy(update={"rows": int(scores.get("rows", 0)), "data_set": f"{tuned.suite}[{group}]"})
        old = before.get(group, {}).get(tuned.primary)
        rows.append(
            GroupRow(
                name=group if what == "slice" else f"subset:{group}",
                rows=here.fact(f"{name}.rows", int(scores.get("rows", 0)), "count"),
                base=here.fact(f"{name}.base", old, "score") if old is not None else None,
                tuned=here.fact(f"{name}.tuned", scores[tuned.primary], "score"),
            )
        )
    return rows


def _headline(block: SuiteBlock) -> Sentence:
    row = block.primary_row
    parts: list[Fact | str] = [f"On {block.title} (split {block.split}, ", block.rows, " rows) the tuned model scores "]
    parts += [row.tuned, f" by {row.name}"]
    if row.low and row.high:
        parts += [" (interval ", row.low, " to ", row.high, ")"]
    if row.base:
        parts += ["; the base model scores ", row.base, " on the same rows"]
    if block.comparison and block.comparison.low and block.comparison.high:
        found = block.comparison
        parts += [". The paired difference is ", found.change, " (", found.low or "", " to ", found.high or "", ")"]
        parts.append(
            {
                "better": ": the tuned model is better",
                "worse": ": the tuned model is worse",
                "not told apart": ": these rows do not tell the two models apart",
            }[found.verdict]
        )
    return sentence(*parts, ".")


def _choice(
    recipe: RunConfig, run: RunRef, trained: TrainedModel, blocks: Sequence[SuiteBlock], shared: Mapping[str, Sentence]
) -> tuple[Sentence, ...]:
    source = FactSource(record="TrainedModel", mlflow_run_id=run.mlflow_run_id, model_digest=trained.model_digest)
    steps = source.fact("training.steps", trained.steps, "count")
    chooser = next((block for block in blocks if block.name == recipe.choosing_suite), None)
    if trained.best_step is None or chooser is None:
        return (sentence("No checkpoint was chosen: the weights after the last step, ", steps, ", were kept."),)
    metric = trained.choose_metric or recipe.evaluation.choose_metric
    found = [
        sentence(
            "Of the evaluated checkpoints, step ", source.fact("training.best_step", trained.best_step, "count"),
            " of ", steps, f" was kept: it has the highest {metric} (",
            source.fact("training.best_metric", trained.best_metric, "score"), f") on {chooser.title}, split "
            f"{chooser.split}.",
        )
    ]  # fmt: skip
    if chooser.name == recipe.headline_suite:
        found.append(sentence("The headline score comes from the same rows, so it is optimistic."))
    elif recipe.headline_suite in shared:
        found.append(sentence(f"Scores on {chooser.title} are therefore optimistic."))
    else:
        found.append(sentence(f"Scores on {chooser.title} are therefore optimistic; the headline suite chose nothing."))
    return (*found, *shared.values())


def _shared_with_choosing(
    recipe: RunConfig, run: RunRef, data: PreparedData, blocks: Sequence[SuiteBlock]
) -> dict[str, Sentence]:
    """By suite: what it shares with the one that chose the checkpoint, and why the recipe accepts it."""
    titles = {block.name: block.title for block in blocks}
    found = {}
    for overlap in data.suite_overlaps:
        if overlap.first != recipe.choosing_suite or not overlap.equal.pairs or overlap.second not in titles:
            continue
        source = FactSource(
            record="SuiteOverlap", mlflow_run_id=run.mlflow_run_id, data_set=overlap.first, suite=overlap.second,
            rows=overlap.equal.of_rows,
        )  # fmt: skip
        name = f"overlap.{overlap.first}.{overlap.second}.chosen"
        why = recipe.evaluation.explained_overlap.get(overlap.second, "")
        parts: list[Fact | str] = [
            f"{titles[overlap.second]} holds ", source.fact(f"{name}.pairs", overlap.equal.pairs, "count"),
            f" pairs of {titles.get(overlap.first, overlap.first)} too, so that the choice has seen them",
        ]  # fmt: skip
        if why:
            parts += ["; the recipe says: ", source.fact(f"{name}.why", why, "text")]
        found[overlap.second] = sentence(*parts, ".")
    return found


def _intervals(recipe: RunConfig, run: RunRef) -> Sentence:
    settings = recipe.evaluation
    source = FactSource(record="RunConfig.evaluation", mlflow_run_id=run.mlflow_run_id)
    if settings.resamples == 0:
        return sentence("The recipe asks for no bootstrap, so scores carry no intervals.")
    return sentence(
        "Intervals are bootstrap percentile intervals at ",
        source.fact("evaluation.confidence", settings.confidence, "percent"), " confidence from ",
        source.fact("evaluation.resamples", settings.resamples, "count"),
        " resamples of the rows; differences are paired: both models are measured on the same resampled rows.",
    )  # fmt: skip


def _source(run: RunRef, record: str, scores: SuiteScores) -> FactSource:
    return FactSource(
        record=record,
        mlflow_run_id=run.mlflow_run_id,
        suite=scores.suite,
        split=scores.split,
        rows=scores.rows,
        data_digest=scores.data_digest,
        model_digest=scores.model_digest,
    )
