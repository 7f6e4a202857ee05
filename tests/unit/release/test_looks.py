"""The ledger of looks: however often suites are renamed, workspaces copied, runs and versions deleted or champions
taken back, never fewer looks count than were taken; on a real MLflow registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from outages import mlflow_server
from patience import patience
from postgres_cluster import REMEDY, cluster, find_postgres
from rich.console import Console
from tracked_runs import RECIPE, opened

from stsflow.flows.history import history_of, print_history
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, Interval, SeedSummary, SuiteScores
from stsflow.tasks.records.looks import ErrorBudget, Look
from stsflow.tasks.records.release import Release
from stsflow.tasks.records.sweeps import SweepSummary
from stsflow.tasks.release.accounts import accounts_of
from stsflow.tasks.release.looks import chosen_among, looks_of
from stsflow.tasks.release.promotion import basis_of, crown, decide_on, go_back, settle
from stsflow.tasks.release.task import account_for_the_card
from stsflow.tasks.rules import BeatsChampion
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.tracking.runs import relay_of
from stsflow.tasks.tracking.store import Store

BUDGET = ErrorBudget()
FIRST = 0.05 / 52
"""What a first look takes: an even part of 5 % for 52 of them."""


@pytest.fixture(scope="module", params=["file", pytest.param("PostgreSQL", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store that several workspaces use: a file, or an MLflow server over HTTP on PostgreSQL."""
    place = tmp_path_factory.mktemp("server")
    if request.param == "file":
        yield f"sqlite:///{place}/mlflow.db"
        return
    if (binaries := find_postgres()) is None:
        pytest.skip(f"PostgreSQL was not found: {REMEDY}")
    with cluster(binaries) as postgres:
        running, address = mlflow_server(place / "mlflow", postgres.url("postgres"))
        running.start()
        try:
            yield address
        finally:
            running.stop()


