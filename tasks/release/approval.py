"""A person's yes: asked for with a time limit, kept as tags of the version, so that whoever uses the registry reads it.

One tag holds the whole record and is written at once; the readable ones beside it follow from it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.recipe.sections import ApprovalConfig
from stsflow.tasks.records.release import Approval, Release
from stsflow.tasks.tracking.registry import Registry

TAG = "stsflow.approval"
"""State of a version's approval, in a word; with `.by`, `.because`, `.at`, `.until` what a person looks for."""
RECORD_TAG = f"{TAG}.record"
LONGEST_REASON = 1000
"""Characters of a reason that are kept: a tag has room for 5,000 on PostgreSQL, the record holds two reasons."""


def now() -> datetime:
    """This moment, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def hours_of(wanted: ApprovalConfig | None) -> float | None:
    """Hours that a person has for a yes; None where none is asked."""
    return None if wanted is None else wanted.timeout_hours


def approval_of(registry: Registry, name: str, version: str) -> Approval | None:
    """The version's approval; None where none was asked for. One whose time is over is noted as such, and returned so.

    Raises PreconditionError when the record cannot be read.
    """
    text = registry.version_tags(name, version).get(RECORD_TAG)
    if text is None:
        return None
    try:
        found = Approval.model_validate_json(text)
    except ValidationError:
        raise PreconditionError(
            f"the tag {RECORD_TAG} of version {version} of {name!r} is no record of an approval, so that nobody can "
            "say what was asked; delete it in MLflow and decide anew"
        ) from None
    if found.is_over(now()):
        found = found.model_copy(update={"state": "timed out", "when": found.until})
        note(registry, name, version, found)
    return found


def ask(registry: Registry, name: str, version: str, decision: Release, hours: float) -> Approval:
    """The version's approval: the one that stands on the same basis, answered with a yes or waiting, else a new one."""
    assert decision.basis is not None
    found = approval_of(registry, name, version)
    if found is not None and found.basis == decision.basis and found.state in ("waiting", "approved"):
        note(registry, name, version, found)  # a kill may have kept the readable tags back
        return found
    asked = now()
    new = Approval(
        state="waiting", basis=decision.basis, reason=_short(decision.reason), asked=asked.isoformat(),
        until=(asked + timedelta(hours=hours)).isoformat(),
    )  # fmt: skip
    note(registry, name, version, new)
    return new


def answered(approval: Approval, state: str, who: str, why: str) -> Approval:
    """The approval with its answer."""
    answer = {"state": state, "who": _short(who), "why": _short(why), "when": now().isoformat()}
    return Approval.model_validate(approval.model_dump() | answer)


def note(registry: Registry, name: str, version: str, approval: Approval) -> None:
    """Keep the approval with the version."""
    registry.tag_version(name, version, RECORD_TAG, approval.model_dump_json())
    said = {"until": approval.until, "by": approval.who, "because": approval.why, "at": approval.when}
    for key, text in said.items():
        registry.tag_version(name, version, f"{TAG}.{key}", text)
    registry.tag_version(name, version, TAG, approval.state)


def note_overdue(registry: Registry) -> list[str]:
    """Note every approval of the registry whose time is over as timed out; `name version N` of each."""
    noted = []
    for version in registry.client.search_model_versions(f"tags.`{TAG}` = 'waiting'"):
        found = approval_of(registry, version.name, str(version.version))
        if found is not None and found.state == "timed out":
            noted.append(f"{version.name} version {version.version}")
    return noted


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 2] + " …"
