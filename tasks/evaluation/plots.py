"""Figures of an evaluation, as PNG files: gold against predicted, and base against tuned with intervals.

Figures are made with matplotlib's objects and the file-only Agg canvas: no window system, no global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.records import EvaluationReport
from tasks.statistics.correlation import Floats, is_constant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODEL_COLOURS = ("#9aa5b1", "#1f6fb4", "#d17a22", "#4b8f4b")
# From this many points on, single dots hide one another and hexagons coloured by count say more.
DENSITY_FROM_ROWS = 400


def plot_scatter(gold: Floats, predicted: Floats, path: Path, *, title: str, spearman: float) -> Path:
    """Cosine similarity over gold score, one point a pair (counts in hexagons for many); return `path`."""
    from matplotlib.colors import LogNorm

    figure, axes = _figure(6.4, 4.8)
    if len(gold) >= DENSITY_FROM_ROWS:
        # Gold scores are few distinct values: as many hexagons across as there are values, 12 to 26, keeps them full.
        across = int(np.clip(len(np.unique(gold)), 12, 26))
        shades = LogNorm(vmin=0.3)  # starts below one pair, so that a hexagon with one is seen on white
        hexagons = axes.hexbin(gold, predicted, gridsize=across, mincnt=1, cmap="Blues", norm=shades, linewidths=0.2)
        figure.colorbar(hexagons, ax=axes, label="pairs")
    else:
        axes.scatter(gold, predicted, s=16, alpha=0.5, color=MODEL_COLOURS[1], linewidths=0)
    if len(gold) > 2 and not is_constant(gold):
        slope, start = np.polyfit(gold, predicted, 1)
        ends = np.array([gold.min(), gold.max()])
        axes.plot(ends, start + slope * ends, color="#c0392b", linewidth=1.5, label="least squares")
        axes.legend(loc="lower right", frameon=True)
    axes.set_xlabel("gold score (0 to 1)")
    axes.set_ylabel("cosine similarity")
    axes.set_title(f"{_short(title)}\nSpearman {100 * spearman:.2f}, {len(gold):,} pairs", fontsize=11)
    return _save(figure, path)


def plot_comparison(reports: Sequence[EvaluationReport], path: Path) -> Path:
    """Primary metric of every suite as bars, one for each model, with bootstrap intervals; return `path`."""
    suites = list(reports[0].suites)
    figure, axes = _figure(max(5.0, 2.2 + 1.5 * len(suites)), 4.2)
    width = 0.8 / len(reports)
    for index, report in enumerate(reports):
        scores = [report.suites[suite] for suite in suites]
        heights = np.array([100 * score.metrics[score.primary] for score in scores])
        found = [score.intervals.get(score.primary) for score in scores]
        lows = [0.0 if item is None else max(0.0, h - 100 * item.low) for h, item in zip(heights, found, strict=True)]
        highs = [0.0 if item is None else max(0.0, 100 * item.high - h) for h, item in zip(heights, found, strict=True)]
        places = np.arange(len(suites)) + (index - (len(reports) - 1) / 2) * width
        colour = MODEL_COLOURS[index % len(MODEL_COLOURS)]
        axes.bar(places, heights, width * 0.92, yerr=[lows, highs], capsize=4, color=colour, label=report.model)
        for place, height, high in zip(places, heights, highs, strict=True):
            if not np.isnan(height):
                axes.annotate(f"{height:.1f}", (place, max(height, 0) + high), xytext=(0, 3),
                              textcoords="offset points", ha="center", fontsize=9)  # fmt: skip
    axes.set_xticks(range(len(suites)), [_tick(reports[0], suite) for suite in suites])
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.margins(y=0.15)
    axes.set_ylabel("score x 100")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=len(reports), frameon=False)
    return _save(figure, path)


def _tick(report: EvaluationReport, suite: str) -> str:
    return f"{_short(suite, 24)}\n{report.suites[suite].primary}\nn = {report.suites[suite].rows:,}"


def _short(text: str, length: int = 60) -> str:
    # A dollar sign would start matplotlib's mathematics.
    text = " ".join(text.split()).replace("$", r"\$")
    return text if len(text) <= length else text[: length - 1] + "…"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the software's name and date, equal scores give equal bytes.
    figure.savefig(path, metadata={"Software": None})
    return path
