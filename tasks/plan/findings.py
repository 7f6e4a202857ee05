"""Findings of all stages in one list, problems first."""

from __future__ import annotations

from collections.abc import Iterable

from stsflow.tasks.records.findings import Finding

_RANK = {"error": 0, "warning": 1, "info": 2}


def merge_findings(*groups: Iterable[Finding]) -> tuple[Finding, ...]:
    """All findings: errors, then warnings, then information, each in the order given; the same one only once."""
    distinct: list[Finding] = []
    for group in groups:
        distinct += [finding for finding in group if finding not in distinct]
    return tuple(sorted(distinct, key=lambda finding: _RANK[finding.severity]))


def one_a_cause(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in order; those that one change would mend are one, which names all that it is about."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.code, finding.remedy or finding.subject), []).append(finding)
    return [_joined(group) for group in groups.values()]


def _joined(group: list[Finding]) -> Finding:
    first, *others = group
    if not others:
        return first
    also = ", ".join(finding.subject for finding in others)
    numbers = {f"{item.subject}/{name}": value for item in group for name, value in item.numbers.items()}
    return first.model_copy(
        update={
            "subject": f"{first.subject}, {also}", "message": f"{first.message} The same holds for {also}.",
            "numbers": numbers,
        }
    )  # fmt: skip