@pytest.fixture
def store(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return Store(Workspace(tmp_path / "one"))


@pytest.fixture
def name(store: Store, request: pytest.FixtureRequest) -> str:
    """A registered model whose first version is champion."""
    model = request.node.name[-60:].replace("[", "-").replace("]", "")
    store.client.create_registered_model(model)
    registered(store, model, "champion")
    crown(store.registry, model, "1", "first")
    return model


def registered(store: Store, name: str, digest: str) -> str:
    tags, client = {"stsflow.model_digest": digest}, store.client
    model = client.create_logged_model(store.experiment("looks"), "model", tags=tags)
    source = f"models:/{model.model_id}"
    return str(client.create_model_version(name, source, tags=tags, model_id=model.model_id).version)


def report(digest: str, suite: str, rows: str) -> EvaluationReport:
    scores = SuiteScores(
        suite=suite, kind="sts", title=suite, split="test", rows=1000, data_digest=rows, model_digest=digest,
        primary="spearman_cosine", metrics={"spearman_cosine": 0.8},
    )  # fmt: skip
    return EvaluationReport(
        model="tuned" if digest != "champion" else "champion", model_path=Path(digest), model_digest=digest,
        suites={suite: scores}, seconds=1.0,
    )  # fmt: skip


def decision(
    store: Store, name: str, candidate: str, gain: float = 0.002, *, suite: str = "test", rows: str = "rows-1",
    budget: ErrorBudget | None = BUDGET, best_of: int = 1, margin: float = 0.0, champion: str = "champion",
    version: str = "1",
) -> Release:  # fmt: skip
    """A decision on a candidate whose gain has a standard error of 0.001."""
    interval = Interval(low=gain - 0.00196, high=gain + 0.00196, confidence=0.95, resamples=10_000)
    difference = Difference(
        suite=suite, metric="spearman_cosine", first="champion", second="tuned", rows=1000, difference=gain,
        interval=interval, error=0.001, p_value=0.04, rows_needed=None,
    )  # fmt: skip
    found = Candidacy(
        candidate=report(candidate, suite, rows).model_copy(update={"model": "tuned"}),
        champion=report(champion, suite, rows).model_copy(update={"model": "champion"}),
        differences=(difference,), headline=suite, best_of={rows: best_of},
    )  # fmt: skip
    rules = [BeatsChampion(margin=margin)]
    basis = basis_of(store.registry, name, found.candidate, rules)
    return settle(store.registry, name, version, decide_on(store.registry, name, basis, rules, found, budget=budget))


def look(release: Release) -> Look:
    (found,) = release.looks
    return found


def test_a_gain_that_its_own_interval_shows_is_not_enough_at_the_level_of_a_look(store: Store, name: str) -> None:
    found = decision(store, name, "a", 0.0025)  # 2.5 standard errors; 0.00096 wants 3.11 of them
    assert not found.promoted and look(found).level == pytest.approx(FIRST)
    assert "at the level of this look no less than -0.0006, which does not lie above +0.0000" in found.reason
    assert "; level 0.00096 (look 1 at these rows; 98% of 5 % a year is left)" in found.reason
    assert decision(store, name, "b", 0.0035).promoted


def test_the_same_decision_is_the_same_look_and_another_claim_another_one(store: Store, name: str) -> None:
    first = look(decision(store, name, "a"))
    assert look(decision(store, name, "a", suite="renamed")).number == 1
    assert look(decision(store, name, "b")).number == 2
    assert look(decision(store, name, "a", margin=0.001)).number == 3
    again = look(decision(store, name, "a"))
    assert (again.number, again.level, again.when) == (1, first.level, first.when)
    assert len(looks_of(store.registry, name)) == 3


def test_more_looks_than_planned_get_less_and_less(store: Store, name: str) -> None:
    plan = ErrorBudget(level=0.04, per="looks", looks=4)
    levels = [look(decision(store, name, str(number), budget=plan)).level for number in range(5)]
    assert levels == pytest.approx([0.01, 0.03 / 4, 0.0225 / 4, 0.016875 / 4, 0.01265625 / 4])


def test_fresh_rows_have_their_own_budget(store: Store, name: str) -> None:
    plan = ErrorBudget(looks=1)
    assert [look(decision(store, name, one, budget=plan)).number for one in "abc"] == [1, 2, 3]
    fresh = look(decision(store, name, "d", rows="rows-2", budget=plan))
    assert (fresh.number, fresh.level) == (1, 0.05 / 4)


def test_what_a_look_took_comes_back_after_a_year_and_only_with_a_budget_by_the_year(store: Store, name: str) -> None:
    old = look(decision(store, name, "a"))
    (key,) = looks_of(store.registry, name)
    before = old.model_copy(update={"when": datetime.now(UTC) - timedelta(days=366), "spent": 0.05})
    store.registry.note(name, f"stsflow.look.rows-1.{key}", before.model_dump_json())
    assert look(decision(store, name, "b", budget=ErrorBudget(per="looks"))).level == 0.0
    assert look(decision(store, name, "c")).level == pytest.approx(FIRST)


def test_the_best_of_five_on_these_rows_has_a_fifth_of_the_level(store: Store, name: str) -> None:
    found = look(decision(store, name, "a", best_of=5))
    assert (found.level, found.spent) == (pytest.approx(FIRST / 5), pytest.approx(FIRST))
    assert look(decision(store, name, "a")).level == found.level  # whoever forgets that it was chosen gains nothing


def test_without_a_budget_the_interval_decides_and_the_looks_count_all_the_same(store: Store, name: str) -> None:
    found = decision(store, name, "a", 0.0025, budget=None)
    assert found.promoted and "there is no error budget: this is look 1 at these rows" in found.reason
    decision(store, name, "b", budget=None)
    late = decision(store, name, "c", 0.01)
    assert not late.promoted and "nothing is left of the error budget of these rows (5 % a year)" in late.reason
    assert look(late).number == 3


def test_a_budget_that_is_switched_on_or_off_takes_what_the_dearer_did(store: Store, name: str) -> None:
    decision(store, name, "a", budget=None)
    judged = look(decision(store, name, "a"))
    assert (judged.spent, judged.level) == (pytest.approx(0.025), pytest.approx(FIRST))
    assert look(decision(store, name, "a", budget=None)).spent == pytest.approx(0.025)
    assert len(looks_of(store.registry, name)) == 1


def test_weights_that_cannot_become_champion_are_no_look(store: Store, name: str) -> None:
    assert decision(store, name, "champion").looks == ()
    crown(store.registry, name, "1", "first")
    assert looks_of(store.registry, name) == {}


def test_a_rollback_and_deleted_runs_and_versions_leave_every_look(store: Store, name: str) -> None:
    run = store.client.create_run(store.experiment("stsflow")).info.run_id
    version = registered(store, name, "a")
    assert decision(store, name, "a", 0.01, version=version).promoted
    go_back(store.registry, name, "bad")
    refused = decision(store, name, "a", 0.01, version=version)
    assert not refused.promoted and refused.looks == ()  # nothing that could have been a yes
    store.client.delete_model_version(name, version)
    store.client.delete_run(run)
    assert look(decision(store, name, "b")).number == 2
    assert look(decision(store, name, "b", champion="another")).number == 3


def test_a_copied_workspace_counts_once_and_two_workspaces_count_together(
    store: Store, name: str, tmp_path: Path
) -> None:
    decision(store, name, "a")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = Store(Workspace(tmp_path / "two"))
    assert look(decision(two, name, "a")).number == 1
    assert look(decision(two, name, "b")).number == 2
    assert look(decision(store, name, "c")).number == 3


def test_looks_that_were_deleted_on_the_server_come_back_from_a_workspace_and_the_other_way(
    store: Store, name: str, tmp_path: Path
) -> None:
    for one in "ab":
        decision(store, name, one)
    for tag in [key for key in store.registry.notes(name) if key.startswith("stsflow.look.")]:
        store.client.delete_registered_model_tag(name, tag)
    assert look(decision(store, name, "c")).number == 3
    shutil.rmtree(tmp_path / "one" / "looks")
    assert look(decision(store, name, "d")).number == 4
    assert len(list((tmp_path / "one" / "looks").rglob("*.json"))) == 4


def test_a_decision_that_was_killed_after_it_looked_counts_with_the_most_that_it_may_take(
    store: Store, name: str
) -> None:
    first = look(decision(store, name, "a", budget=ErrorBudget(looks=10)))
    (key,) = looks_of(store.registry, name)
    killed = first.model_copy(update={"settled": False, "spent": 0.005, "level": 0.0, "number": 0})
    store.registry.note(name, f"stsflow.look.rows-1.{key}", killed.model_dump_json())
    killed.write(next((store.workspace.looks).rglob("*.json")))
    other = look(decision(store, name, "b", budget=ErrorBudget(looks=10)))
    assert (other.number, other.left) == (2, pytest.approx(0.8))
    assert look(decision(store, name, "a", budget=ErrorBudget(looks=10))).settled


def test_a_ledger_that_cannot_be_read_stops_promotion(store: Store, name: str) -> None:
    store.registry.note(name, "stsflow.look.rows-1.abc", json.dumps({"rows": 3}))
    found = decision(store, name, "a", 0.5)
    assert not found.promoted and "the tag stsflow.look.rows-1.abc of the registered model" in found.reason


# --------------------------------------------------------------------------------------------- several machines at once


def test_many_processes_that_decide_at_once_on_one_server_leave_every_look_and_no_more_than_the_level(
    server: str, store: Store, name: str, tmp_path: Path
) -> None:
    path = ":".join((str(Path(__file__).parent), *sys.path))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DECIDE, path, str(tmp_path / f"machine-{number}"), name, str(number)],
            env=os.environ | {"MLFLOW_TRACKING_URI": server},
        )
        for number in range(2)
    ]
    assert [process.wait(timeout=patience(240.0)) for process in processes] == [0, 0]
    looks = looks_of(store.registry, name)
    assert len(looks) == 12 and all(look.settled for look in looks.values())
    assert sum(look.spent for look in looks.values()) <= 0.05
    assert look(decision(store, name, "last")).number == 13


