"""Years of looks at one test set, in small: with the error budget, and with an interval for each look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.promotion_noise import NAIVE, levels_of, moments, simulate
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, Interval, SuiteScores
from stsflow.tasks.records.looks import ErrorBudget, Look
from stsflow.tasks.release.decision import decide
from stsflow.tasks.rules import BeatsChampion
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.statistics.spending import lower_end

YEARS, ROWS = 800, 150


def share(found: np.ndarray) -> float:
    return float((found > 0).mean())


def test_noise_is_promoted_in_fewer_years_than_the_level_and_in_a_third_of_them_without_a_budget() -> None:
    budget, _ = simulate(YEARS, ROWS, 0.5, 0.0, levels_of(52), seed=3, once=True)
    naive, _ = simulate(YEARS, ROWS, 0.5, 0.0, np.full(52, NAIVE), seed=3, once=True)
    # The largest of 52 normal variables that correlate by a half lies above 1.96 with 0.3197, and any of them above the
    # quantile of its look with 0.0277: both by integration over what they share. Four standard deviations of a share of
    # 800: 0.066 and 0.023.
    assert share(naive) == pytest.approx(0.3197, abs=0.066)
    assert share(budget) == pytest.approx(0.0277, abs=0.023)


def test_a_gain_of_four_standard_errors_is_promoted_within_the_year_and_soon() -> None:
    weeks, _ = simulate(200, ROWS, 0.5, 2.0, levels_of(52), seed=4, once=True)
    # A single look shows it with Phi(4 - 3.15) = 0.80; half of the years need one look only.
    assert share(weeks) > 0.98 and np.median(weeks) == 1


def test_the_levels_of_weekly_looks_settle_and_never_add_up_to_more_than_the_level_in_a_year() -> None:
    levels = levels_of(300)
    assert levels[:49] == pytest.approx([0.05 / 52] * 49)
    assert max(levels[start : start + 53].sum() for start in range(248)) < 0.05
    assert levels.min() > 0.05 / 52 / 10


def test_the_simulation_decides_as_a_promotion_does() -> None:
    generator = np.random.default_rng(5)
    differences = generator.normal(0.3, 1.0, size=(40, ROWS)) * generator.lognormal(sigma=0.5, size=ROWS)
    found, errors, skewness = moments(differences)
    simulated = lower_end(found, errors, ROWS - 1, 0.001, skewness) > 0.0
    decided = [promoted(*one) for one in zip(found, errors, skewness, strict=True)]
    assert decided == simulated.tolist() and 0 < sum(decided) < 40


def promoted(difference: float, error: float, skewness: float) -> bool:
    reports = {}
    for model in ("champion", "tuned"):
        scores = SuiteScores(
            suite="test", kind="sts", title="test", split="test", rows=ROWS, data_digest="rows", model_digest=model,
            primary="spearman_cosine", metrics={"spearman_cosine": 0.5},
        )  # fmt: skip
        reports[model] = EvaluationReport(
            model=model, model_path=Path(model), model_digest=model, suites={"test": scores}, seconds=1.0
        )
    compared = Difference(
        suite="test", metric="spearman_cosine", first="champion", second="tuned", rows=ROWS, difference=difference,
        interval=Interval(low=-1, high=1, confidence=0.95, resamples=10_000), error=error, skewness=skewness,
        p_value=None, rows_needed=None,
    )  # fmt: skip
    look = Look.model_validate(
        {
            "rows_digest": "rows", "suite": "test", "rows": ROWS, "metric": "spearman_cosine", "margin": 0.0,
            "candidate": "tuned", "champion": "champion", "difference": difference, "error": error,
            "budget": ErrorBudget(), "spent": 0.001, "level": 0.001, "settled": True, "when": "2026-01-01T00:00:00Z",
            "who": "anna",
        }
    )  # fmt: skip
    evidence = Candidacy(
        candidate=reports["tuned"], champion=reports["champion"], differences=(compared,), headline="test",
        looks=(look,),
    )  # fmt: skip
    return decide((BeatsChampion(),), evidence).promoted
