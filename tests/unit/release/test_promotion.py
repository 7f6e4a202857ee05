"""Aliases move only forward, or back once, and every move leaves a trail; on a real MLflow registry."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.release import Release
from stsflow.tasks.release.promotion import basis_of, crown, decide_on, go_back, nominate, readmit, reject, settle
from stsflow.tasks.release.trail import CANDIDATE, CHAMPION, PREVIOUS, turned_down
from stsflow.tasks.rules import MaximumSize
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Workspace(tmp_path_factory.mktemp("registry")))


@pytest.fixture
def name(store: Store, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registered model with three versions."""
    model = request.node.name[-60:].replace("[", "-").replace("]", "")
    store.client.create_registered_model(model)
    for _ in range(3):
        store.client.create_model_version(model, source=str(tmp_path))
    return model


def version(store: Store, name: str, alias: str) -> str | None:
    found = store.registry.alias(name, alias)
    return None if found is None else str(found.version)


def trail(store: Store, name: str) -> list[dict[str, str]]:
    tags = store.client.get_registered_model(name).tags
    return [json.loads(value) for key, value in sorted(tags.items()) if key.startswith("stsflow.trail.")]


def test_the_first_champion_replaces_nobody(store: Store, name: str) -> None:
    nominate(store.registry, name, "1")
    assert crown(store.registry, name, "1", "better than the base") is None
    assert (version(store, name, CANDIDATE), version(store, name, CHAMPION)) == ("1", "1")
    assert version(store, name, PREVIOUS) is None


def test_the_old_champion_becomes_previous_and_the_trail_says_why(store: Store, name: str) -> None:
    crown(store.registry, name, "1", "first")
    assert crown(store.registry, name, "2", "better by a paired test") == "1"
    assert (version(store, name, CHAMPION), version(store, name, PREVIOUS)) == ("2", "1")
    last = trail(store, name)[-1]
    assert (last["what"], last["from"], last["to"], last["why"]) == ("promoted", "1", "2", "better by a paired test")
    assert last["who"] and last["when"]


def test_crowning_the_champion_again_changes_nothing(store: Store, name: str) -> None:
    crown(store.registry, name, "1", "first")
    crown(store.registry, name, "2", "second")
    crown(store.registry, name, "2", "again")
    assert (version(store, name, CHAMPION), version(store, name, PREVIOUS)) == ("2", "1")
    assert len(trail(store, name)) == 2


def test_rollback_restores_the_previous_one_once(store: Store, name: str) -> None:
    crown(store.registry, name, "1", "first")
    crown(store.registry, name, "2", "second")
    assert go_back(store.registry, name, "it was worse for users") == ("2", "1")
    assert (version(store, name, CHAMPION), version(store, name, PREVIOUS)) == ("1", None)
    assert trail(store, name)[-1]["what"] == "rolled back"
    with pytest.raises(PreconditionError, match="no previous champion to go back to; version 1 is champion"):
        go_back(store.registry, name, "again")


# ------------------------------------------------------------------------------- what a person turned down stays out


def registered(store: Store, name: str, source: Path, digest: str) -> str:
    """A version of the weights with this digest."""
    return str(
        store.client.create_model_version(name, source=str(source), tags={"stsflow.model_digest": digest}).version
    )


def scheduled(store: Store, name: str, version: str) -> Release:
    """What a run of the unchanged recipe comes to: every rule holds."""
    report = EvaluationReport(
        model="tuned", model_path=Path("m"), model_digest=str(store.registry.weights_of(name, version)), suites={},
        seconds=1, model_bytes=1,
    )  # fmt: skip
    rules, evidence = [MaximumSize(megabytes=1)], Candidacy(candidate=report, headline="test")
    basis = basis_of(store.registry, name, report, rules)
    return settle(store.registry, name, version, decide_on(store.registry, name, basis, rules, evidence))


