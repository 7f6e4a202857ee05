"""The ledger of looks at test sets: who decided on which rows, and what that took of their error budget.

It is kept twice: as tags of the registered model, which every workspace of the server reads and which outlive runs and
versions, and as files in each workspace that took part, which outlive the tags. What counts is the union by identity,
and each side is given what it lacks, so that copies count once and nothing is lost while one side is left. A look is
written before it is judged, with the most that it may take; then the ledger is read, and it is settled. Of two at work
at once at least one sees the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from stsflow.tasks.ground.environment import user_name
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.records.evaluation import EvaluationReport, SeedSummary
from stsflow.tasks.records.looks import Claim, ErrorBudget, Look
from stsflow.tasks.records.sweeps import SweepSummary
from stsflow.tasks.rules import Rule
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.statistics.spending import next_part
from stsflow.tasks.tracking.registry import Registry

PREFIX = "stsflow.look."
YEAR = timedelta(days=365)


def take_looks(
    registry: Registry, name: str, rules: Sequence[Rule], candidacy: Candidacy, budget: ErrorBudget | None
) -> tuple[Look, ...]:
    """The looks of a decision, one for each gain over the champion that a rule claims, taken in the ledger of `name`.

    The same decision taken again is the same look at the same level. None where no decision can be a yes: the weights
    are the champion's own, or turned down. Raises PreconditionError when the ledger cannot be read.
    """
    champion = candidacy.champion
    if champion is None or candidacy.turned_down or champion.model_digest == candidacy.candidate.model_digest:
        return ()
    claims = dict.fromkeys(claim for rule in rules for claim in rule.claims(candidacy))
    asked = [look for claim in claims if (look := _asked(claim, candidacy, budget)) is not None]
    return tuple(_taken(registry, name, look) for look in asked)


def chosen_among(seeds: SeedSummary | None, sweep: SweepSummary | None, candidate: EvaluationReport) -> dict[str, int]:
    """By digest of a suite's rows: of how many seeds or trials the candidate is the best by its score on these rows."""
    counts = {seeds.suite: len(seeds.scores)} if seeds is not None else {}
    if sweep is not None:
        counts[sweep.suite] = max(sweep.trials, counts.get(sweep.suite, 0))
    return {candidate.suites[suite].data_digest: count for suite, count in counts.items() if suite in candidate.suites}


def looks_of(registry: Registry, name: str) -> dict[str, Look]:
    """All looks of the registered model by identity: those of the server and those of this workspace together.

    Raises PreconditionError that names what cannot be read: going on without it would count too few.
    """
    return _together(_on_the_server(registry, name), looks_in_the_workspace(registry, name))


def spent_on(looks: Iterable[Look], budget: ErrorBudget, now: datetime) -> float:
    """What the looks took of the level, as far as it has not come back by `now`."""
    return sum(look.spent for look in looks if budget.per == "looks" or now - look.when < YEAR)


def identity(look: Look) -> str:
    """What makes two looks the same one: rows, claim, candidate and champion; not what the suite was called."""
    return fingerprint(look.rows_digest, look.metric, look.margin, look.candidate, look.champion)[:24]


def _asked(claim: Claim, candidacy: Candidacy, budget: ErrorBudget | None) -> Look | None:
    """The look before the ledger is asked; None where nothing was measured that could show the gain."""
    champion, mine = candidacy.champion, candidacy.candidate.suites[claim.suite]
    found = candidacy.difference(champion, claim.suite, claim.metric) if champion else None
    if champion is None or found is None or found.interval is None or found.error is None:
        return None
    by_itself = (1.0 - found.interval.confidence) / 2.0
    return Look(
        rows_digest=mine.data_digest, suite=claim.suite, rows=found.rows, metric=claim.metric, margin=claim.margin,
        candidate=candidacy.candidate.model_digest, champion=champion.model_digest, difference=found.difference,
        error=found.error, best_of=candidacy.best_of.get(mine.data_digest, 1), budget=budget,
        spent=by_itself if budget is None else budget.level / budget.looks,
        when=datetime.now(UTC), who=user_name(),
    )  # fmt: skip


