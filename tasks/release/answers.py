"""What a person answers, where a version waits for a yes. Each answer is safe to repeat."""

from __future__ import annotations

from shlex import quote

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.records.release import Approval, Release
from stsflow.tasks.release.approval import answered, approval_of, note
from stsflow.tasks.release.promotion import crowned, require_unmoved, verdict_on
from stsflow.tasks.release.trail import CANDIDATE, leave_step, turned_down
from stsflow.tasks.tracking.registry import Registry


def approve(registry: Registry, name: str, version: str, who: str, why: str) -> Release:
    """Make the waiting `version` champion on a person's word; repeating it ends what a kill has interrupted.

    Raises PreconditionError where it does not wait (any more), ChampionMoved where it has to be decided anew.
    """
    approval = _open_question(registry, name, version, "approved")
    require_unmoved(registry, name, version, approval.basis)
    if (verdict := verdict_on(registry, name, approval.basis.weights)) is not None:
        raise PreconditionError(f"version {version} of {name!r} cannot be approved: {verdict}")
    if approval.state == "waiting":
        approval = answered(approval, "approved", who, why)
    note(registry, name, version, approval)
    decision = Release(
        registered_as=name, version=version, wins=True, basis=approval.basis, approval=approval, reason=approval.reason
    )
    return crowned(registry, name, version, decision)


def refuse(registry: Registry, name: str, version: str, who: str, why: str) -> Release:
    """Turn the waiting `version` down on a person's word: its weights stay out as those of a rejected candidate do.

    Raises PreconditionError where it does not wait (any more).
    """
    approval = answered(_open_question(registry, name, version, "refused"), "refused", who, why)
    if approval.basis.weights not in turned_down(registry, name):
        leave_step(registry, name, "rejected", version, None, why, approval.basis.weights, who)
    note(registry, name, version, approval)
    candidate = registry.alias(name, CANDIDATE)
    if candidate is not None and str(candidate.version) == version:
        registry.delete_alias(name, CANDIDATE)
    return Release(
        registered_as=name, version=version, wins=True, basis=approval.basis, approval=approval, reason=approval.reason
    )


def _open_question(registry: Registry, name: str, version: str, answer: str) -> Approval:
    """The approval that waits for an answer, or has this one already."""
    approval = approval_of(registry, name, version)
    anew = f"decide anew with: stsflow promote {quote(name)}"
    if approval is None:
        raise PreconditionError(f"version {version} of {name!r} does not wait for a person's yes; {anew}")
    if approval.state not in ("waiting", answer):
        raise PreconditionError(f"version {version} of {name!r} does not wait any more: {approval.in_words()}; {anew}")
    if registry.weights_of(name, version) != approval.basis.weights:
        raise PreconditionError(
            f"version {version} of {name!r} has other weights than those that were decided on; {anew}"
        )
    return approval


def waiting_version(registry: Registry, name: str) -> str:
    """The candidate's version; raises PreconditionError where there is none, so that nothing can wait."""
    candidate = registry.alias(name, CANDIDATE)
    if candidate is None:
        raise PreconditionError(f"the registered model {name!r} has no candidate, so that nothing waits for a yes")
    return str(candidate.version)