def test_a_rollback_holds_against_two_scheduled_runs_until_a_person_lets_the_weights_in(
    store: Store, name: str, tmp_path: Path
) -> None:
    old, bad = (registered(store, name, tmp_path, digest * 64) for digest in "ab")
    crown(store.registry, name, old, "first")
    assert scheduled(store, name, bad).promoted
    go_back(store.registry, name, "bad in production")
    again = registered(store, name, tmp_path, "b" * 64)  # the same weights under another number
    for candidate in (bad, again):
        decision = scheduled(store, name, candidate)
        assert not decision.promoted
        assert f"version {bad} was rolled back by {getpass.getuser()} on 20" in decision.reason
        assert "bad in production" in decision.reason and f"--readmit {bad}" in decision.reason
        assert (version(store, name, CHAMPION), version(store, name, CANDIDATE)) == (old, None)
    assert readmit(store.registry, name, bad, "the fault was elsewhere") == bad
    assert version(store, name, CANDIDATE) == bad
    assert scheduled(store, name, bad).promoted
    last = trail(store, name)[-2]
    assert (last["what"], last["to"], last["why"]) == ("readmitted", bad, "the fault was elsewhere")


def test_a_rejected_candidate_stays_out_and_a_digest_lets_it_in(store: Store, name: str, tmp_path: Path) -> None:
    crown(store.registry, name, "1", "first")
    bad = registered(store, name, tmp_path, "c" * 64)
    nominate(store.registry, name, bad)
    assert reject(store.registry, name, "trained on a leak") == bad
    decision = scheduled(store, name, bad)
    assert not decision.promoted and "rejected by" in decision.reason and "trained on a leak" in decision.reason
    assert version(store, name, CANDIDATE) is None
    assert readmit(store.registry, name, "c" * 12, "no leak after all") == bad
    assert scheduled(store, name, bad).promoted


def test_the_champion_is_not_rejected_and_nothing_is_let_in_that_was_not_turned_down(store: Store, name: str) -> None:
    with pytest.raises(PreconditionError, match="has no candidate to reject"):
        reject(store.registry, name, "")
    nominate(store.registry, name, "1")
    crown(store.registry, name, "1", "first")
    with pytest.raises(PreconditionError, match=r"version 1 of .* is the champion; take it back with --rollback"):
        reject(store.registry, name, "")
    with pytest.raises(PreconditionError, match=r"'1' names nothing of .* that was turned down; turned down: nothing"):
        readmit(store.registry, name, "1", "")


def test_a_rollback_by_an_earlier_release_counts_although_its_trail_names_no_weights(
    store: Store, name: str, tmp_path: Path
) -> None:
    bad = registered(store, name, tmp_path, "e" * 64)
    store.registry.set_alias(name, CHAMPION, "1")
    step = {
        "what": "rolled back",
        "from": bad,
        "to": "1",
        "who": "anna",
        "when": "2026-01-01T00:00:00+00:00",
        "why": "w",
    }
    store.registry.note(name, "stsflow.trail.20260101T000000000000", json.dumps(step))
    assert "was rolled back by anna" in scheduled(store, name, bad).reason


@pytest.mark.parametrize("moved_to", ["1", None])
def test_an_alias_that_somebody_moved_in_mlflow_is_a_verdict_too(
    store: Store, name: str, tmp_path: Path, moved_to: str | None
) -> None:
    bad = registered(store, name, tmp_path, "f" * 64)
    crown(store.registry, name, "1", "first")
    crown(store.registry, name, bad, "second")
    store.registry.delete_alias(name, CHAMPION)
    if moved_to:
        store.registry.set_alias(name, CHAMPION, moved_to)
    decision = scheduled(store, name, bad)
    assert not decision.promoted and "was taken down by somebody" in decision.reason
    assert scheduled(store, name, "3").promoted  # other weights are free to win, and the verdict outlives that
    assert "was taken down by somebody" in scheduled(store, name, bad).reason
    readmit(store.registry, name, bad, "by mistake")
    assert scheduled(store, name, bad).promoted


def test_a_promotion_that_was_killed_halfway_turns_nobody_down(store: Store, name: str) -> None:
    crown(store.registry, name, "1", "first")
    store.registry.set_alias(name, PREVIOUS, "1")
    store.registry.set_alias(name, CHAMPION, "2")  # and no step in the trail
    assert turned_down(store.registry, name) == {}


def test_a_trail_that_cannot_be_read_stops_promotion_and_no_run(store: Store, name: str) -> None:
    store.registry.note(name, "stsflow.trail.20260101T000000000000", "{")
    decision = scheduled(store, name, "1")
    assert not decision.promoted and "the tag stsflow.trail.20260101T000000000000" in decision.reason


def test_a_long_reason_leaves_a_whole_step(store: Store, name: str) -> None:
    crown(store.registry, name, "1", '"' * 9000)
    (tag,) = store.registry.notes(name).values()
    assert len(tag) <= 4900 and json.loads(tag)["to"] == "1"