def _taken(registry: Registry, name: str, look: Look) -> Look:
    """The look as the ledger has it, taken now where it lacks it, or where it was judged the other way (with a budget
    or without): then it takes what the dearer of the two did.
    """
    key = identity(look)
    found = _brought_together(registry, name).get(key)
    if found is not None:
        among = max(found.best_of, look.best_of)
        if found.settled and (found.budget is None) == (look.budget is None):
            level = min(found.level, found.level * found.best_of / among)
            same = found.model_copy(update={"best_of": among, "level": level})
            return same if same == found else _write(registry, name, same)
        dearer = max(found.spent, look.spent)
        look = look.model_copy(update={"when": found.when, "best_of": among, "spent": dearer})
    _write(registry, name, look)
    others = [other for other_key, other in looks_of(registry, name).items() if other_key != key]
    least = found.spent if found is not None and found.settled else 0.0
    return _write(registry, name, _settled(look, [o for o in others if o.rows_digest == look.rows_digest], least))


def _settled(look: Look, others: Sequence[Look], least: float) -> Look:
    """The look with what it takes, given all the others at these rows; `least` is gone already."""
    look = look.model_copy(update={"settled": True, "number": 1 + len(others)})
    if look.budget is None:
        return look
    gone = spent_on(others, look.budget, datetime.now(UTC))
    part = next_part(look.budget.level, look.budget.looks, gone)
    spent = max(part, least)
    left = max(0.0, 1.0 - (gone + spent) / look.budget.level)
    return look.model_copy(update={"spent": spent, "level": part / look.best_of, "left": left})


def _brought_together(registry: Registry, name: str) -> dict[str, Look]:
    """All looks, after each side was given what it lacks."""
    server, workspace = _on_the_server(registry, name), looks_in_the_workspace(registry, name)
    both = _together(server, workspace)
    for key, look in both.items():
        if server.get(key) != look:
            registry.note(name, _tag(look), look.model_dump_json())
        if workspace.get(key) != look:
            look.write(_folder(registry, name) / f"{key}.json")
    return both


def _together(*sides: Mapping[str, Look]) -> dict[str, Look]:
    """The union; of two accounts of a look the settled one counts, and of two such the one that took more."""
    found: dict[str, Look] = {}
    for side in sides:
        for key, look in side.items():
            found[key] = max(look, found.get(key, look), key=lambda one: (one.settled, one.spent, one.best_of))
    return found


def _write(registry: Registry, name: str, look: Look) -> Look:
    look.write(_folder(registry, name) / f"{identity(look)}.json")
    registry.note(name, _tag(look), look.model_dump_json())
    return look


def _tag(look: Look) -> str:
    return f"{PREFIX}{look.rows_digest[:12]}.{identity(look)}"


def _folder(registry: Registry, name: str) -> Path:
    return registry.workspace.looks / fingerprint(name)[:24]


def _on_the_server(registry: Registry, name: str) -> dict[str, Look]:
    found = {}
    for key, text in registry.notes(name).items():
        if key.startswith(PREFIX):
            found[key.rpartition(".")[2]] = _read(text, f"the tag {key} of the registered model {name!r}")
    return found


def looks_in_the_workspace(registry: Registry, name: str) -> dict[str, Look]:
    """Those that this workspace knows of, whether or not the server is there."""
    folder = _folder(registry, name)
    return {path.stem: _read(path.read_text(encoding="utf-8"), str(path)) for path in sorted(folder.glob("*.json"))}


def _read(text: str, where: str) -> Look:
    try:
        return Look.model_validate_json(text)
    except ValidationError:
        raise PreconditionError(
            f"{where} is no look of the ledger, so that nobody can say how much of the error budget is left; mend it"
        ) from None
