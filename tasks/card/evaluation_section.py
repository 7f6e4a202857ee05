"""The card's evaluation: base beside tuned on every suite, with intervals, clean rows, slices and the choice made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, FactSource, Form, Sentence, sentence
from stsflow.tasks.card.quality_section import quality_sentences
from stsflow.tasks.card.slices_section import SlicesBlock, slices_block
from stsflow.tasks.evaluation.guard import guard_outcomes
from stsflow.tasks.evaluation.side_by_side import Beside, side_by_side
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.evaluation import Interval, SuiteScores
from stsflow.tasks.suites import Suite

Ends = tuple[Fact, Fact]
"""Lower and upper end of an interval."""


class MetricRow(Record):
    """One metric of one suite."""

    name: str
    is_primary: bool
    base: Fact | None
    tuned: Fact
    reference: Fact | None
    """Of what the suite is compared with."""
    teacher: Fact | None
    """Of the model that labelled training rows."""
    interval: Ends | None
    """Of the tuned model."""
    base_interval: Ends | None
    change: Fact | None
    """Tuned minus base."""


class Comparison(Record):
    """Base and tuned model on the same rows, by the suite's primary metric."""

    change: Fact
    interval: Ends | None
    p_value: Fact | None
    rows_needed: Fact | None
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
    reference: str
    """What else was scored on its rows, without a model; may be empty."""
    split: str
    rows: Fact
    data_digest: Fact
    source: str
    """Where its rows come from, in words."""
    license: str
    language: tuple[str, ...]
    roles: tuple[str, ...]
    """Among `chose the checkpoint`, `headline` and `guard`."""
    primary: str
    higher_is_better: bool
    """Of the primary metric."""
    metrics: tuple[MetricRow, ...]
    comparison: Comparison | None
    clean: CleanScore | None
    groups: tuple[GroupRow, ...]
    quality: tuple[Sentence, ...]
    """What its rows allow, and where the model stands between word overlap and that."""
    slices: SlicesBlock | None
    """Where it got better and worse."""
    has_plot: bool

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
    guard: tuple[Sentence, ...]
    """Of each guard suite, whether it was kept."""


def evaluation_section(evidence: Evidence) -> EvaluationSection:
    """The section from the two reports. Suites keep the recipe's order; only paired differences of `base` and `tuned`
    count, and a metric without one shows the plain difference of the two scores."""
    rows = side_by_side(evidence.base_scores, evidence.tuned_scores, evidence.differences)
    blocks = tuple(
        _suite_block(evidence, [row for row in rows if row.suite is scores])
        for scores in evidence.tuned_scores.suites.values()
    )
    return EvaluationSection(
        suites=blocks,
        headline=_headline(headline_block(evidence, blocks)),
        choice=_choice(evidence, blocks),
        intervals=_intervals(evidence),
        guard=tuple(_guard(evidence, blocks)),
    )


def headline_block(evidence: Evidence, blocks: Sequence[SuiteBlock]) -> SuiteBlock:
    """The block of the suite that the recipe is judged by; the last one where that was not measured."""
    return next((block for block in blocks if block.name == evidence.recipe.headline_suite), blocks[-1])


def _suite_block(evidence: Evidence, rows: Sequence[Beside]) -> SuiteBlock:
    recipe, tuned = evidence.recipe, rows[0].suite
    base = evidence.base_scores.suites.get(tuned.suite)
    prepared = next((item for item in evidence.data.evaluation if item.name == tuned.suite), None)
    section, told = recipe.evaluation.suites.get(tuned.suite), Suite.of(tuned.kind)
    roles = {"chose the checkpoint": recipe.choosing_suite, "headline": recipe.headline_suite}
    if tuned.suite in recipe.guards:
        roles["guard"] = tuned.suite
    source = _source(evidence, "SuiteScores", tuned)
    return SuiteBlock(
        name=tuned.suite,
        title=tuned.title,
        task_type=told.task_type,
        measured_as=told.measured_as,
        reference=tuned.reference.name if tuned.reference else "",
        heading=told.heading,
        split=tuned.split,
        rows=source.fact(f"suite.{tuned.suite}.rows", tuned.rows, "count"),
        data_digest=source.fact(f"suite.{tuned.suite}.data_digest", tuned.data_digest),
        source=(prepared.source.uri or prepared.source.name) if prepared else told.brings,
        license=section.license if section else "",
        language=section.language if section else (),
        roles=tuple(role for role, suite in roles.items() if suite == tuned.suite),
        primary=tuned.primary,
        higher_is_better=told.metric(tuned.primary).higher_is_better,
        metrics=tuple(_metric_row(evidence, row, base) for row in rows),
        comparison=next((_comparison(evidence, row) for row in rows if row.is_primary and row.paired), None),
        clean=_clean(evidence, base, tuned),
        groups=tuple(_groups(evidence, base, tuned)),
        quality=tuple(quality_sentences(evidence, base, tuned)),
        slices=slices_block(evidence, tuned),
        has_plot=tuned.plot is not None,
    )


