"""Slices that got worse: a planted regression is found there and nowhere else, and the rows that moved are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.scoring import write_parquet
from stsflow.tasks.evaluation.slices_compared import moved_rows
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.evaluation import EvaluationReport, SuiteScores
from stsflow.tasks.release.decision import decide
from stsflow.tasks.rules import BeatsChampion, NoSliceWorse
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.statistics.similarity import sts_metrics
from stsflow.tasks.suites import StsSuite

ROWS = 1200
GENRES = np.array(["news", "captions", "forum", "legal", "chat", "faq"])[np.arange(ROWS) % 6]
CONFIG = EvaluationConfig(suites={"test": StsSuite(source=FilesSource(paths=("rows.tsv",)))}, resamples=400)


def report(folder: Path, name: str, noise: Any, seed: int) -> EvaluationReport:
    gold, shared = np.random.default_rng(0).normal(size=(2, ROWS))
    scores = gold + noise * (0.7 * shared + 0.7 * np.random.default_rng(seed).normal(size=ROWS))
    columns = dict.fromkeys(("cosine", "manhattan", "euclidean", "dot"), scores)
    texts = [f"row {number} of {genre}" * (1 + number % 7) for number, genre in enumerate(GENRES)]
    pairs = {
        "row": np.arange(ROWS), "sentence1": texts, "sentence2": texts[::-1], "gold": gold, **columns,
        "genre": list(GENRES),
    }  # fmt: skip
    suite = SuiteScores(
        suite="test", kind="sts", title="test", split="test", rows=ROWS, data_digest="rows", model_digest=name,
        primary="spearman_cosine", metrics=sts_metrics(columns, gold), sliced_by=("genre",),
        pairs=write_parquet(folder / f"{name}.parquet", pairs),
    )  # fmt: skip
    return EvaluationReport(model=name, model_path=folder, model_digest=name, suites={"test": suite}, seconds=0.0)


def candidacy(folder: Path, noise: Any) -> Candidacy:
    champion, candidate = report(folder, "champion", 0.8, 1), report(folder, "tuned", noise, 2)
    differences = compare(champion, candidate, CONFIG)
    return Candidacy(candidate=candidate, champion=champion, differences=differences, headline="test")


def test_a_regression_in_one_genre_is_found_by_the_rule_and_not_by_the_headline(tmp_path: Path) -> None:
    # Better everywhere but in legal texts, a sixth of the rows.
    evidence = candidacy(tmp_path, np.where(GENRES == "legal", 1.6, 0.5))
    assert decide((BeatsChampion(),), evidence).promoted
    release = decide((BeatsChampion(), NoSliceWorse()), evidence)
    assert not release.promoted
    assert "worse on 1 of" in release.reason and "genre:legal (200 rows)" in release.reason


def test_equal_models_are_worse_on_no_slice_and_the_rule_says_what_it_could_not_see(tmp_path: Path) -> None:
    outcome = NoSliceWorse().outcome(candidacy(tmp_path, 0.8))
    assert outcome.holds and "no slice of" in outcome.reason and "would show only losses above 0." in outcome.reason


def test_a_loss_within_the_margin_is_accepted(tmp_path: Path) -> None:
    evidence = candidacy(tmp_path, np.where(GENRES == "legal", 1.6, 0.5))
    assert NoSliceWorse(margin=0.5).outcome(evidence).holds
    assert not NoSliceWorse(margin=0.01).outcome(evidence).holds


def test_what_was_not_compared_does_not_hold(tmp_path: Path) -> None:
    evidence = candidacy(tmp_path, 0.8)
    bare = tuple(one.model_copy(update={"slices": None}) for one in evidence.differences)
    assert not NoSliceWorse().outcome(evidence.model_copy(update={"differences": bare})).holds
    assert not NoSliceWorse(against="base").outcome(evidence).holds
    assert NoSliceWorse().outcome(evidence.model_copy(update={"champion": None})).holds


def test_every_kind_of_slice_is_compared(tmp_path: Path) -> None:
    (found,) = candidacy(tmp_path, 0.8).differences
    assert found.slices is not None
    kinds = {one.name.partition(":")[0] for one in found.slices.items}
    assert kinds == {"length", "score", "overlap", "genre"}


def test_the_rows_that_moved_most_are_those_whose_rank_came_nearest_to_gold(tmp_path: Path) -> None:
    before, after = report(tmp_path, "champion", 0.8, 1), report(tmp_path, "tuned", 0.8, 2)
    moved = moved_rows(before, after)["test"]
    assert len(moved.better) == len(moved.worse) == 20
    assert moved.better[0].change >= moved.better[-1].change > 0 > moved.worse[-1].change >= moved.worse[0].change
    # By hand, of the first: its places among 1,200 by gold, before and after.
    from stsflow.tasks.evaluation.scoring import read_parquet

    rows = [read_parquet(one.suites["test"].pairs) for one in (before, after) if one.suites["test"].pairs]
    number = moved.better[0].row
    places = [np.argsort(np.argsort(column))[number] for column in (rows[0]["gold"], *(r["cosine"] for r in rows))]
    assert moved.better[0].before == pytest.approx(-abs(places[1] - places[0]) / (ROWS - 1))
    assert moved.better[0].after == pytest.approx(-abs(places[2] - places[0]) / (ROWS - 1))
    assert moved.better[0].texts[0] == rows[0]["sentence1"][number]
