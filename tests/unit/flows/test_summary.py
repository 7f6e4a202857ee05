"""What a run comes down to: every suite by its own metrics, and commands that a shell takes as they stand."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from stsflow.flows.seeds import SeedStudy
from stsflow.flows.summary import RunSummary, look_commands, print_summary, shown_metrics
from stsflow.tasks.records.evaluation import Interval, RecipeDifference, SuiteScores

METRICS = {
    "faq": ("ndcg_at_10", "mrr_at_10"),
    "small": ("spearman_cosine_64", "pearson_cosine_64"),
    "order": ("accuracy_cosine",),
}


def summary(place: Path, seed: int = 0) -> RunSummary:
    return RunSummary(
        status="finished", name="run-001", recipe="faq", mlflow_run_id="m", flow_run_id="f",
        tracking_uri=f"sqlite:///{place}/mlflow.db", experiment_id="1", run_dir=place, model_dir=place, card=place,
        metrics={
            f"{model}/{suite}/{metric}": value + seed / 100
            for model, value in (("base", 0.25), ("tuned", 0.5))
            for suite, metrics in METRICS.items()
            for metric in metrics
        },
        shown=METRICS, headline="faq/ndcg_at_10",
        gain={"base": 0.25, "tuned": 0.5, "difference": None, "low": None, "high": None},
        reused=False, attempt=1, promoted=False, release="not registered",
    )  # fmt: skip


def printed(show: object) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=200))  # type: ignore[operator]
    return stream.getvalue()


def test_every_suite_is_shown_by_its_own_metrics(tmp_path: Path) -> None:
    text = printed(lambda console: print_summary(summary(tmp_path), console))
    for suite, metrics in METRICS.items():
        for metric in metrics:
            (row,) = [line for line in text.splitlines() if suite in line and f" {metric} " in line]
            assert "0.2500" in row and "0.5000" in row and "+0.2500" in row


def test_seeds_are_shown_by_every_suites_own_metrics(tmp_path: Path) -> None:
    runs = {seed: summary(tmp_path, seed) for seed in (1, 2)}
    spread = dict.fromkeys(runs[1].metrics, (0.515, 0.007))
    claim = RecipeDifference(
        suite="faq", metric="ndcg_at_10", first="the base model", second="the recipe faq", rows=50, seeds=(1, 2),
        means=(0.25, 0.515), deviations=(None, 0.007), difference=0.265,
        interval=Interval(low=0.2, high=0.33, confidence=0.95, resamples=1000), seeds_needed=3,
    )  # fmt: skip
    study = SeedStudy(
        name="faq-1a2b3c4d-2-seeds", mlflow_run_id="p", runs=runs, spread=spread, claims=(claim,), chosen=2,
        chosen_by="faq/ndcg_at_10", released=runs[2],
    )  # fmt: skip
    text = printed(study.show)
    (row,) = [line for line in text.splitlines() if "faq/ndcg_at_10" in line and "0.0070" in line]
    assert "0.5100" in row and "0.5200" in row
    assert "+0.2650, 95% interval [+0.2000, +0.3300] over 2 seeds and 50 rows; to tell this much" in text
    # The larger of two normal draws lies 0.5642 deviations above their mean.
    assert "0.5200; the best of that many equal runs is expected at 0.5189 by chance alone" in text
    assert "stsflow compare faq-1a2b3c4d-2-seeds OTHER" in text


def test_of_the_ten_metrics_of_an_sts_suite_two_are_shown() -> None:
    scores = SuiteScores(
        suite="sts", kind="sts", title="", split="", rows=1, data_digest="", model_digest="",
        primary="spearman_cosine", metrics={"pearson_cosine": 0.1, "spearman_cosine": 0.2, "spearman_dot": 0.3},
    )  # fmt: skip
    assert shown_metrics(scores) == ("spearman_cosine", "pearson_cosine")


@pytest.mark.parametrize("folder", ["plain", "with a blank", "it's $HOME; (x) & `y`"])
def test_printed_commands_are_quoted_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    place = tmp_path / folder
    monkeypatch.setenv("STSFLOW_WORKSPACE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.delenv("STSFLOW_EMBEDDED_PREFECT", raising=False)
    commands = look_commands(summary(place))
    assert f"sqlite:///{place}/mlflow.db" in shlex.split(commands["MLflow"])
    assert shlex.split(commands["Prefect"]) == ["open", "http://127.0.0.1:4200/runs/flow-run/f"]