def _metric_row(evidence: Evidence, row: Beside, base: SuiteScores | None) -> MetricRow:
    tuned, name = row.suite, row.metric
    source, place = _source(evidence, "SuiteScores.metrics", tuned), f"{tuned.suite}.{name}"
    before = _source(evidence, "SuiteScores.metrics", base) if base else source
    beside = _source(evidence, "SuiteScores.reference", tuned, model_digest="")
    return MetricRow(
        name=name,
        is_primary=row.is_primary,
        base=before.known(f"base.{place}", row.before, "score"),
        tuned=source.fact(f"tuned.{place}", row.after, "score"),
        reference=beside.known(f"reference.{place}", row.reference, "score"),
        teacher=_teacher(evidence, tuned.suite, name),
        interval=_interval(evidence, "tuned", tuned, name),
        base_interval=_interval(evidence, "base", base, name) if base else None,
        change=source.known(f"change.{place}", row.change, "change"),
    )


def _teacher(evidence: Evidence, suite: str, metric: str) -> Fact | None:
    """The teacher's score, which is the word of the run: its weights do not come with the model."""
    scores = evidence.teacher_scores.suites.get(suite) if evidence.teacher_scores else None
    if scores is None:
        return None
    source = _source(evidence, "EvaluationReport", scores)
    return source.known(f"teacher.{suite}.{metric}", scores.metrics.get(metric), "score")


def _interval(evidence: Evidence, model: str, scores: SuiteScores, metric: str) -> Ends | None:
    source = _source(evidence, "SuiteScores.intervals", scores)
    return _ends(source, f"{model}.{scores.suite}.{metric}", scores.intervals.get(metric), "score")


def _ends(source: FactSource, name: str, interval: Interval | None, form: Form) -> Ends | None:
    if interval is None:
        return None
    return source.fact(f"{name}.low", interval.low, form), source.fact(f"{name}.high", interval.high, form)


