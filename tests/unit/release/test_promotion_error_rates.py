"""How often promotion is wrong, by simulation of similarity scores on as many rows as KorSTS test has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.scoring import write_parquet
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, SuiteScores
from stsflow.tasks.release.decision import decide
from stsflow.tasks.rules import BeatsChampion
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.statistics.similarity import sts_metrics
from stsflow.tasks.suites import StsSuite

Floats = NDArray[np.float64]
ROWS = 1379


def similarities(seed: int, noises: tuple[float, ...]) -> tuple[Floats, list[Floats]]:
    """Gold scores, and for each model similarities whose errors the models share in part, as real ones do."""
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 26, ROWS) / 25
    shared = generator.normal(size=ROWS)
    return gold, [gold + noise * (0.8 * shared + 0.6 * generator.normal(size=ROWS)) for noise in noises]


def report(model: str, gold: Floats, scores: Floats, folder: Path) -> EvaluationReport:
    columns = dict.fromkeys(("cosine", "manhattan", "euclidean", "dot"), scores)
    texts = {name: [f"text {row}" for row in range(ROWS)] for name in ("sentence1", "sentence2")}
    suite = SuiteScores(
        suite="test", kind="sts", title="test", split="test", rows=ROWS, data_digest="rows", model_digest=model,
        primary="spearman_cosine", metrics=sts_metrics(columns, gold),
        pairs=write_parquet(folder / f"{model}.parquet", {**texts, "gold": gold, **columns}),
    )  # fmt: skip
    return EvaluationReport(model=model, model_path=folder, model_digest=model, suites={"test": suite}, seconds=0.0)


def comparison(seed: int, noises: tuple[float, float], folder: Path, resamples: int) -> tuple[bool, Difference]:
    """Whether the second of two models is promoted over the first, and their difference."""
    gold, (first, second) = similarities(seed, noises)
    suites = {"test": StsSuite(source=FilesSource(paths=("rows.tsv",)))}
    config = EvaluationConfig(suites=suites, resamples=resamples, seed=seed)
    champion, candidate = report("champion", gold, first, folder), report("tuned", gold, second, folder)
    differences = compare(champion, candidate, config)
    evidence = Candidacy(candidate=candidate, champion=champion, differences=differences, headline="test")
    return decide((BeatsChampion(),), evidence).promoted, differences[0]


def test_equal_models_are_promoted_no_more_often_than_the_interval_allows(tmp_path: Path) -> None:
    promoted = sum(comparison(seed, (0.25, 0.25), tmp_path, resamples=200)[0] for seed in range(200))
    # A 95 % interval leaves 2.5 % above: 5 of 200 expected; the two-sided share, 10, is 2.3 standard deviations up.
    assert promoted <= 10


def test_model_three_points_better_is_promoted(tmp_path: Path) -> None:
    promoted, difference = comparison(1, (0.25, 0.2278), tmp_path, resamples=2000)
    assert difference.difference == pytest.approx(0.03, abs=0.006)
    assert promoted
    assert difference.p_value is not None and difference.p_value < 0.01
    assert difference.rows_needed is not None and difference.rows_needed < ROWS


def test_same_model_against_itself_is_not_promoted(tmp_path: Path) -> None:
    gold, (scores,) = similarities(4, (0.25,))
    suites = {"test": StsSuite(source=FilesSource(paths=("rows.tsv",)))}
    champion, candidate = report("champion", gold, scores, tmp_path), report("tuned", gold, scores, tmp_path)
    (difference,) = compare(champion, candidate, EvaluationConfig(suites=suites, resamples=500))
    assert difference.interval is not None
    assert (difference.difference, difference.interval.low, difference.interval.high) == (0.0, 0.0, 0.0)
    assert (difference.p_value, difference.rows_needed) == (1.0, None)
    evidence = Candidacy(candidate=candidate, champion=champion, differences=(difference,), headline="test")
    assert not decide((BeatsChampion(),), evidence).promoted
