"""A person's yes on a real MLflow registry: waits, approved, refused, timed out, superseded, decided anew, killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.release import Release
from stsflow.tasks.release import approval
from stsflow.tasks.release.answers import approve, refuse
from stsflow.tasks.release.approval import approval_of, note_overdue
from stsflow.tasks.release.promotion import ChampionMoved, basis_of, crown, decide_on, nominate, readmit, reject, settle
from stsflow.tasks.release.trail import CANDIDATE, CHAMPION
from stsflow.tasks.rules import MaximumSize
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.store import Store

RULES = [MaximumSize(megabytes=1)]
HOURS = 72.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Workspace(tmp_path_factory.mktemp("registry")))


@pytest.fixture
def name(store: Store, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registered model with three versions, of which the first is champion."""
    model = request.node.name[-60:]
    store.client.create_registered_model(model)
    for digest in "abc":
        tags = {"stsflow.model_digest": digest * 64}
        store.client.create_model_version(model, source=str(tmp_path), tags=tags)
    crown(store.registry, model, "1", "the first")
    return model


def released(store: Store, name: str, version: str, hours: float = HOURS) -> Release:
    """What a run of a recipe comes to that asks for a person's yes, where every rule holds."""
    digest = str(store.registry.weights_of(name, version))
    report = EvaluationReport(
        model="tuned", model_path=Path("m"), model_digest=digest, suites={}, seconds=1, model_bytes=1
    )
    basis = basis_of(store.registry, name, report, RULES)
    decision = decide_on(store.registry, name, basis, RULES, Candidacy(candidate=report, headline="test"))
    return settle(store.registry, name, version, decision, hours)


def alias(store: Store, name: str, which: str) -> str | None:
    found = store.registry.alias(name, which)
    return None if found is None else str(found.version)


def tags(store: Store, name: str, version: str) -> dict[str, str]:
    found = store.registry.version_tags(name, version)
    return {key: value for key, value in found.items() if key.startswith("stsflow.approval") and "record" not in key}


def trail(store: Store, name: str) -> list[dict[str, str]]:
    notes = sorted(store.registry.notes(name).items())
    return [json.loads(value) for key, value in notes if key.startswith("stsflow.trail.")]


def test_what_the_rules_let_through_waits_as_candidate_and_the_old_champion_stays(store: Store, name: str) -> None:
    result = released(store, name, "2")
    assert (result.promoted, result.wins) == (False, True)
    assert (alias(store, name, CANDIDATE), alias(store, name, CHAMPION)) == ("2", "1")
    assert tags(store, name, "2")["stsflow.approval"] == "waiting"
    assert result.approval is not None and result.approval.basis.champion == "1"
    assert result.sentence.startswith(
        f"waits for a person's yes until {result.approval.until[:16].replace('T', ' ')} UTC; the rules: maximum_size"
    )


def test_asking_again_on_the_same_basis_is_the_same_question(store: Store, name: str) -> None:
    first, second = released(store, name, "2"), released(store, name, "2", hours=1.0)
    assert first.approval == second.approval


def test_a_yes_makes_it_champion_and_says_who_and_why(store: Store, name: str) -> None:
    released(store, name, "2")
    result = approve(store.registry, name, "2", "anna", "read a hundred of its errors")
    assert result.promoted and result.previous == "1" and alias(store, name, CHAMPION) == "2"
    said = tags(store, name, "2")
    assert (said["stsflow.approval"], said["stsflow.approval.by"]) == ("approved", "anna")
    assert said["stsflow.approval.because"] == "read a hundred of its errors"
    last = trail(store, name)[-1]
    assert (last["what"], last["from"], last["to"], last["who"]) == ("promoted", "1", "2", "anna")
    assert "approved by anna on 20" in last["why"] and "read a hundred of its errors" in last["why"]


def test_a_yes_that_was_killed_anywhere_is_ended_by_the_same_again(store: Store, name: str) -> None:
    released(store, name, "2")
    found = approval_of(store.registry, name, "2")
    assert found is not None
    approval.note(store.registry, name, "2", approval.answered(found, "approved", "anna", "good"))  # and no alias moved
    assert alias(store, name, CHAMPION) == "1"
    for _ in range(2):
        assert approve(store.registry, name, "2", "somebody else", "again").promoted
    assert alias(store, name, CHAMPION) == "2"
    assert [step["who"] for step in trail(store, name) if step["what"] == "promoted"][1:] == ["anna"]