def _comparison(evidence: Evidence, row: Beside) -> Comparison | None:
    found = row.paired
    if found is None:
        return None
    source, name = (
        evidence.source("Difference", suite=found.suite, rows=found.rows),
        f"difference.{found.suite}.{found.metric}",
    )
    return Comparison(
        change=source.fact(name, found.difference, "change"),
        interval=_ends(source, name, found.interval, "change"),
        p_value=source.known(f"{name}.p_value", found.p_value, "p_value"),
        rows_needed=source.known(f"{name}.rows_needed", found.rows_needed, "count"),
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


def _clean(evidence: Evidence, base: SuiteScores | None, tuned: SuiteScores) -> CleanScore | None:
    if tuned.clean_rows is None or tuned.primary not in tuned.clean:
        return None
    source = _source(evidence, "SuiteScores.clean", tuned, rows=tuned.clean_rows)
    name, value = f"{tuned.suite}.{tuned.primary}", tuned.clean[tuned.primary]
    before = base.clean.get(tuned.primary) if base else None
    return CleanScore(
        rows=source.fact(f"clean.{tuned.suite}.rows", tuned.clean_rows, "count"),
        base=source.known(f"clean.base.{name}", before, "score"),
        tuned=source.fact(f"clean.tuned.{name}", value, "score"),
        change=source.known(f"clean.change.{name}", None if before is None else value - before, "change"),
    )


def _groups(evidence: Evidence, base: SuiteScores | None, tuned: SuiteScores) -> Iterator[GroupRow]:
    for field, what in (("slices", "slice"), ("subsets", "subset")):
        before = getattr(base, field) if base else {}
        for number, (group, scores) in enumerate(getattr(tuned, field).items()):
            if tuned.primary not in scores:
                continue
            name, rows = f"{what}.{tuned.suite}.{number}", int(scores.get("rows", 0))
            source = _source(evidence, f"SuiteScores.{field}", tuned, rows=rows, data_set=f"{tuned.suite}[{group}]")
            yield GroupRow(
                name=group,
                rows=source.fact(f"{name}.rows", rows, "count"),
                base=source.known(f"{name}.base", before.get(group, {}).get(tuned.primary), "score"),
                tuned=source.fact(f"{name}.tuned", scores[tuned.primary], "score"),
            )


_VERDICTS = {
    "better": ": the tuned model is better",
    "worse": ": the tuned model is worse",
    "not told apart": ": these rows do not tell the two models apart",
}


def _headline(block: SuiteBlock) -> Sentence:
    row, found = block.primary_row, block.comparison
    parts: list[Fact | str] = [f"On {block.title} (split {block.split}, ", block.rows, " rows) the tuned model scores "]
    parts += [row.tuned, f" by {row.name}"]
    if row.interval:
        parts += [" (interval ", row.interval[0], " to ", row.interval[1], ")"]
    if row.base:
        parts += ["; the base model scores ", row.base, " on the same rows"]
    if found and found.interval:
        parts += [". The paired difference is ", found.change, " (", found.interval[0], " to ", found.interval[1], ")"]
        parts.append(_VERDICTS[found.verdict])
    return sentence(*parts, ".")


def _choice(evidence: Evidence, blocks: Sequence[SuiteBlock]) -> tuple[Sentence, ...]:
    recipe, trained, source = evidence.recipe, evidence.trained, evidence.training_source
    steps = source.fact("training.steps", trained.steps, "count")
    chooser = next((block for block in blocks if block.name == recipe.choosing_suite), None)
    if trained.best_step is None or chooser is None:
        return (sentence("No checkpoint was chosen: the weights after the last step, ", steps, ", were kept."),)
    metric = trained.choose_metric or recipe.choosing_metric
    shared = _shared_with_choosing(evidence, blocks)
    found = sentence(
        "Of the evaluated checkpoints, step ", source.fact("training.best_step", trained.best_step, "count"),
        " of ", steps, f" was kept: it has the highest {metric} (",
        source.fact("training.best_metric", trained.best_metric, "score"), f") on {chooser.title}, split "
        f"{chooser.split}.",
    )  # fmt: skip
    if chooser.name == recipe.headline_suite:
        told = "The headline score comes from the same rows, so it is optimistic."
    elif recipe.headline_suite in shared:
        told = f"Scores on {chooser.title} are therefore optimistic."
    else:
        told = f"Scores on {chooser.title} are therefore optimistic; the headline suite chose nothing."
    return (found, sentence(told), *shared.values())


def _shared_with_choosing(evidence: Evidence, blocks: Sequence[SuiteBlock]) -> dict[str, Sentence]:
    """By suite: what it shares with the one that chose the checkpoint, and why the recipe accepts it."""
    recipe, titles, found = evidence.recipe, {block.name: block.title for block in blocks}, {}
    for overlap in evidence.data.suite_overlaps:
        if overlap.first != recipe.choosing_suite or not overlap.equal.pairs or overlap.second not in titles:
            continue
        source = evidence.source(
            "SuiteOverlap", data_set=overlap.first, suite=overlap.second, rows=overlap.equal.of_rows
        )
        name = f"overlap.{overlap.first}.{overlap.second}.chosen"
        parts: list[Fact | str] = [
            f"{titles[overlap.second]} holds ", source.fact(f"{name}.pairs", overlap.equal.pairs, "count"),
            f" pairs of {titles[overlap.first]} too, so that the choice has seen them",
        ]  # fmt: skip
        if why := recipe.evaluation.explained_overlap.get(overlap.second):
            parts += ["; the recipe says: ", source.fact(f"{name}.why", why, "text")]
        found[overlap.second] = sentence(*parts, ".")
    return found


def _intervals(evidence: Evidence) -> Sentence:
    settings, source = evidence.recipe.evaluation, evidence.source("RunConfig.evaluation")
    if settings.resamples == 0:
        return sentence("The recipe asks for no bootstrap, so scores carry no intervals.")
    return sentence(
        "Intervals are bootstrap percentile intervals at ",
        source.fact("evaluation.confidence", settings.confidence, "percent"), " confidence from ",
        source.fact("evaluation.resamples", settings.resamples, "count"),
        " resamples of the rows; differences are paired: both models are measured on the same resampled rows.",
    )  # fmt: skip


def _guard(evidence: Evidence, blocks: Sequence[SuiteBlock]) -> Iterator[Sentence]:
    recipe, source = evidence.recipe, evidence.source("RunConfig.evaluation")
    outcomes = guard_outcomes(recipe, evidence.base_scores, evidence.tuned_scores, evidence.differences)
    for block in blocks:
        if (outcome := outcomes.get(block.name)) is None:
            continue
        parts: list[Fact | str] = [f"{block.title} (split {block.split}) is ", "kept" if outcome.holds else "lost"]
        if found := block.comparison:
            parts += [f": {block.primary} ", found.change, " against the base model"]
            if found.interval:
                parts += [" (interval ", found.interval[0], " to ", found.interval[1], ")"]
        margin = source.fact(f"guard.{block.name}.margin", recipe.evaluation.guard[block.name].margin, "score")
        yield sentence(*parts, ", where a loss of at most ", margin, " is accepted.")


def _source(evidence: Evidence, record: str, scores: SuiteScores, **other: object) -> FactSource:
    """Of what was measured on the suite's rows; `other` fields where only on some of them."""
    own = {"suite", "split", "rows", "data_digest", "model_digest"}
    return evidence.source(record, **{**scores.model_dump(include=own), **other})
