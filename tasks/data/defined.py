"""Whether the rows of a suite define its metrics: found out where the rows are read, hours before they are scored."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding

UNDEFINED = "suite.undefined"
"""Code of the finding that a suite's metrics are not defined."""


def describe_gold(suite: str, kind: str, table: pa.Table) -> tuple[Finding, ...]:
    """A warning when no correlation with the suite's gold scores is defined.

    Raises DataError for a retrieval suite without a relevant passage: it cannot be scored at all.
    """
    if kind == "retrieval" and not pc.any(pc.greater(table["score"], 0.0)).as_py():
        raise DataError(
            f"{suite}: none of its {table.num_rows:,} rows has a relevance above 0, so no query has a passage to find; "
            "at least one must."
        )
    if kind not in ("sts", "matryoshka"):
        return ()
    if pc.count_distinct(table["score"]).as_py() < 2:
        why = f"all {table.num_rows:,} rows have the same gold score" if table.num_rows > 1 else "it has one row"
    elif pc.all(pc.equal(table["sentence1"], table["sentence2"])).as_py():
        why = f"each of its {table.num_rows:,} rows is one text twice, so that every similarity is the same"
    else:
        return ()
    return (
        Finding(
            severity="warning", code=UNDEFINED, subject=suite,
            message=f"The metrics of {suite} are not defined: {why}, and a correlation needs values that differ.",
            remedy="Give the suite rows whose scores differ, or leave it out.",
            numbers={"rows": table.num_rows},
        ),
    )  # fmt: skip


def require_defined(data: PreparedData, *, choosing: str | None = None, headline: str | None = None) -> None:
    """Raise DataError when the metrics of the suite that chooses the checkpoint, or of the headline, are undefined."""
    jobs = {choosing: "chooses the checkpoint", headline: "gives the headline score"}
    for finding in data.findings:
        if finding.code == UNDEFINED and finding.subject in jobs:
            raise DataError(f"{finding.message} {finding.subject} {jobs[finding.subject]}. {finding.remedy}")
