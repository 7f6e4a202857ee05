"""The permutation test against scipy's, against enumeration, and its error rate under the hypothesis."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from stsflow.tasks.statistics.permutation import paired_mean_permutation_p, paired_permutation_p
from stsflow.tasks.statistics.power import rows_needed


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_p_value_agrees_with_enumeration_of_all_swaps(kind: str) -> None:
    generator = np.random.default_rng(0)
    gold, first, second = generator.normal(size=(3, 9))
    second = gold + 0.8 * second
    if kind == "spearman":
        a, b, correlate = stats.rankdata(first), stats.rankdata(second), stats.spearmanr
    else:
        a, b = ((x - x.mean()) / x.std() for x in (first, second))
        correlate = stats.pearsonr
    differences = []
    for swaps in itertools.product([False, True], repeat=9):
        one, two = np.where(swaps, b, a), np.where(swaps, a, b)
        differences.append(abs(correlate(gold, two).statistic - correlate(gold, one).statistic))
    expected = np.mean(np.array(differences) >= differences[0] - 1e-12)
    found = paired_permutation_p(gold, first, second, kind, permutations=6000, seed=1)  # type: ignore[arg-type]
    assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 6000) + 1e-3)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_equal_models_have_p_one(kind: str) -> None:
    gold, scores = np.random.default_rng(1).normal(size=(2, 50))
    assert paired_permutation_p(gold, scores, 3 * scores + 1, kind, permutations=200, seed=0) == 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_error_rate_under_the_hypothesis_even_when_one_model_spreads_its_scores_wider(kind: str) -> None:
    generator = np.random.default_rng(2)
    rejected = 0
    for trial in range(200):
        gold = generator.normal(size=120)
        first, second = gold + generator.normal(size=(2, 120))
        rejected += paired_permutation_p(gold, 0.01 * first + 5, second, kind, permutations=199, seed=trial) <= 0.05  # type: ignore[arg-type]
    # Binomial of 200 at 5 %: mean 10, standard deviation 3.1.
    assert 2 <= rejected <= 20


def test_clear_difference_has_the_smallest_p_value_there_is() -> None:
    generator = np.random.default_rng(3)
    gold, noise, other = generator.normal(size=(3, 300))
    p_value = paired_permutation_p(gold, other, gold + 0.1 * noise, "spearman", permutations=99, seed=0)
    assert p_value == 1 / 100


def test_undefined_correlation_has_no_p_value() -> None:
    assert math.isnan(paired_permutation_p([0, 1, 2], [5, 5, 5], [1, 2, 3], "pearson", permutations=10, seed=0))


def test_sign_flip_test_agrees_with_scipys_paired_permutation_of_means() -> None:
    generator = np.random.default_rng(4)
    first, second = generator.integers(0, 2, (2, 12)).astype(float)
    second[:5] = 1.0
    theirs = stats.permutation_test(
        (second, first), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    assert paired_mean_permutation_p(first, second, 8000, seed=0) == pytest.approx(theirs.pvalue, abs=0.025)


def test_rows_needed_worked_by_hand() -> None:
    # (1.960 + 0.842) x 0.01 / 0.02 = 1.4008; squared 1.9622; of 1,000 rows: 1,962.2, rounded up.
    assert rows_needed(0.02, 0.01, 1000) == 1963
    assert rows_needed(-0.02, 0.01, 1000) == 1963


def test_no_number_of_rows_tells_equal_models_apart() -> None:
    assert rows_needed(0.0, 0.01, 1000) is None
    assert rows_needed(math.nan, 0.01, 1000) is None
    assert rows_needed(0.1, math.nan, 1000) is None


def test_power_at_the_rows_needed_is_eighty_percent() -> None:
    # At n = rows_needed the true difference is 2.80 standard errors: P(|z + 2.80| > 1.96) is 0.80.
    error, difference, rows = 0.02, 0.03, 500
    needed = rows_needed(difference, error, rows)
    assert needed is not None
    shift = difference / (error * math.sqrt(rows / needed))
    assert stats.norm.sf(1.959964 - shift) == pytest.approx(0.8, abs=0.005)
