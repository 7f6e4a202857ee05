"""Whether an export may be released: what was measured against its limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stsflow.tasks.exports import Limits
from stsflow.tasks.records.evaluation import Difference
from stsflow.tasks.records.exports import ExportFigures
from stsflow.tasks.suites import Suite


def why_not_released(
    limits: Limits, figures: ExportFigures, differences: Sequence[Difference]
) -> tuple[str, ...]:  # fmt: skip
    """A sentence for each limit that is not kept; none where the export may be released.

    A figure that is not a number keeps no limit.
    """
    return (*_distances(limits, figures), *_losses(limits, figures, differences), *_costs(limits, figures))


def _distances(limits: Limits, figures: ExportFigures) -> Iterator[str]:
    named = (
        ("largest", figures.max_distance, limits.max_distance),
        ("mean", figures.mean_distance, limits.mean_distance),
    )
    for which, found, limit in named:
        if found is not None and limit is not None and not found <= limit:
            yield (
                f"the {which} cosine distance to the tuned model is {found:.2g} over {figures.texts:,} texts; "
                f"allowed is {limit:.2g}"
            )


def _losses(limits: Limits, figures: ExportFigures, differences: Sequence[Difference]) -> Iterator[str]:
    if limits.metric_loss is None:
        return
    for found in differences:
        metric = Suite.of(figures.scores.suites[found.suite].kind).metric(found.metric)
        ends = (found.difference,) if found.interval is None else (found.interval.low, found.interval.high)
        worse = min(metric.gain(end) for end in ends)
        if not -worse <= limits.metric_loss:
            by = "" if found.interval is None else (
                f", {found.interval.confidence:.0%} interval {found.interval.low:+.4f} to {found.interval.high:+.4f}"
            )  # fmt: skip
            yield (
                f"{found.metric} on {found.suite} differs from the tuned model's by {found.difference:+.4f}{by}; "
                f"allowed is a loss of {limits.metric_loss:.4g}"
            )


def _costs(limits: Limits, figures: ExportFigures) -> Iterator[str]:
    if limits.size_bytes is not None and figures.size_bytes > limits.size_bytes:
        yield f"its files take {figures.size_bytes:,} bytes; allowed are {limits.size_bytes:,}"
    alone = next((one for one in figures.speed if one.batch == 1), None)
    if limits.milliseconds is not None and (alone is None or alone.milliseconds > limits.milliseconds):
        found = "not known" if alone is None else f"{alone.milliseconds:.1f} ms"
        yield f"the time for one text alone is {found}; allowed are {limits.milliseconds:.4g} ms"
