"""What resampling says of two models is worked out once: found again by the rows, the settings and the metric."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stsflow.tasks.evaluation.resampled import resampled
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.folder import seal
from stsflow.tasks.recipe.sections import EvaluationConfig

SUITE = {"kind": "sts", "split": "test", "source": {"kind": "synthetic", "task": "sts", "split": "test", "rows": 60}}
CONFIG = EvaluationConfig.model_validate({"resamples": 200, "suites": {"sts-test": SUITE}})


@pytest.fixture
def scores(tmp_path: Path) -> tuple[Path, Path]:
    """Per-row scores of two models on the same 50 rows."""
    generator = np.random.default_rng(5)
    gold = generator.random(50)
    return tuple(write(tmp_path / f"{noise}.parquet", gold, gold + noise * generator.random(50)) for noise in (3, 1))


def write(path: Path, gold: np.ndarray, similarity: np.ndarray) -> Path:
    pq.write_table(pa.table({"gold": gold, **dict.fromkeys(("cosine", "dot"), similarity)}), path)
    return path


def kept(workspace: Workspace) -> list[Path]:
    return sorted((workspace.root / "comparisons").glob("*/record.json"))


def test_the_same_scores_are_not_resampled_twice(scores: tuple[Path, Path], workspace: Workspace) -> None:
    first = resampled(*scores, "sts", "spearman_cosine", CONFIG, workspace)
    assert first.interval is not None and first.p_value is not None
    (file,) = kept(workspace)
    # What is in the file is what comes back: it was read, not worked out again.
    first.model_copy(update={"p_value": 0.123}).write(file)
    seal(file.parent)
    assert resampled(*scores, "sts", "spearman_cosine", CONFIG, workspace).p_value == 0.123
    assert resampled(*scores, "sts", "spearman_cosine", CONFIG) == first


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_kept_and_is_damaged_is_worked_out_again(
    scores: tuple[Path, Path], workspace: Workspace, sealed: bool
) -> None:
    first = resampled(*scores, "sts", "spearman_cosine", CONFIG, workspace)
    (file,) = kept(workspace)
    file.write_bytes(file.read_bytes()[:40])
    if sealed:
        seal(file.parent)
    assert resampled(*scores, "sts", "spearman_cosine", CONFIG, workspace) == first
    assert resampled(*scores, "sts", "spearman_cosine", CONFIG, workspace) == first


@pytest.mark.parametrize("change", ["a row", "the metric", "the seed", "the resamples", "the order"])
def test_anything_else_is_resampled(change: str, scores: tuple[Path, Path], workspace: Workspace) -> None:
    resampled(*scores, "sts", "spearman_cosine", CONFIG, workspace)
    one, other = scores
    if change == "a row":
        table = pq.read_table(other)
        gold, cosine = (table[name].to_numpy().copy() for name in ("gold", "cosine"))
        cosine[7] += 0.5
        write(other, gold, cosine)
    if change == "the order":
        one, other = other, one
    metric = "pearson_cosine" if change == "the metric" else "spearman_cosine"
    config = {"the seed": {"seed": 9}, "the resamples": {"resamples": 201}}.get(change, {})
    resampled(one, other, "sts", metric, CONFIG.model_copy(update=config), workspace)
    assert len(kept(workspace)) == 2


def test_without_a_workspace_nothing_is_kept(scores: tuple[Path, Path], workspace: Workspace) -> None:
    resampled(*scores, "sts", "spearman_cosine", CONFIG)
    assert kept(workspace) == []
