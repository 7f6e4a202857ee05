"""Whether the rows of a suite define its metrics: found out where the rows are read, hours before they are scored."""

from __future__ import annotations

import pyarrow as pa

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.suites import Suite

UNDEFINED = "suite.undefined"
"""Code of the finding that a suite's metrics are not defined."""


def describe_gold(name: str, suite: Suite, table: pa.Table) -> tuple[Finding, ...]:
    """A warning when the suite's metrics are not defined on its rows; raises DataError when it cannot be scored."""
    why = suite.why_undefined(name, table)
    if not why:
        return ()
    return (
        Finding(
            severity="warning", code=UNDEFINED, subject=name,
            message=f"The metrics of {name} are not defined: {why}.",
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