def test_a_no_turns_the_weights_down_until_they_are_readmitted(store: Store, name: str) -> None:
    released(store, name, "2")
    result = refuse(store.registry, name, "2", "ben", "slow on long texts")
    assert not result.promoted and "not promoted: refused by ben on 20" in result.sentence
    assert (alias(store, name, CANDIDATE), alias(store, name, CHAMPION)) == (None, "1")
    assert tags(store, name, "2")["stsflow.approval"] == "refused"
    again = released(store, name, "2")
    assert again.approval is None and "was rejected by ben" in again.reason and "slow on long texts" in again.reason
    refuse(store.registry, name, "2", "ben", "slow on long texts")
    assert [step["what"] for step in trail(store, name)] == ["promoted", "rejected"]
    readmit(store.registry, name, "2", "the texts were the fault")
    waits = released(store, name, "2").approval
    assert waits is not None and waits.state == "waiting"


def test_no_answer_in_time_is_a_no_and_a_later_yes_comes_too_late(store: Store, name: str) -> None:
    released(store, name, "2", hours=0.0)
    released(store, name, "3")
    assert tags(store, name, "2")["stsflow.approval"] == "timed out"
    released(store, name, "2", hours=0.0)
    assert note_overdue(store.registry) == [f"{name} version 2"]
    assert note_overdue(store.registry) == []
    assert tags(store, name, "2")["stsflow.approval"] == "timed out"
    with pytest.raises(
        PreconditionError, match=r"does not wait any more: not promoted: nobody answered until .*promote"
    ):
        approve(store.registry, name, "2", "anna", "at last")
    assert alias(store, name, CHAMPION) == "1"
    asked_anew = released(store, name, "2").approval  # nobody said no to these weights
    assert asked_anew is not None and asked_anew.state == "waiting"


def test_a_champion_that_moved_meanwhile_has_to_be_decided_against_anew(store: Store, name: str) -> None:
    released(store, name, "2")
    crown(store.registry, name, "3", "another run")
    with pytest.raises(ChampionMoved, match="is version 3, and the decision on version 2 was made against version 1"):
        approve(store.registry, name, "2", "anna", "good")
    assert alias(store, name, CHAMPION) == "3" and tags(store, name, "2")["stsflow.approval"] == "waiting"
    anew = released(store, name, "2").approval
    assert anew is not None and anew.basis.champion == "3"
    assert approve(store.registry, name, "2", "anna", "good").previous == "3"


def test_a_new_candidate_ends_the_waiting_of_the_one_before(store: Store, name: str) -> None:
    released(store, name, "2")
    released(store, name, "3")
    assert tags(store, name, "2")["stsflow.approval"] == "superseded"
    with pytest.raises(PreconditionError, match="version 3 became the candidate before anybody had answered"):
        approve(store.registry, name, "2", "anna", "good")


def test_a_rejection_of_what_waits_ends_the_waiting(store: Store, name: str) -> None:
    released(store, name, "2")
    reject(store.registry, name, "leaked")
    assert tags(store, name, "2")["stsflow.approval"] == "refused"
    with pytest.raises(PreconditionError, match="does not wait any more: not promoted: refused by"):
        approve(store.registry, name, "2", "anna", "good")


def test_what_was_never_asked_about_is_not_answered(store: Store, name: str) -> None:
    nominate(store.registry, name, "2")
    for answer in (approve, refuse):
        with pytest.raises(PreconditionError, match=r"version 2 of .* does not wait for a person's yes"):
            answer(store.registry, name, "2", "anna", "good")


def test_a_record_that_cannot_be_read_promotes_nobody(store: Store, name: str) -> None:
    released(store, name, "2")
    store.registry.tag_version(name, "2", "stsflow.approval.record", "{")
    with pytest.raises(PreconditionError, match="is no record of an approval"):
        approve(store.registry, name, "2", "anna", "good")
    assert alias(store, name, CHAMPION) == "1"


def test_a_long_reason_leaves_a_record_that_can_be_read(store: Store, name: str) -> None:
    released(store, name, "2")
    approve(store.registry, name, "2", "a" * 5000, "b" * 5000)
    found = approval_of(store.registry, name, "2")
    assert found is not None and found.state == "approved"
    assert len(store.registry.version_tags(name, "2")["stsflow.approval.record"]) < 4900
