"""Recipes compared by the reports of all their seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stsflow.tasks.evaluation.over_seeds import compare_over_seeds
from stsflow.tasks.evaluation.scoring import write_parquet
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.evaluation import EvaluationReport, SuiteScores
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.statistics.similarity import sts_metrics
from stsflow.tasks.suites import StsSuite

ROWS = 400
CONFIG = EvaluationConfig(suites={"test": StsSuite(source=FilesSource(paths=("rows.tsv",)))}, resamples=300)


def reports(folder: Path, name: str, noises: list[float], digest: str = "rows") -> list[EvaluationReport]:
    generator = np.random.default_rng(0)
    gold, shared = generator.normal(size=ROWS), generator.normal(size=ROWS)
    found = []
    for seed, noise in enumerate(noises):
        own = np.random.default_rng([seed, len(name)]).normal(size=ROWS)
        columns = dict.fromkeys(("cosine", "manhattan", "euclidean", "dot"), gold + noise * (0.9 * shared + 0.4 * own))
        suite = SuiteScores(
            suite="test", kind="sts", title="test", split="test", rows=ROWS, data_digest=digest, model_digest=name,
            primary="spearman_cosine", metrics=sts_metrics(columns, gold),
            pairs=write_parquet(folder / f"{name}-{seed}.parquet", {"gold": gold, **columns}),
        )  # fmt: skip
        found.append(
            EvaluationReport(model=name, model_path=folder, model_digest=name, suites={"test": suite}, seconds=0.0)
        )
    return found


def test_a_recipe_is_compared_by_the_means_over_its_seeds(tmp_path: Path) -> None:
    base, tuned = reports(tmp_path, "base", [0.9]), reports(tmp_path, "tuned", [0.5, 0.52, 0.48])
    (found,) = compare_over_seeds(base, tuned, ("base", "recipe"), CONFIG, workspace=Workspace(tmp_path / "w"))
    scores = [report.suites["test"].metrics["spearman_cosine"] for report in tuned]
    assert found.means[1] == pytest.approx(np.mean(scores)) and found.seeds == (1, 3)
    assert found.deviations == (None, pytest.approx(np.std(scores, ddof=1)))
    assert found.interval is not None and 0 < found.interval.low < found.difference < found.interval.high
    assert found.seeds_needed is not None and found.seeds_needed <= 3
    again = compare_over_seeds(base, tuned, ("base", "recipe"), CONFIG, workspace=Workspace(tmp_path / "w"))
    assert again == (found,)


def test_luck_of_three_seeds_is_not_taken_for_a_better_recipe(tmp_path: Path) -> None:
    """Each seed of the second recipe beats the mean of the first on the rows; its seeds scatter as widely as that."""
    first, second = reports(tmp_path, "one", [0.7, 0.9, 0.5]), reports(tmp_path, "other", [0.65, 0.45, 0.85])
    (found,) = compare_over_seeds(first, second, ("one", "other"), CONFIG)
    assert found.interval is not None and found.interval.low < 0 < found.interval.high
    assert found.seeds_needed is None or found.seeds_needed > 3


def test_rows_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationFailed, match="the rows of test differ"):
        compare_over_seeds(
            reports(tmp_path, "one", [0.7]), reports(tmp_path, "other", [0.7, 0.7], "others"), ("one", "other"), CONFIG
        )


def test_without_resamples_there_are_means_alone(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"resamples": 0})
    (found,) = compare_over_seeds(
        reports(tmp_path, "one", [0.7]), reports(tmp_path, "other", [0.6, 0.5]), ("one", "other"), config
    )
    assert found.interval is None and found.seeds_needed is None and found.difference > 0
