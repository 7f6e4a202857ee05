"""Findings of all stages in one list, problems first."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.records import Finding

_RANK = {"error": 0, "warning": 1, "info": 2}


def merge_findings(*groups: Iterable[Finding]) -> tuple[Finding, ...]:
    """All findings: errors, then warnings, then information, each in the order given; the same one only once."""
    distinct: list[Finding] = []
    for group in groups:
        distinct += [finding for finding in group if finding not in distinct]
    return tuple(sorted(distinct, key=lambda finding: _RANK[finding.severity]))
