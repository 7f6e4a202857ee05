"""Moves the aliases `candidate`, `champion` and `previous` of a registered model, and leaves a trail.

Each step is safe to repeat. `previous` is set before `champion` moves: a kill in between leaves the old champion in
place, and a repeated promotion finds the same state and ends the same way. Nothing is moved on a decision whose basis
is another one by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from shlex import quote

from stsflow.tasks.ground.environment import user_name
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.looks import ErrorBudget
from stsflow.tasks.records.release import Basis, Release
from stsflow.tasks.release.approval import answered, approval_of, ask, note
from stsflow.tasks.release.decision import decide
from stsflow.tasks.release.looks import take_looks
from stsflow.tasks.release.trail import (
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    leave_step,
    made_champion,
    say_what_was_unsaid,
    turned_down,
)
from stsflow.tasks.rules import Rule
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.registry import Registry

SHORTEST_DIGEST = 12
"""Characters of a digest that may stand for it; anything shorter is a version's number."""


class ChampionMoved(PreconditionError):
    """The champion is not the one that the decision was made against; decide anew."""


def basis_of(
    registry: Registry, name: str, candidate: EvaluationReport, rules: Sequence[Rule], guards: Sequence[Rule] = ()
) -> Basis:
    """What a decision on `candidate` would stand on now."""
    champion = registry.alias(name, CHAMPION)
    version = None if champion is None else str(champion.version)
    scores = {suite: [one.data_digest, one.metrics] for suite, one in candidate.suites.items()}
    evidence = [scores, candidate.model_bytes, candidate.latency_milliseconds, [*rules], [*guards]]
    return Basis(
        weights=candidate.model_digest, evidence=fingerprint(evidence), champion=version,
        champion_weights=registry.weights_of(name, version) if version is not None else None,
    )  # fmt: skip


def still_stands(decision: Release, now: Basis) -> bool:
    """Whether a decision holds now: on the same basis, or where the candidate has become champion by it since."""
    if decision.basis is None or decision.basis == now:
        return decision.basis is not None
    same = (decision.basis.weights, decision.basis.evidence) == (now.weights, now.evidence)
    return decision.wins and same and now.champion_weights == now.weights


def decide_on(
    registry: Registry, name: str, basis: Basis, rules: Sequence[Rule], candidacy: Candidacy,
    guards: Sequence[Rule] = (), budget: ErrorBudget | None = None,
) -> Release:  # fmt: skip
    """The decision on the candidate; nothing is moved. `basis` was taken before the champion was measured.

    A gain over the champion is claimed at the level that the error `budget` of the rows leaves; without one, by the
    interval. Either way the ledger of looks has it.
    """
    verdict = verdict_on(registry, name, basis.weights)
    candidacy = candidacy.model_copy(update={"turned_down": verdict})
    decision = decide(rules, _looked(registry, name, rules, candidacy, budget), guards)
    return decision.model_copy(
        update={"registered_as": name, "wins": decision.promoted, "promoted": False, "basis": basis}
    )


def _looked(
    registry: Registry, name: str, rules: Sequence[Rule], candidacy: Candidacy, budget: ErrorBudget | None
) -> Candidacy:
    """The candidacy with its looks; kept out, with the reason, where the ledger cannot be read."""
    try:
        return candidacy.model_copy(update={"looks": take_looks(registry, name, rules, candidacy, budget)})
    except PreconditionError as unreadable:
        return candidacy.model_copy(update={"turned_down": unreadable.message})


def settle(
    registry: Registry, name: str, version: str, decision: Release, approval_hours: float | None = None
) -> Release:
    """Move the aliases as the decision says: `version` is the candidate, and champion when every rule holds.

    With `approval_hours`, a person is asked first, and has so many hours; until the yes the version stays the
    candidate. Weights that a person turned down, since then too, become neither. Raises ChampionMoved when the champion
    is not the one that the decision was made against.
    """
    assert decision.basis is not None
    verdict = verdict_on(registry, name, decision.basis.weights)
    if verdict is not None:
        refused = {"wins": False, "reason": f"not promoted: {verdict}"}
        return decision.model_copy(update={"version": version} | refused)
    nominate(registry, name, version)
    if not decision.wins:
        return decision.model_copy(update={"version": version})
    require_unmoved(registry, name, version, decision.basis)
    if approval_hours is not None:
        approval = ask(registry, name, version, decision, approval_hours)
        decision = decision.model_copy(update={"approval": approval})
        if approval.state == "waiting":
            return decision.model_copy(update={"version": version})
    return crowned(registry, name, version, decision)


def crowned(registry: Registry, name: str, version: str, decision: Release) -> Release:
    """The release with `version` made champion, by whoever approved it where somebody did."""
    assert decision.basis is not None
    approval = decision.approval
    crown(registry, name, version, decision.decision, approval.who if approval else None)
    return decision.model_copy(update={"version": version, "promoted": True, "previous": decision.basis.champion})


def require_unmoved(registry: Registry, name: str, version: str, basis: Basis) -> None:
    """Raise ChampionMoved unless the champion is that of the basis, or `version` itself by now."""
    champion = registry.alias(name, CHAMPION)
    now = None if champion is None else str(champion.version)
    if now not in (basis.champion, version):
        was, is_now = (f"version {number}" if number else "nobody" for number in (basis.champion, now))
        raise ChampionMoved(
            f"the champion of {name!r} is {is_now}, and the decision on version {version} was made against {was}; "
            f"decide anew with: stsflow promote {quote(name)}"
        )


