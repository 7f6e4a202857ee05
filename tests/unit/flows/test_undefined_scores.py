"""A score that is not defined is never the best one, never the same as one that is, and never stops what shows it."""

from __future__ import annotations

import json
import math

import pytest
from tracked_runs import RECIPE

from stsflow.flows.seeds import _best
from stsflow.flows.summary import RunSummary
from stsflow.flows.watch_champion import Drift, _shown


@pytest.mark.parametrize("undefined", [0, 1, 2])
def test_a_seed_without_a_defined_score_is_not_the_best(undefined: int) -> None:
    scores = [0.5, 0.7, 0.6]
    scores[undefined] = math.nan
    name = "tuned/dev/spearman_cosine"
    runs = {seed: RunSummary.model_construct(metrics={name: score}) for seed, score in enumerate(scores)}
    assert _best(RECIPE, runs) == {0: 1, 1: 2, 2: 1}[undefined]


@pytest.mark.parametrize(
    ("then", "now", "beyond"),
    [(0.5, 0.5001, False), (0.5, 0.6, True), (0.5, math.nan, True), (math.nan, 0.5, True), (math.nan, math.nan, False),
     (None, 0.5, False)],
)  # fmt: skip
def test_a_score_that_is_not_defined_any_more_has_drifted(then: float | None, now: float, beyond: bool) -> None:
    assert Drift(suite="dev", metric="spearman_cosine", then=then, now=now).beyond(0.002) is beyond


def test_what_prefect_is_given_is_json() -> None:
    shown = [_shown(value) for value in (None, 0.123456, math.nan, -math.inf)]
    assert json.dumps(shown, allow_nan=False) == '["", 0.1235, "not defined", "not defined"]'
