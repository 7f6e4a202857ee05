"""What gets recorded about a run, decided in one place: stage records in, journal entries out. No MLflow here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.evaluation import Difference, EvaluationReport
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.merging import Merge
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.release import HubPush, Release, RuleOutcome
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.tracking.journal import (
    DatasetInput,
    Entry,
    Metrics,
    ModelScores,
    Params,
    Tags,
    flat_params,
    metrics_now,
    milliseconds,
)
from stsflow.tasks.training.events import Event

MINING_METRICS = (
    "rows_before", "rows", "dropped", "filled", "corpus", "candidates", "mined", "like_positives", "share_a_positive",
    "seconds", "peak_memory_bytes",
)  # fmt: skip
"""Fields of the audit of mined negatives that are metrics of a run."""


def recipe_params(recipe: RunConfig) -> Params:
    """The flattened recipe: `training.learning_rate` and so on, every default included."""
    # The description is in the recipe artifact; as a parameter it would drown the comparison table.
    values = recipe.model_dump(mode="json", exclude={"description"})
    return Params(values=dict(flat_params("", values)))


def preparation(
    base: BaseModelRef,
    data: PreparedData,
    tokens: TokenReport,
    plan: PlanReport | None,
    environment: Mapping[str, str],
    guide: BaseModelRef | None = None,
) -> list[Entry]:
    """Data sets as inputs, counts as metrics, base model and environment as tags."""
    entries: list[Entry] = [_input(item, "training") for item in data.train]
    entries += [_input(item, "evaluation") for item in data.evaluation]
    values: dict[str, float] = {}
    for item in (*data.train, *data.evaluation):
        values[f"data/{item.name}/rows"] = item.rows
        values[f"data/{item.name}/rows_read"] = item.counts.read
        for reason, count in item.counts.dropped.items():
            values[f"data/{item.name}/dropped_{reason}"] = count
        if item.quality is not None:
            if item.quality.lexical is not None:
                values[f"quality/{item.name}/lexical_{item.quality.metric}"] = item.quality.lexical
            values[f"quality/{item.name}/nearly_repeated_rows"] = item.quality.near
            if item.quality.agreement is not None:
                values[f"quality/{item.name}/ceiling_{item.quality.metric}"] = item.quality.agreement.ceiling
    for set_tokens in tokens.sets:
        for column, lengths in set_tokens.columns.items():
            values[f"tokens/{set_tokens.name}/{column}_mean"] = lengths.mean
            values[f"tokens/{set_tokens.name}/{column}_p99"] = lengths.p99
            values[f"tokens/{set_tokens.name}/{column}_truncated_share"] = lengths.truncated_share
    for exposure in plan.exposure if plan else ():
        values[f"data/{exposure.name}/rows_seen_share"] = exposure.seen_share
        values[f"data/{exposure.name}/rows_seen"] = exposure.unique_rows_seen
        values[f"data/{exposure.name}/rows_repeated"] = exposure.repeats
    for finding in plan.findings if plan else ():
        if finding.code == "prompts.not_the_bases":
            values |= {f"prompts/{name}": value for name, value in finding.numbers.items()}
    for overlap in data.overlaps:
        values[f"leakage/{overlap.evaluation}/{overlap.train}_rows"] = overlap.exact.rows
        values[f"leakage/{overlap.evaluation}/{overlap.train}_sentences"] = overlap.exact.sentences
        values[f"leakage/{overlap.evaluation}/{overlap.train}_pairs"] = overlap.exact.pairs
    for item in data.train:
        for name in MINING_METRICS if item.mined is not None else ():
            values[f"mining/{item.name}/{name}"] = float(getattr(item.mined, name))
    for shared in data.suite_overlaps:
        values[f"leakage/{shared.second}/{shared.first}_pairs"] = shared.equal.pairs
    entries.append(metrics_now(values))
    tags = {f"stsflow.environment.{name}": value for name, value in environment.items()}
    tags |= {
        "stsflow.base_model": base.name,
        "stsflow.base_revision": base.revision,
        "stsflow.base_digest": base.digest,
        "stsflow.data_fingerprint": data.fingerprint,
    }
    for what, model in (("guide", guide), ("teacher", data.teacher)):
        if model is not None:
            tags |= {f"stsflow.{what}": model.name, f"stsflow.{what}_digest": model.digest}
    entries.append(Tags(values=tags))
    return entries


def training_events(events: Sequence[Event], suite: str | None) -> Metrics | None:
    """Step metrics of trainer events: `train/loss`, `train/learning_rate`, `eval/<suite>/<metric>`."""
    points: list[tuple[str, float, int, int]] = []
    for event in events:
        if event.kind == "log":
            prefix = "train"
        elif event.kind == "evaluation" and suite is not None:
            prefix = f"eval/{event.text or suite}"
        else:
            continue
        moment = int(event.time * 1000)
        points += [(f"{prefix}/{name}", value, moment, event.step or 0) for name, value in event.values.items()]
    return Metrics(points=tuple(points), event=events[-1].seq) if events else None


def training_result(trained: TrainedModel) -> list[Entry]:
    """What the finished training says of itself."""
    values = {
        "train/steps": float(trained.steps),
        "train/seconds": trained.train_seconds,
        "train/cpu_seconds": trained.cpu_seconds,
        "train/peak_memory_bytes": float(trained.peak_memory_bytes),
        "train/mean_loss": trained.train_loss,
        "train/attempts": float(trained.attempts),
    }
    values |= {f"train/{item.part}_joules": item.joules for item in trained.energy if item.joules is not None}
    if trained.adapter is not None:
        values |= {
            "train/adapter_parameters": float(trained.adapter.trained),
            "train/all_parameters": float(trained.adapter.parameters),
            "train/adapter_merge_difference": trained.adapter.difference,
        }
    for exposure in trained.exposure:
        values[f"data/{exposure.name}/rows_fed"] = exposure.rows_seen  # repeats counted each time
        values[f"data/{exposure.name}/rows_fed_distinct"] = exposure.unique_rows_seen
        values[f"data/{exposure.name}/rows_fed_share"] = exposure.seen_share
    tags = {
        "stsflow.training_fingerprint": trained.fingerprint,
        "stsflow.model_digest": trained.model_digest,
        "stsflow.best_step": str(trained.best_step) if trained.best_step is not None else "last",
    }
    tags |= {f"stsflow.lever.{lever.name}": f"{lever.chosen} ({lever.reason})" for lever in trained.levers}
    for item in trained.energy:
        tags[f"stsflow.energy.{item.part}"] = f"{'not ' if item.joules is None else ''}measured: {item.how}"
    return [metrics_now(values, step=trained.steps), Tags(values=tags)]


def scores(reports: Iterable[EvaluationReport], differences: Iterable[Difference]) -> list[Entry]:
    """`base/<suite>/<metric>`, `tuned/<suite>/<metric>`, the same of references such as `bm25`, and the paired
    differences."""
    values: dict[str, float] = {}
    for report in reports:
        for name, suite in report.suites.items():
            for metric, value in suite.metrics.items():
                values[f"{report.model}/{name}/{metric}"] = value
            for metric, value in suite.clean.items():
                values[f"{report.model}/{name}/clean/{metric}"] = value
            if suite.reference is not None:
                for metric, value in suite.reference.metrics.items():
                    values[f"{suite.reference.name}/{name}/{metric}"] = value
    for difference in differences:
        stem = f"gain/{difference.suite}/{difference.metric}"
        values[stem] = difference.difference
        if difference.interval is not None:
            values[f"{stem}_low"] = difference.interval.low
            values[f"{stem}_high"] = difference.interval.high
    return [metrics_now(values)]


def model_scores(reports: Iterable[EvaluationReport], digest: str) -> ModelScores:
    """Which metrics are those of the logged model with this digest, on which data set: all of its suites."""
    found = [
        (f"{report.model}/{name}/{metric}", name, suite.data_digest)
        for report in reports
        if report.model_digest == digest
        for name, suite in report.suites.items()
        for metric in suite.metrics
    ]
    return ModelScores(digest=digest, scores=tuple(found))


def merging(merge: Merge) -> list[Entry]:
    """`merge/<suite>/<metric>` by the share of the tuned model in per cent, `merge_seeds/…` by seed, and the share that
    was chosen."""
    now = milliseconds()
    points = tuple(
        (f"merge/{suite}/{merge.metrics[suite]}", score, now, round(100 * point.weight))
        for point in merge.points
        for suite, score in point.scores.items()
    )
    points += tuple(
        (f"merge_seeds/{suite}/{merge.metrics[suite]}", score, now, one.seed)
        for one in merge.seeds
        for suite, score in one.scores.items()
    )
    return [Metrics(points=points), Tags(values={"stsflow.merge": f"{merge.chosen:g} of the tuned model"})]


def exports(found: Exports) -> list[Entry]:
    """`export/<name>/…`: distances, scores with the paired difference, size and speed; tags say what is released."""
    values: dict[str, float] = {f"export/torch/milliseconds_{one.batch}": one.milliseconds for one in found.speed}
    said = {}
    for item in found.items:
        stem = f"export/{item.name}"
        said[f"{stem}/released"] = str(item.passed).lower()
        said[f"{stem}/kind"], said[f"{stem}/digest"] = item.kind, item.digest
        if item.reasons:
            said[f"{stem}/why_not"] = "; ".join(item.reasons)
        for difference in item.differences:
            on = f"{stem}/{difference.suite}/{difference.metric}"
            values[f"{on}_difference"] = difference.difference
            if difference.interval is not None:
                values |= {f"{on}_low": difference.interval.low, f"{on}_high": difference.interval.high}
        if (figures := item.figures) is None:
            continue
        named = {"max_distance": figures.max_distance, "mean_distance": figures.mean_distance}
        values |= {f"{stem}/{name}": value for name, value in named.items() if value is not None}
        values |= {f"{stem}/batch_distance": figures.batch_distance, f"{stem}/size_bytes": float(figures.size_bytes)}
        values |= {f"{stem}/milliseconds_{one.batch}": one.milliseconds for one in figures.speed}
        values |= {f"{stem}/texts_per_second_{one.batch}": one.texts_per_second for one in figures.speed}
        for name, suite in figures.scores.suites.items():
            values |= {f"{stem}/{name}/{metric}": value for metric, value in suite.metrics.items()}
    return [metrics_now(values), Tags(values={name: text for name, text in said.items() if text})]


def guard(outcomes: Mapping[str, RuleOutcome]) -> list[Entry]:
    """Whether each guard suite was kept, and why."""
    said = {name: f"{'kept' if one.holds else 'lost'}: {one.reason}" for name, one in outcomes.items()}
    return [Tags(values={f"stsflow.guard.{name}": text for name, text in said.items()})] if said else []


def release_step(step: str, result: Release) -> Tags:
    """How far the release has come, and on what it was decided."""
    basis = result.basis
    values = {"stsflow.release.step": step}
    if basis is not None:
        against = "nobody" if basis.champion is None else f"version {basis.champion}"
        values |= {"stsflow.release.against": against, "stsflow.release.evidence": basis.evidence}
    return Tags(values=values)


def release(result: Release) -> list[Entry]:
    """How the release ended, and what it took of the error budgets of the test sets."""
    left = {f"looks/{look.suite}/budget_left": look.left for look in result.looks if look.budget is not None}
    levels = {f"looks/{look.suite}/level": look.level for look in result.looks if look.budget is not None}
    counts = {f"looks/{look.suite}/number": float(look.number) for look in result.looks}
    return [Tags(values=release_tags(result)), *([metrics_now(left | levels | counts)] if counts else [])]


def release_tags(result: Release) -> dict[str, str]:
    """How a release ended, as tags of its run."""
    values = {"stsflow.promoted": str(result.promoted).lower(), "stsflow.release": result.sentence}
    if result.version is not None:
        values |= {"stsflow.registered_model": str(result.registered_as), "stsflow.model_version": result.version}
    return values


def hub_tags(pushed: HubPush) -> dict[str, str]:
    """Where a version lies on the hub, as tags of the version and of its run."""
    values = {
        "stsflow.hub.repo": pushed.repo, "stsflow.hub.revision": pushed.revision, "stsflow.hub.commit": pushed.commit,
        "stsflow.hub.url": pushed.url, "stsflow.hub.pull_request": pushed.pull_request,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value}


def _input(item: PreparedSet, context: str) -> DatasetInput:
    return DatasetInput(
        name=item.name, digest=item.digest, source=item.source.uri, revision=item.source.revision, context=context,
        rows=item.rows, columns=item.columns,
    )  # fmt: skip
