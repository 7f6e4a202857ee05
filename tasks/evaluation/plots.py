"""Figures of an evaluation, as PNG files: gold against predicted, and base against tuned with intervals.

Figures are made with matplotlib's objects and the file-only Agg canvas: no window system, no global state.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stsflow.tasks.statistics.correlation import Floats, is_constant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINT_COLOUR = "#1f6fb4"
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
        axes.scatter(gold, predicted, s=16, alpha=0.5, color=POINT_COLOUR, linewidths=0)
    if len(gold) > 2 and not is_constant(gold):
        slope, start = np.polyfit(gold, predicted, 1)
        ends = np.array([gold.min(), gold.max()])
        axes.plot(ends, start + slope * ends, color="#c0392b", linewidth=1.5, label="least squares")
        axes.legend(loc="lower right", frameon=True)
    axes.set_xlabel("gold score (0 to 1)")
    axes.set_ylabel("cosine similarity")
    axes.set_title(f"{_short(title)}\nSpearman {spearman:.4f}, {len(gold):,} pairs", fontsize=11)
    return _save(figure, path)


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