DECIDE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(":")
from test_looks import ErrorBudget, Store, Workspace, decision
store = Store(Workspace(Path(sys.argv[2])))
for number in range(6):
    decision(store, sys.argv[3], f"{sys.argv[4]}-{number}", budget=ErrorBudget(looks=4))
"""


# ----------------------------------------------------------------------------------------------------- what is told


def test_an_account_says_what_is_left_and_how_many_rows_a_gain_needs(store: Store, name: str) -> None:
    for one in "ab":
        decision(store, name, one, suite="old name" if one == "a" else "new name")
    (account,) = accounts_of(looks_of(store.registry, name).values())
    assert (account.looks, account.suites) == (2, ("old name", "new name"))
    assert (account.left, account.next_level) == (pytest.approx(50 / 52), pytest.approx(FIRST))
    # 1,000 rows have a standard error of 0.001: n = 1000 ((3.1019 + 0.8416) 0.001 / gain)^2
    assert account.rows_for == {"0.005": 623, "0.01": 156, "0.02": 39}


def test_the_history_tells_trail_accounts_and_looks(store: Store, name: str) -> None:
    decision(store, name, "a", 0.01)
    told = history_of(name)
    assert [step.what for step in told.steps] == ["promoted"] and len(told.looks) == 1
    console = Console(record=True, width=300)
    print_history(told, console)
    text = console.export_text()
    assert "test (1,000 rows, rows-1): 1 look; 98% of the error budget of 5 % a year is left; the next decision" in text
    assert "a against champion: spearman_cosine +0.0100 (standard error 0.0010), at level 0.00096" in text
    with pytest.raises(PreconditionError, match="nothing was ever decided about a registered model 'nobody'"):
        history_of("nobody")


def test_seeds_count_where_they_were_chosen_on_these_very_rows() -> None:
    seeds = SeedSummary(suite="test", metric="spearman_cosine", scores={1: 0.5, 2: 0.6, 3: 0.4}, chosen=2)
    assert chosen_among(seeds, None, report("tuned", "test", "rows-1")) == {"rows-1": 3}
    assert chosen_among(seeds, None, report("tuned", "other", "rows-2")) == {}
    assert chosen_among(None, None, report("tuned", "test", "rows-1")) == {}


def test_the_card_has_the_account_before_the_decision_and_a_run_that_goes_on_writes_the_same(
    store: Store, name: str, tmp_path: Path
) -> None:
    values = RECIPE.model_dump(mode="json")
    values["release"] |= {"register_as": name, "rules": [{"kind": "beats_champion"}]}
    recipe, run = RunConfig.model_validate(values), opened(store, store.workspace)
    relay, folder = relay_of(store, run), RunFolder(run.folder)
    decision(store, name, "a", suite="dev")
    account = account_for_the_card.fn(relay, folder, recipe, report("tuned", "dev", "rows-1"), ())
    assert account is not None and (account.looks, account.left) == (1, pytest.approx(51 / 52))
    decision(store, name, "b", suite="dev")
    assert account_for_the_card.fn(relay, folder, recipe, report("tuned", "dev", "rows-1"), ()) == account
    other = RunFolder(tmp_path / "other")
    assert account_for_the_card.fn(relay, other, RECIPE, report("tuned", "dev", "rows-1"), ()) is None
    without = recipe.release.model_copy(update={"error_budget": "off"})
    recipe = recipe.model_copy(update={"release": without})
    assert account_for_the_card.fn(relay, other, recipe, report("tuned", "dev", "rows-1"), ()) is None


def test_the_best_of_a_sweep_is_the_best_of_its_trials_on_the_rows_that_chose() -> None:
    sweep = SweepSummary(
        suite="test", metric="spearman_cosine", fields=("training.seed",), sampler="tpe", pruner="median", seed=0,
        scores=(0.1, 0.5), pruned=7, failed=1, chosen=1, score=0.5,
    )  # fmt: skip
    assert chosen_among(None, sweep, report("tuned", "test", "rows-1")) == {"rows-1": 10}
    assert chosen_among(None, sweep, report("tuned", "other", "rows-2")) == {}
