"""The card's own figures: training curve, base against tuned with intervals, and the curve of merging."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from stsflow.tasks.card.evaluation_section import Ends, EvaluationSection
from stsflow.tasks.card.facts import Fact
from stsflow.tasks.card.merge_section import MergeSection
from stsflow.tasks.card.slices_section import SlicesBlock
from stsflow.tasks.card.training_section import TrainingSection
from stsflow.tasks.ground.files import write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BASE, _TUNED, _LOSS = "#8c8c8c", "#1f5fa8", "#b3541e"
_COLOURS = {"better": _TUNED, "worse": _LOSS, "not told apart": _BASE}


def has_curve(training: TrainingSection) -> bool:
    """Whether the log has two points of one curve to join."""
    return max(len(_points(training, "loss")), len(_points(training, "metric"))) > 1


def draw_training_curve(training: TrainingSection, path: Path) -> Path:
    """Training loss (left axis) and choosing metric (right axis) by step, the kept checkpoint marked; a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=144, layout="constrained")
    left = figure.subplots()
    losses, metrics = _points(training, "loss"), _points(training, "metric")
    left.set_xlabel("Optimiser step")
    if losses:
        left.plot(*zip(*losses, strict=True), color=_LOSS, marker=".", label="Training loss")
        left.set_ylabel("Training loss", color=_LOSS)
        left.set_ylim(bottom=0)
    if metrics:
        right = left.twinx() if losses else left
        right.plot(*zip(*metrics, strict=True), color=_TUNED, marker="o", markersize=4, label=training.metric)
        right.set_ylabel(training.metric, color=_TUNED)
        best = next((row for row in training.log if row.is_best), None)
        if best is not None and best.metric is not None:
            point = [best.step.number or 0.0], [best.metric.number or 0.0]
            right.plot(*point, "o", markersize=13, markerfacecolor="none", color=_TUNED)
            left.set_title(f"Kept (ring): step {best.step.text}, {best.metric.text}", color=_TUNED, fontsize="medium")
    left.grid(axis="x", alpha=0.25)
    return _save(figure, path)


def draw_comparison(evaluation: EvaluationSection, path: Path) -> Path:
    """One pair of points for each suite: base and tuned model by the primary metric, with their intervals.

    Suites are labelled by their names in the recipe, which any font can show. A PNG.
    """
    from matplotlib.figure import Figure

    blocks = evaluation.suites
    figure = Figure(figsize=(7.5, 1.6 + 0.75 * len(blocks)), dpi=144, layout="constrained")
    axes = figure.subplots()
    labelled = False
    for height, block in enumerate(reversed(blocks)):
        row = block.primary_row
        label = not labelled and row.base is not None and row.base.number is not None
        labelled = labelled or label
        _draw_model(axes, height + 0.14, row.base, row.base_interval, _BASE, "base" if label else None)
        _draw_model(axes, height - 0.14, row.tuned, row.interval, _TUNED, "tuned" if label else None)
    axes.set_yticks(
        range(len(blocks)), [f"{block.name}\n{block.primary}, n={block.rows.text}" for block in reversed(blocks)]
    )
    axes.set_ylim(-0.6, len(blocks) - 0.4)
    axes.margins(x=0.18)
    measured = any(block.primary_row.interval for block in blocks)
    axes.set_xlabel("Score" + (" (bars: intervals)" if measured else ""))
    axes.grid(axis="x", alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.28 / len(blocks)), ncols=2, frameon=False)
    return _save(figure, path)


def draw_slices(slices: SlicesBlock, path: Path) -> Path:
    """Tuned minus base on every slice, with the intervals that hold for all of them together; a PNG.

    Slices are numbered as in the card's table: their names come from the data, and a font may lack their script.
    """
    from matplotlib.figure import Figure

    rows = slices.rows
    figure = Figure(figsize=(7.5, 1.4 + 0.28 * len(rows)), dpi=144, layout="constrained")
    axes = figure.subplots()
    for height, row in enumerate(reversed(rows)):
        change, low, high = row.change.number or 0.0, *(end.number or 0.0 for end in row.interval)
        spread = [[max(change - low, 0.0)], [max(high - change, 0.0)]]
        axes.errorbar([change], [height], xerr=spread, fmt="o", color=_COLOURS[row.verdict], capsize=3, markersize=4)
    axes.axvline(0.0, color=_BASE, linewidth=1)
    count = len(rows)
    axes.set_yticks(
        range(count), [f"{count - index} (n={rows[count - 1 - index].rows.text})" for index in range(count)]
    )
    axes.set_ylim(-0.7, count - 0.3)
    axes.set_xlabel("Tuned minus base (bars: intervals for all slices together)")
    axes.grid(axis="x", alpha=0.25)
    return _save(figure, path)


def draw_merge_curve(merge: MergeSection, path: Path) -> Path:
    """Each suite's score by the share of the tuned model, the chosen share marked; a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=144, layout="constrained")
    axes = figure.subplots()
    shares = [100 * (row.weight.number or 0.0) for row in merge.rows]
    for number, suite in enumerate(merge.names):
        found = (row.scores[number].number for row in merge.rows)
        scores = [math.nan if score is None else score for score in found]
        axes.plot(shares, scores, marker="o", markersize=4, label=suite)
    chosen = next(row for row in merge.rows if row.is_chosen)
    axes.axvline(100 * (chosen.weight.number or 0.0), color=_TUNED, linestyle="--", label="chosen")
    axes.set_xlabel("Share of the tuned model in %")
    axes.set_ylabel("Score")
    axes.grid(axis="x", alpha=0.25)
    axes.legend(frameon=False)
    return _save(figure, path)


def _draw_model(
    axes: Axes, height: float, score: Fact | None, interval: Ends | None, colour: str, label: str | None
) -> None:
    if score is None or score.number is None:
        return
    value, (low, high) = score.number, (end.number for end in interval) if interval else (None, None)
    spread = None if low is None or high is None else [[max(value - low, 0.0)], [max(high - value, 0.0)]]
    axes.errorbar([value], [height], xerr=spread, fmt="o", color=colour, capsize=4, label=label)
    axes.annotate(score.text, (value, height), xytext=(0, 6), textcoords="offset points", ha="center", color=colour)


def _points(training: TrainingSection, field: str) -> list[tuple[float, float]]:
    found = []
    for row in training.log:
        fact: Fact | None = getattr(row, field)
        if fact is not None and fact.number is not None and row.step.number is not None:
            found.append((row.step.number, fact.number))
    return found


def _save(figure: Figure, path: Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return write_bytes_atomically(path, content.getvalue())
