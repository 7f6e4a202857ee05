"""Evaluation through the child process: reuse by content, several models, failures; and comparison of reports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models import build_tiny_cross_encoder
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from sentence_transformers import CrossEncoder

from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models, scores_fingerprint
from stsflow.tasks.ground.errors import EvaluationFailed, ModelError, PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import EvaluationConfig, ModelConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import StsSuite, Suite, TripletSuite

SOURCE = FilesSource(paths=("rows.tsv",))
Prepare = Callable[..., PreparedSet]


@pytest.fixture
def data(prepare: Prepare, pair_columns: dict[str, list[Any]]) -> PreparedData:
    triplets = {name: pair_columns[column] for name, column in (("anchor", "sentence1"), ("positive", "sentence2"))}
    triplets["negative"] = triplets["positive"][7:] + triplets["positive"][:7]
    sets = (prepare("sts-dev", pair_columns), prepare("nli", triplets))
    return PreparedData(fingerprint="data", train=(), evaluation=sets)


@pytest.fixture
def config() -> EvaluationConfig:
    return EvaluationConfig(
        suites={"sts-dev": StsSuite(source=SOURCE), "nli": TripletSuite(source=SOURCE)}, resamples=100
    )


def test_a_cross_encoder_is_scored_on_pairs_alone_its_score_in_the_place_of_each_similarity(
    data: PreparedData, config: EvaluationConfig, pair_columns: dict[str, list[Any]], tmp_path: Path
) -> None:
    folder = build_tiny_cross_encoder(tmp_path / "teacher")
    source = ModelConfig.model_validate({"source": {"kind": "directory", "path": str(folder)}})
    teacher = fetch_base_model(source, Workspace(tmp_path / "w"), gives=frozenset({"scores"}))
    model = ModelUnderTest("teacher", folder, teacher.digest, teacher)
    assert model.measured_on(config.suites) == ("sts-dev",)
    (report,) = evaluate_models([model], config, data, tmp_path / "run", prompts={}, device="cpu")
    assert list(report.suites) == ["sts-dev"] and report.latency is None
    pairs = list(zip(pair_columns["sentence1"], pair_columns["sentence2"], strict=True))
    wanted = spearmanr(CrossEncoder(str(folder), device="cpu").predict(pairs), pair_columns["score"])[0]
    metrics = report.suites["sts-dev"].metrics
    assert metrics["spearman_cosine"] == metrics["spearman_dot"] == pytest.approx(wanted, abs=1e-6)
    assert report.suites["sts-dev"].intervals["spearman_cosine"].low <= wanted


def test_two_models_in_one_child_then_reused_then_made_again_then_compared(
    data: PreparedData, config: EvaluationConfig, small_model: Path, other_model: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    models = [ModelUnderTest("base", small_model, "digest-1"), ModelUnderTest("tuned", other_model, "digest-2")]
    folder = tmp_path / "run-1"
    base, tuned = evaluate_models(models, config, data, folder, workspace=workspace, prompts={})
    assert (base.model, tuned.model, base.reused, tuned.reused) == ("base", "tuned", False, False)
    assert base.suites["sts-dev"].metrics != tuned.suites["sts-dev"].metrics
    for report in (base, tuned):
        assert EvaluationReport.load(folder / report.model / "report.json") == report
        assert report.suites["sts-dev"].pairs == folder / report.model / "sts-dev.parquet"
    both = json.loads((folder / "sts-dev.json").read_text(encoding="utf-8"))
    assert both["tuned"]["metrics"] == tuned.suites["sts-dev"].metrics

    again = [ModelUnderTest("champion", other_model, "digest-2")]
    (champion,) = evaluate_models(again, config, data, tmp_path / "run-2", workspace=workspace, prompts={})
    assert (champion.model, champion.reused) == ("champion", True)
    assert champion.suites["sts-dev"].pairs == tmp_path / "run-2" / "champion" / "sts-dev.parquet"
    assert champion.suites["sts-dev"].pairs.is_file()
    (once_more,) = evaluate_models(again, config, data, tmp_path / "run-2", workspace=workspace, prompts={})
    assert once_more == champion

    stored = workspace.made("scores", scores_fingerprint(models[1], "sts-dev", config, data.evaluation))
    whole = (stored / "sts-dev.parquet").read_bytes()
    (stored / "sts-dev.parquet").write_bytes(whole[:-50] + bytes([whole[-50] ^ 1]) + whole[-49:])
    (damaged,) = evaluate_models(again, config, data, tmp_path / "run-3", workspace=workspace, prompts={})
    assert not damaged.reused and damaged.suites["sts-dev"].metrics == champion.suites["sts-dev"].metrics

    # Only one suite is another now: the other one's scores are found, and the report is whole all the same.
    def with_suites(suites: dict[str, Suite]) -> EvaluationConfig:
        return config.model_copy(update={"suites": suites})

    changed: dict[str, Suite] = {**config.suites, "nli": TripletSuite(source=SOURCE, title="Another title")}
    (partly,) = evaluate_models(again, with_suites(changed), data, tmp_path / "run-4", workspace=workspace, prompts={})
    said = (tmp_path / "run-4" / "worker.log").read_text(encoding="utf-8")
    assert "champion on nli" in said and "champion on sts-dev" not in said and not partly.reused
    assert list(partly.suites) == ["sts-dev", "nli"] and partly.suites["nli"].title == "Another title"
    assert partly.suites["sts-dev"].metrics == champion.suites["sts-dev"].metrics
    assert partly.suites["nli"].metrics == champion.suites["nli"].metrics
    (fewer,) = evaluate_models(
        again, with_suites({"nli": changed["nli"]}), data, tmp_path / "run-4", workspace=workspace, prompts={}
    )
    assert fewer.reused and not (tmp_path / "run-4" / "champion" / "sts-dev.parquet").exists()

    differences = compare(base, tuned, config, metrics=["pearson_dot", "spearman_max", "accuracy_dot"])
    assert [(d.suite, d.metric) for d in differences] == [
        ("sts-dev", "spearman_cosine"), ("sts-dev", "pearson_dot"), ("sts-dev", "spearman_max"),
        ("nli", "accuracy_cosine"), ("nli", "accuracy_dot"),
    ]  # fmt: skip
    for found in differences:
        before, after = (report.suites[found.suite].metrics[found.metric] for report in (base, tuned))
        assert found.difference == pytest.approx(after - before)
        assert found.interval is not None and found.interval.low <= found.interval.high
    assert [d.p_value is None for d in differences] == [False, False, True, False, False]


def test_failing_child_leaves_no_folder_and_its_last_words(
    small_model: Path, data: PreparedData, config: EvaluationConfig, tmp_path: Path
) -> None:
    gone = data.model_copy(
        update={"evaluation": tuple(item.model_copy(update={"path": tmp_path / "gone"}) for item in data.evaluation)}
    )
    with pytest.raises(
        EvaluationFailed, match=r"the evaluation of base ended with code 1; the end of .*worker\.log"
    ) as failed:
        evaluate_models([ModelUnderTest("base", small_model, "digest")], config, gone, tmp_path / "run", prompts={})
    assert "gone" in str(failed.value)
    assert not (tmp_path / "run" / "base").exists()


def test_a_model_with_random_weights_is_refused_and_leaves_no_scores(
    small_model: Path, data: PreparedData, config: EvaluationConfig, tmp_path: Path
) -> None:
    prefixed = Path(shutil.copytree(small_model, tmp_path / "prefixed"))
    weights = {f"x.{name}": tensor for name, tensor in load_file(prefixed / "model.safetensors").items()}
    save_file(weights, prefixed / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"prefixed: the weights do not fit .* are missing and would be random numbers"
    ):
        evaluate_models([ModelUnderTest("tuned", prefixed, "digest")], config, data, tmp_path / "run", prompts={})
    assert not (tmp_path / "run" / "tuned").exists()


def test_flow_process_does_not_import_torch() -> None:
    heavy = ("torch", "transformers", "sentence_transformers", "datasets")
    look = f"print([name for name in {heavy} if name in sys.modules])"
    code = f"import sys; from stsflow.tasks.evaluation import compare, run; {look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_device_that_is_not_there_is_refused_before_a_child_starts(
    small_model: Path, data: PreparedData, config: EvaluationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    model = ModelUnderTest("base", small_model, "digest")
    with pytest.raises(PreconditionError, match=r"training\.device is `cuda`, but"):
        evaluate_models([model], config, data, tmp_path / "run", device="cuda", prompts={})
    assert not (tmp_path / "run").exists()


def test_scores_are_found_by_what_determines_them(data: PreparedData, config: EvaluationConfig, tmp_path: Path) -> None:
    model = ModelUnderTest("base", tmp_path, "digest-1")

    def key(model: ModelUnderTest = model, config: EvaluationConfig = config, **change: Any) -> str:
        sets = [item.model_copy(update=change) for item in data.evaluation]
        return scores_fingerprint(model, "sts-dev", config, sets)

    assert key() == key(ModelUnderTest("another name", tmp_path / "elsewhere", "digest-1"))
    assert key() == key(config=config.model_copy(update={"batch_size": 7}))
    assert key() != key(ModelUnderTest("base", tmp_path, "digest-2"))
    assert key() != key(config=config.model_copy(update={"resamples": 99}))
    assert key() == key(config=config.model_copy(update={"suites": {"sts-dev": config.suites["sts-dev"]}}))
    assert key() != key(config=config.model_copy(update={"suites": {"sts-dev": StsSuite(source=SOURCE, title="t")}}))
    assert key() != key(digest="other rows")
    assert key() != scores_fingerprint(model, "sts-dev", config, data.evaluation, "cuda")
    clean = tmp_path / "clean.json"
    clean.write_text("[1]", encoding="utf-8")
    assert key() != key(clean_rows=clean)


def test_reports_on_different_rows_are_not_compared(
    config: EvaluationConfig, report_on: Callable[..., EvaluationReport]
) -> None:
    with pytest.raises(EvaluationFailed) as failed:
        compare(report_on("champion", "rows-1"), report_on("tuned", "rows-2"), config)
    assert str(failed.value) == (
        "champion and tuned cannot be compared: the rows of sts-dev differ (data digest rows-1 and rows-2); "
        "evaluate both on the same data"
    )


def test_suites_that_only_one_report_has_are_passed_over(
    config: EvaluationConfig, report_on: Callable[..., EvaluationReport]
) -> None:
    assert compare(report_on("champion", "rows", "sts-old"), report_on("tuned", "rows"), config) == ()


@pytest.fixture
def report_on(tmp_path: Path) -> Callable[..., EvaluationReport]:
    """Function that makes a report without per-row scores."""
    from stsflow.tasks.records.evaluation import SuiteScores

    def make(model: str, digest: str, suite: str = "sts-dev") -> EvaluationReport:
        scores = SuiteScores(
            suite=suite, kind="sts", title=suite, split=suite, rows=3, data_digest=digest, model_digest=model,
            primary="spearman_cosine", metrics={"spearman_cosine": 0.5},
        )  # fmt: skip
        return EvaluationReport(model=model, model_path=tmp_path, model_digest=model, suites={suite: scores}, seconds=0)

    return make
