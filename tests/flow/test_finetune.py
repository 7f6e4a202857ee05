"""The main job as its user runs it: the command line, a real model, real Prefect, real MLflow."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from remote_code import build_remote_code_model
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

STS_METRICS = [f"{c}_{s}" for s in ("cosine", "manhattan", "euclidean", "dot", "max") for c in ("pearson", "spearman")]

MINING = """
mining:
  nli: {negatives: 2, candidates: [dense, bm25], depth: 20, relative_margin: 0.01}
"""


@dataclass
class Finished:
    workspace: Path
    recipe: Path
    summary: dict[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.summary["run_dir"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Finished:
    place = tmp_path_factory.mktemp("flow")
    recipe = write_small_recipe(place / "small.yaml", tiny_bert)
    recipe.write_text(recipe.read_text("utf-8") + MINING, "utf-8")
    done = stsflow(place / ".stsflow", "run", str(recipe), "--json")
    return Finished(place / ".stsflow", recipe, result_of(done))


@pytest.fixture(scope="module")
def store(finished: Finished) -> Store:
    return Store(Workspace(finished.workspace))


def test_the_result_names_what_the_contract_promises(finished: Finished) -> None:
    summary = finished.summary
    assert summary["status"] == "finished" and summary["reused"] is False
    assert {"mlflow_run_id", "flow_run_id", "tracking_uri", "model_dir", "card", "metrics"} <= set(summary)
    assert Path(summary["model_dir"], "model.safetensors").is_file() and Path(summary["card"]).is_file()
    assert {f"{m}/{s}/{x}" for m in ("base", "tuned") for s in ("sts-dev", "sts-test") for x in STS_METRICS} <= set(
        summary["metrics"]
    )


def test_mlflow_holds_params_metrics_inputs_artifacts_and_model(finished: Finished, store: Store) -> None:
    run = store.run(finished.summary["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["training.learning_rate"] == "0.001"
    assert run.data.params["data.train.nli.shape.kind"] == "nli_triplets"
    assert (
        run.data.metrics["tuned/sts-test/spearman_cosine"]
        == finished.summary["metrics"]["tuned/sts-test/spearman_cosine"]
    )
    history = store.client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in history] == list(range(2, 21, 2))
    assert [p.step for p in store.client.get_metric_history(run.info.run_id, "eval/sts-dev/spearman_cosine")] == [
        5,
        10,
        15,
        20,
    ]
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(run.data.metrics)
    assert {item.dataset.name for item in run.inputs.dataset_inputs} == {"nli", "sts", "sts-dev", "sts-test"}
    assert (
        run.data.tags["stsflow.recipe"] == "small"
        and run.data.tags["prefect.flow_run_id"] == finished.summary["flow_run_id"]
    )
    folders = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    assert {"recipe", "data", "tokens", "plan", "training", "evaluation", "card"} <= folders
    pages = {file.path for file in store.client.list_artifacts(run.info.run_id, "plan")}
    assert pages == {"plan/plan.json", "plan/plan.md"}
    assert run.data.metrics["data/nli/rows_seen_share"] > 0
    assert len(run.outputs.model_outputs) == 1
    assert store.registry.version_with("small-model", run.data.tags["stsflow.model_digest"]) == "1"


def test_mlflow_ranks_the_logged_model_by_its_metric_on_the_data_set(finished: Finished, store: Store) -> None:
    run = store.run(finished.summary["mlflow_run_id"])
    digest = next(i.dataset.digest for i in run.inputs.dataset_inputs if i.dataset.name == "sts-test")
    name = "tuned/sts-test/spearman_cosine"
    (model,) = store.client.search_logged_models(
        [run.info.experiment_id], f"metrics.`{name}` >= -1",
        datasets=[{"dataset_name": "sts-test", "dataset_digest": digest}],
    )  # fmt: skip
    assert {point.value for point in model.metrics if point.key == name} == {run.data.metrics[name]}
    assert len(store.client.get_metric_history(run.info.run_id, name)) == 1


def test_mined_negatives_go_from_the_recipe_to_plan_card_and_mlflow(finished: Finished, store: Store) -> None:
    audit = json.loads((finished.folder / "data" / "mining.json").read_text("utf-8"))["sets"][0]
    assert audit["set"] == "nli" and audit["negatives"] == 2 and len(audit["examples"]) == 20
    assert audit["rows"] + audit["dropped"] == audit["rows_before"]
    run = store.run(finished.summary["mlflow_run_id"])
    assert run.data.params["mining.nli.relative_margin"] == "0.01"
    assert run.data.metrics["mining/nli/mined"] == 2 * audit["rows"] == 2 * run.data.metrics["data/nli/rows"]
    assert "data/mining.json" in {file.path for file in store.client.list_artifacts(run.info.run_id, "data")}
    card = Path(finished.summary["card"]).read_text("utf-8")
    assert "### Mined Negatives" in card and f"| Mined negatives in all rows | {audit['mined']:,} |" in card
    assert audit["examples"][0]["negative"] in card
    plan = (finished.folder / "plan" / "plan.md").read_text("utf-8")
    assert "## Mined negatives" in plan and audit["examples"][0]["anchor"] in plan
    shown = {
        fact["fact"]["id"] for fact in json.loads((finished.folder / "card/facts.json").read_text("utf-8"))["facts"]
    }
    assert {"mining.nli.like_positives", "mining.nli.example.0.negative"} <= shown


def test_the_first_version_becomes_champion(finished: Finished, store: Store) -> None:
    assert finished.summary["promoted"] is True
    assert str(store.registry.alias("small-model", "champion").version) == "1"  # type: ignore[union-attr]


def test_the_runs_folder_is_what_a_person_opens(finished: Finished) -> None:
    for name in (
        "run.json",
        "recipe.yaml",
        "model/config.json",
        "training/events.jsonl",
        "evaluation/sts-test.json",
        "card/README.md",
    ):
        assert (finished.folder / name).exists(), name
    assert list(finished.folder.glob("evaluation/**/*.png")) and list(finished.folder.glob("evaluation/**/*.parquet"))
    locked = yaml.safe_load((finished.folder / "recipe.yaml").read_text(encoding="utf-8"))
    assert locked["model"]["weights_sha256"] and locked["data"]["train"]["nli"]["expect_rows"] == 240


def test_the_card_states_the_scores_of_the_run(finished: Finished) -> None:
    card = Path(finished.summary["card"]).read_text(encoding="utf-8")
    assert f"{finished.summary['metrics']['tuned/sts-test/spearman_cosine']:.4f}" in card
    assert "Unknown" not in card and "Unnamed" not in card and "<!--" not in card
    assert (Path(finished.summary["model_dir"]) / "README.md").read_text(encoding="utf-8") == card


def test_prefect_shows_each_stage_as_a_task(finished: Finished) -> None:
    import sqlite3

    with sqlite3.connect(finished.workspace / "prefect" / "prefect.db") as database:
        names = {row[0] for row in database.execute("select name from task_run")}
        (state,) = database.execute("select state_type from flow_run").fetchone()
        keys = {row[0] for row in database.execute("select key from artifact where key is not null")}
    assert state == "COMPLETED"
    for stage in (
        "fetch base model",
        "prepare nli",
        "mine negatives",
        "profile tokens",
        "plan",
        "train",
        "evaluate",
        "write model card",
    ):
        assert any(name.startswith(stage) for name in names), stage
    assert {"tokens", "exposure", "plan", "scores", "model-card"} <= keys


def test_the_same_recipe_again_is_a_new_run_that_reuses_the_training(finished: Finished, store: Store) -> None:
    again = result_of(stsflow(finished.workspace, "run", str(finished.recipe), "--json"))
    assert again["reused"] is True and again["mlflow_run_id"] != finished.summary["mlflow_run_id"]
    assert again["metrics"] == finished.summary["metrics"]
    run = store.run(again["mlflow_run_id"])
    assert run.data.tags["stsflow.reused_from"]
    assert [p.step for p in store.client.get_metric_history(run.info.run_id, "train/loss")] == list(range(2, 21, 2))
    assert again["promoted"] is False and "champion itself" in again["release"]
    assert again["model_version"] == run.data.tags["stsflow.model_version"] == "1"
    assert len(store.client.search_model_versions("name = 'small-model'")) == 1


def test_a_mistake_is_one_message_and_exit_code_2(finished: Finished) -> None:
    done = stsflow(finished.workspace, "run", str(finished.recipe), "--set", "training.epoch=1", "--json")
    assert done.returncode == 2 and done.stdout == ""
    assert "training.epoch: unknown key (did you mean 'epochs'?)" in done.stderr and "Traceback" not in done.stderr


def test_a_dead_tracking_server_is_found_before_anything_is_done(finished: Finished) -> None:
    uri = "http://127.0.0.1:9"
    done = stsflow(finished.workspace, "run", str(finished.recipe), "--json", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 2
    assert f"the MLflow server at {uri} (MLFLOW_TRACKING_URI) does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_card_cannot_make_verify_card_run_the_code_that_came_with_it(
    finished: Finished, tiny_bert: Path, tmp_path: Path
) -> None:
    card = Path(shutil.copytree(finished.summary["model_dir"], tmp_path / "card"))
    base, marker = build_remote_code_model(tmp_path / "base", tiny_bert, persistent=True), tmp_path / "it-ran"
    with (base / "modeling_toy.py").open("a", encoding="utf-8") as code:
        code.write(f"open({str(marker)!r}, 'w').close()\n")
    facts = json.loads((card / "facts.json").read_text(encoding="utf-8"))
    claim = {"path": str(base), "digest": sha256_of_model(base), "trust_remote_code": True}
    facts["evidence"]["base"] |= claim
    (card / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    done = stsflow(tmp_path / "elsewhere", "verify-card", str(card), "--json")
    assert done.returncode == 3 and not marker.exists(), done.stderr
    found = json.loads(done.stdout)
    assert found["measured"] > 100, "the weights beside the card were measured, and with them the base would have been"
    assert any(sentence.startswith("Scores of the base model") for sentence in found["not_compared"])
    assert not (tmp_path / "elsewhere").exists(), "checking a card makes no workspace"


def test_the_model_loads_back_from_the_registry_and_gives_the_same_embeddings(finished: Finished) -> None:
    code = (
        "import json, sys, mlflow, numpy; from sentence_transformers import SentenceTransformer;"
        "mlflow.set_tracking_uri(sys.argv[1]); texts = ['A man is playing a guitar.', '아이들이 점심을 먹는다.'];"
        "a = mlflow.sentence_transformers.load_model('models:/small-model@champion').encode(texts);"
        "b = SentenceTransformer(sys.argv[2], device='cpu').encode(texts);"
        "print(json.dumps(bool(numpy.array_equal(a, b))))"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, finished.summary["tracking_uri"], finished.summary["model_dir"]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.strip().splitlines()[-1]) is True
