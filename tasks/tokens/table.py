"""Token statistics as the rows of a table."""

from __future__ import annotations

from stsflow.tasks.records.tokens import TokenReport


def token_table(report: TokenReport) -> list[dict[str, str | float]]:
    """One row for each set and column; shares in percent, rounded to two decimals."""
    return [
        {
            "set": f"{item.name} ({item.role})",
            "column": name,
            "rows": column.rows,
            "distinct": column.distinct,
            "min": column.minimum,
            "mean": round(column.mean, 1),
            "median": round(column.median, 1),
            "p95": round(column.p95, 1),
            "p99": round(column.p99, 1),
            "max": column.maximum,
            f"cut at {report.max_seq_length} (%)": round(100 * column.truncated_share, 2),
            "unknown (%)": round(100 * column.unknown_share, 2),
            f"padding at batch {item.batch_size} (%)": round(100 * item.padding_share, 2),
        }
        for item in report.sets
        for name, column in item.columns.items()
    ]
