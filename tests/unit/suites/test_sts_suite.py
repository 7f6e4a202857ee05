"""Plain STS, end to end in this process: against sentence-transformers' evaluator, scipy and counting by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from stsflow.tasks.evaluation.worker import EvaluationSpec, evaluate
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.evaluation import EvaluationReport, SuiteScores
from stsflow.tasks.shapes import ScoredPairs
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import STS_METRICS, StsSuite

SOURCE = FilesSource(paths=("rows.tsv",))
Columns = dict[str, list[Any]]


@pytest.fixture
def report(
    prepare: Callable[..., PreparedSet], pair_columns: Columns, spec: Callable[..., EvaluationSpec]
) -> EvaluationReport:
    data = prepare("sts-test", pair_columns, clean=[0, 2, 3, 5, 8, 13, 21, 34])
    made = spec(
        {"sts-test": StsSuite(source=SOURCE, shape=ScoredPairs(keep=("genre",)), split="test", subsets_by="genre")},
        data,
    )
    return evaluate(made, made.models[0])


@pytest.fixture
def scores(report: EvaluationReport) -> SuiteScores:
    return report.suites["sts-test"]


def test_ten_metrics_equal_sentence_transformers_evaluator(
    scores: SuiteScores, pair_columns: Columns, small_model: Path
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    evaluator = EmbeddingSimilarityEvaluator(
        pair_columns["sentence1"], pair_columns["sentence2"], pair_columns["score"],
        similarity_fn_names=["cosine", "manhattan", "euclidean", "dot"], write_csv=False,
    )  # fmt: skip
    expected = evaluator(SentenceTransformer(str(small_model), device="cpu"))
    assert set(scores.metrics) == set(STS_METRICS)
    for metric in STS_METRICS:
        assert scores.metrics[metric] == pytest.approx(expected[metric], abs=1e-4), metric


def test_pairs_file_has_every_row_in_order_with_what_was_correlated(scores: SuiteScores, pair_columns: Columns) -> None:
    assert scores.pairs is not None
    table = pq.read_table(scores.pairs).to_pydict()
    assert list(table) == ["row", "sentence1", "sentence2", "gold", "cosine", "manhattan", "euclidean", "dot", "genre"]
    assert table["row"] == list(range(60))
    assert table["sentence1"] == pair_columns["sentence1"]
    assert table["gold"] == pair_columns["score"]
    spearman = stats.spearmanr(table["cosine"], table["gold"]).statistic
    assert scores.metrics["spearman_cosine"] == pytest.approx(spearman, abs=1e-12)


def test_every_metric_has_an_interval_around_it(scores: SuiteScores) -> None:
    assert set(scores.intervals) == set(STS_METRICS)
    for metric, interval in scores.intervals.items():
        assert interval.low < interval.high
        assert interval.low - 0.1 < scores.metrics[metric] < interval.high + 0.1
        assert (interval.confidence, interval.resamples) == (0.95, 200)


def test_clean_rows_and_subsets_are_scored_on_their_rows_alone(scores: SuiteScores) -> None:
    assert scores.pairs is not None
    table = pq.read_table(scores.pairs).to_pydict()
    gold, cosine = np.array(table["gold"]), np.array(table["cosine"])
    rows = [0, 2, 3, 5, 8, 13, 21, 34]
    assert scores.clean_rows == 8
    assert scores.clean["pearson_cosine"] == pytest.approx(stats.pearsonr(cosine[rows], gold[rows]).statistic)
    forum = np.array(table["genre"]) == "forum"
    assert set(scores.subsets) == {"genre:forum", "genre:news"} and scores.sliced_by == ("genre",)
    assert scores.subsets["genre:forum"]["rows"] == forum.sum()
    expected = stats.spearmanr(cosine[forum], gold[forum]).statistic
    assert scores.subsets["genre:forum"]["spearman_cosine"] == pytest.approx(expected)


def test_slices_cover_every_row_once_for_each_of_three_properties(scores: SuiteScores) -> None:
    for what in ("length", "score", "overlap"):
        assert sum(part["rows"] for name, part in scores.slices.items() if name.startswith(what)) == 60
    assert scores.slices["length:short"]["spearman_cosine"] <= 1


def test_report_describes_the_model_and_the_data(
    report: EvaluationReport, scores: SuiteScores, small_model: Path
) -> None:
    assert (scores.rows, scores.split, scores.title, scores.primary) == (60, "test", "Sts-Test", "spearman_cosine")
    assert scores.plot is not None and scores.plot.read_bytes().startswith(b"\x89PNG")
    assert report.model_bytes == sum(path.stat().st_size for path in small_model.rglob("*") if path.is_file())
    assert report.latency is not None and report.latency.blocks > 1
    assert 0 < report.latency.milliseconds <= report.latency.wall_best <= report.latency.wall_worst


def test_collapsed_scores_are_nan_and_survive_writing(
    prepare: Callable[..., PreparedSet], spec: Callable[..., EvaluationSpec], pair_columns: Columns
) -> None:
    same = {**pair_columns, "score": [0.5] * 60}
    made = spec({"flat": StsSuite(source=SOURCE)}, prepare("flat", same))
    evaluate(made, made.models[0])
    loaded = SuiteScores.load(made.models[0].folder / "flat.json")
    assert all(math.isnan(value) for value in loaded.metrics.values())
    assert loaded.intervals == {}


def test_without_resamples_there_are_no_intervals(
    prepare: Callable[..., PreparedSet], spec: Callable[..., EvaluationSpec], pair_columns: Columns
) -> None:
    made = spec({"plain": StsSuite(source=SOURCE)}, prepare("plain", pair_columns), resamples=0)
    assert evaluate(made, made.models[0]).suites["plain"].intervals == {}