def nominate(registry: Registry, name: str, version: str) -> None:
    """Make `version` the candidate; one before it that waited for a yes does not wait any more."""
    before = registry.alias(name, CANDIDATE)
    if before is not None and str(before.version) != version:
        old = approval_of(registry, name, str(before.version))
        if old is not None and old.state == "waiting":
            why = f"version {version} became the candidate"
            note(registry, name, str(before.version), answered(old, "superseded", "", why))
    registry.set_alias(name, CANDIDATE, version)


def crown(registry: Registry, name: str, version: str, why: str, who: str | None = None) -> str | None:
    """Make `version` champion, the old one previous; return the old one's number. A champion stays what it is.

    Repeating it leaves the step in the trail that a kill just after the move has swallowed.
    """
    champion = registry.alias(name, CHAMPION)
    old = str(champion.version) if champion is not None else None
    if old != version:
        say_what_was_unsaid(registry, name)
        if old is not None:
            registry.set_alias(name, PREVIOUS, old)
        registry.set_alias(name, CHAMPION, version)
    else:
        previous = registry.alias(name, PREVIOUS)
        old = str(previous.version) if previous is not None else None
        if made_champion(registry, name) == version:
            return old
    leave_step(registry, name, "promoted", old, version, why, registry.weights_of(name, version), who)
    return old


def go_back(registry: Registry, name: str, why: str) -> tuple[str, str]:
    """Make `previous` champion again and drop the alias; return (old, new) version numbers.

    The weights of the old one are turned down from then on. Raises PreconditionError when there is no previous
    champion. Repeating it is refused rather than swapping the two back and forth.
    """
    champion, previous = registry.alias(name, CHAMPION), registry.alias(name, PREVIOUS)
    if previous is None:
        now = f"version {champion.version} is champion" if champion else "there is no champion"
        raise PreconditionError(f"the registered model {name!r} has no previous champion to go back to; {now}")
    old, new = str(champion.version) if champion else "", str(previous.version)
    with suppress(PreconditionError):  # a trail that cannot be read holds up no rollback
        say_what_was_unsaid(registry, name)
    # The verdict first: a kill in between must not lose it.
    weights = registry.weights_of(name, old) if old else None
    leave_step(registry, name, "rolled back", old, new, why, weights)
    registry.set_alias(name, CHAMPION, new)
    registry.delete_alias(name, PREVIOUS)
    candidate = registry.alias(name, CANDIDATE)
    if candidate is not None and registry.weights_of(name, str(candidate.version)) == weights:
        registry.delete_alias(name, CANDIDATE)
    return old, new


def reject(registry: Registry, name: str, why: str) -> str:
    """Turn down the weights of the candidate; return its version's number.

    Raises PreconditionError when there is no candidate, or when it is the champion.
    """
    candidate, champion = registry.alias(name, CANDIDATE), registry.alias(name, CHAMPION)
    if candidate is None:
        raise PreconditionError(f"the registered model {name!r} has no candidate to reject")
    version = str(candidate.version)
    weights = registry.weights_of(name, version)
    if champion is not None and registry.weights_of(name, str(champion.version)) == weights:
        raise PreconditionError(f"version {version} of {name!r} is the champion; take it back with --rollback")
    leave_step(registry, name, "rejected", version, None, why, weights)
    asked = approval_of(registry, name, version)
    if asked is not None and asked.state == "waiting":
        note(registry, name, version, answered(asked, "refused", user_name(), why))
    registry.delete_alias(name, CANDIDATE)
    return version


def readmit(registry: Registry, name: str, which: str, why: str) -> str:
    """Let weights in that a person turned down, and make their version the candidate; return its number.

    `which` is a version's number or a digest (12 characters of it are enough). Raises PreconditionError when it names
    nothing that was turned down.
    """
    down = turned_down(registry, name)
    found = [(weights, step) for weights, step in down.items() if _is_meant(registry, name, which, weights)]
    if len(found) != 1:
        listed = ", ".join(f"version {step.old} ({weights[:SHORTEST_DIGEST]})" for weights, step in down.items())
        raise PreconditionError(
            f"{which!r} names nothing of {name!r} that was turned down; turned down: {listed or 'nothing'}"
        )
    weights, step = found[0]
    version = which if len(which) < SHORTEST_DIGEST else str(step.old)
    leave_step(registry, name, "readmitted", None, version, why, weights)
    registry.set_alias(name, CANDIDATE, version)
    return version


def _is_meant(registry: Registry, name: str, which: str, weights: str) -> bool:
    if len(which) >= SHORTEST_DIGEST:
        return weights.startswith(which)
    return which.isdigit() and registry.weights_of(name, which) == weights


def verdict_on(registry: Registry, name: str, weights: str) -> str | None:
    """Why a person's word keeps the weights out, in one sentence; None where nothing does."""
    try:
        step = turned_down(registry, name).get(weights)
    except PreconditionError as unreadable:
        return unreadable.message
    if step is None:
        return None
    return f"{step.in_words()}; to let these weights in again: stsflow promote {quote(name)} --readmit {step.old}"
