"""The bootstrap by counts against scipy on the same resamples, and against scipy's own bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from stsflow.tasks.statistics import bootstrap
from stsflow.tasks.statistics.bootstrap import (
    bootstrap_correlations,
    bootstrap_means,
    maximum_over,
    percentile_interval,
    resample_counts,
)

Floats = NDArray[np.float64]


def scores(rows: int, seed: int, noise: float = 1.0) -> tuple[Floats, Floats]:
    """Gold scores with many ties, as people give them, and a model's noisy similarities, a few of them tied too."""
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 26, rows) / 25
    return gold, np.round(gold + noise * generator.normal(size=rows), 2)


def test_every_resample_equals_scipy_on_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "CELLS_AT_A_TIME", 97 * 16)  # several blocks, the last one shorter
    gold, predicted = scores(97, seed=1)
    values = bootstrap_correlations(gold, {"cosine": predicted}, resamples=40, seed=11)
    counts = np.concatenate(list(resample_counts(97, 40, seed=11)))
    for number, count in enumerate(counts):
        rows = np.repeat(np.arange(97), count)
        spearman = stats.spearmanr(gold[rows], predicted[rows]).statistic
        pearson = stats.pearsonr(gold[rows], predicted[rows]).statistic
        assert values["spearman"]["cosine"][number] == pytest.approx(spearman, abs=1e-12)
        assert values["pearson"]["cosine"][number] == pytest.approx(pearson, abs=1e-12)


def test_resamples_depend_on_seed_and_rows_alone() -> None:
    counts = np.concatenate(list(resample_counts(50, 200, seed=4)))
    assert counts.shape == (200, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert np.array_equal(counts, np.concatenate(list(resample_counts(50, 200, seed=4))))
    assert not np.array_equal(counts, np.concatenate(list(resample_counts(50, 200, seed=5))))
    # A row is drawn once on average, with the variance of a binomial of 50 draws: 1 - 1/50.
    assert counts.var() == pytest.approx(0.98, abs=0.05)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_interval_agrees_with_scipys_bootstrap(kind: str) -> None:
    gold, predicted = scores(300, seed=2)
    values = bootstrap_correlations(gold, {"cosine": predicted}, resamples=4000, seed=0)[kind]["cosine"]
    interval = percentile_interval(values, 0.95)
    statistic = stats.pearsonr if kind == "pearson" else stats.spearmanr
    theirs = stats.bootstrap(
        (gold, predicted), lambda a, b: statistic(a, b).statistic, paired=True, vectorized=False,
        n_resamples=1500, method="percentile", rng=np.random.default_rng(9),
    )  # fmt: skip
    # The standard error of a 2.5 % quantile from m resamples of spread s is near 2.7 s / sqrt(m).
    noise = 4 * 2.7 * theirs.standard_error * math.sqrt(1 / 4000 + 1 / 1500)
    assert interval.low == pytest.approx(theirs.confidence_interval.low, abs=noise)
    assert interval.high == pytest.approx(theirs.confidence_interval.high, abs=noise)


def test_intervals_cover_the_true_correlation_as_often_as_they_say() -> None:
    generator = np.random.default_rng(8)
    truth, hits = 0.6, 0
    for trial in range(150):
        x, noise = generator.normal(size=(2, 200))
        y = truth * x + math.sqrt(1 - truth**2) * noise
        values = bootstrap_correlations(x, {"y": y}, resamples=400, seed=trial)["pearson"]["y"]
        interval = percentile_interval(values, 0.9)
        hits += interval.low <= truth <= interval.high
    # Binomial of 150 at 90 %: standard deviation 3.7; three of them, and a little for the percentile's own bias.
    assert 150 * 0.9 - 15 <= hits <= 150 * 0.9 + 12


def test_columns_share_their_resamples_so_a_model_minus_itself_is_zero() -> None:
    gold, predicted = scores(80, seed=3)
    values = bootstrap_correlations(gold, {"first": predicted, "second": predicted * 2 + 1}, resamples=300, seed=0)
    assert np.array_equal(values["spearman"]["first"], values["spearman"]["second"])
    assert values["pearson"]["first"] == pytest.approx(values["pearson"]["second"], abs=1e-12)


def test_keeping_the_full_samples_ranks_would_be_another_statistic() -> None:
    gold, predicted = scores(60, seed=6, noise=0.3)
    exact = bootstrap_correlations(gold, {"a": predicted}, resamples=500, seed=0)["spearman"]["a"]
    ranks = {"a": stats.rankdata(predicted)}
    kept = bootstrap_correlations(stats.rankdata(gold), ranks, resamples=500, seed=0)["pearson"]["a"]
    assert np.abs(exact - kept).max() > 1e-3


def test_resample_without_spread_is_nan_and_passed_over() -> None:
    gold, predicted = np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.9])
    values = bootstrap_correlations(gold, {"a": predicted}, resamples=500, seed=0)
    counts = np.concatenate(list(resample_counts(3, 500, seed=0)))
    flat = (counts[:, 2] == 0) | (counts[:, 2] == 3)
    for kind in ("pearson", "spearman"):
        assert np.array_equal(np.isnan(values[kind]["a"]), flat)
        assert not math.isnan(percentile_interval(values[kind]["a"], 0.95).low)


@pytest.mark.parametrize("predicted", [[0.5, 0.5, 0.5], [0.5, math.nan, 0.1]], ids=["constant", "nan"])
def test_undefined_column_has_no_interval(predicted: list[float]) -> None:
    values = bootstrap_correlations([0, 0.5, 1], {"a": predicted}, resamples=20, seed=0)
    assert np.isnan(values["spearman"]["a"]).all()
    assert math.isnan(percentile_interval(values["spearman"]["a"], 0.95).low)


def test_percentile_interval_worked_by_hand() -> None:
    interval = percentile_interval(np.arange(101, dtype=float), 0.9)
    assert (interval.low, interval.high) == pytest.approx((5.0, 95.0))
    assert interval.resamples == 101


def test_maximum_is_taken_resample_by_resample() -> None:
    assert maximum_over([np.array([1.0, np.nan]), np.array([0.5, np.nan])]).tolist()[0] == 1.0
    assert math.isnan(maximum_over([np.array([np.nan]), np.array([np.nan])])[0])


def test_means_in_resamples_equal_the_means_of_the_drawn_rows() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    means = bootstrap_means({"accuracy": values}, resamples=30, seed=2)["accuracy"]
    counts = np.concatenate(list(resample_counts(5, 30, seed=2)))
    assert means == pytest.approx([np.repeat(values, count).mean() for count in counts])
