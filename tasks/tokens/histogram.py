"""The picture of token lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stsflow.tasks.records.tokens import LengthStatistics, SetTokens, TokenReport

PANEL_HEIGHT = 2.2
BINS = 60
"""At most."""


def draw_histogram(report: TokenReport, path: Path) -> Path:
    """Write a PNG at `path`: one panel for each set, one outline for each column, a line at max_seq_length.

    The vertical axis is the share of the rows in percent, so that columns of any size can be compared; the horizontal
    one ends where all but one in a thousand texts have ended, and the panel says how long the longest is.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.8 + PANEL_HEIGHT * len(report.sets)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, item in enumerate(report.sets):
        panel = figure.add_subplot(len(report.sets), 1, place + 1)
        right = max(_visible_end(column) for column in item.columns.values())
        width = -(-right // BINS)  # whole tokens, or neighbouring bins would hold different numbers of lengths
        edges = np.arange(0.5, right + width + 0.5, width)
        for name, column in item.columns.items():
            lengths = np.array(list(column.histogram))
            weights = np.array(list(column.histogram.values())) * 100 / max(1, column.rows)
            panel.hist(lengths, bins=edges.tolist(), weights=weights, histtype="step", linewidth=1.6, label=name)
        if report.max_seq_length <= right:
            panel.axvline(report.max_seq_length, color="black", linestyle="--", linewidth=1)
        panel.set_xlim(0, right + 1)
        panel.set_title(_title(item, report.max_seq_length), fontsize=9, loc="left")
        panel.set_ylabel("rows (%)", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(fontsize=8, frameon=False)
    panel.set_xlabel(f"tokens ({report.tokenizer}, special tokens included)", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, format="png")
    return path


def _visible_end(column: LengthStatistics) -> int:
    """Length that all but one in a thousand rows stay below."""
    lengths = np.array(sorted(column.histogram))
    ends = np.cumsum([column.histogram[length] for length in lengths])
    return int(lengths[np.searchsorted(ends, 0.999 * ends[-1])]) + 1


def _title(item: SetTokens, limit: int) -> str:
    cut = sum(column.truncated_rows for column in item.columns.values())
    longest = max(column.maximum for column in item.columns.values())
    return f"{item.name} ({item.role}): longest {longest:,} tokens; max_seq_length {limit:,} cuts {cut:,} texts"
