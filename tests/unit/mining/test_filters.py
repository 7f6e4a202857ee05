"""Filters over candidates, worked by hand: one anchor whose lowest positive scores 0.8, and six texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from stsflow.tasks.mining.filters import Chosen, choose, looked_at, taken_in_turns
from stsflow.tasks.recipe.sections import MiningConfig

IDS = np.array([[10, 11, 12, 13, 14, 15]])
SCORES = np.array([[0.9, 0.79, 0.7, 0.6, 0.5, 0.1]])
POSITIVE = np.array([0.8])


def chosen(left: np.ndarray[Any, Any] | None = None, **config: Any) -> Chosen:
    every = np.ones(IDS.shape, bool) if left is None else left
    section = MiningConfig(**({"negatives": 6} | config))
    return choose(IDS, SCORES, POSITIVE, every, section, np.random.default_rng(section.seed))


@pytest.mark.parametrize(
    ("config", "left"),
    [
        ({}, [10, 11, 12, 13, 14, 15]),
        ({"max_score": 0.7}, [12, 13, 14, 15]),
        ({"min_score": 0.5}, [10, 11, 12, 13, 14]),
        ({"absolute_margin": 0.0}, [11, 12, 13, 14, 15]),
        ({"absolute_margin": 0.15}, [13, 14, 15]),
        ({"relative_margin": 0.25}, [13, 14, 15]),  # 0.8 less a quarter is 0.6
        ({"relative_margin": 0.25, "min_score": 0.2, "max_score": 0.55}, [14]),
        ({"skip": 2}, [12, 13, 14, 15]),
        ({"skip": 2, "absolute_margin": 0.0}, [13, 14, 15]),  # the two nearest of those that the filters leave
        ({"negatives": 2, "absolute_margin": 0.0}, [11, 12]),
    ],
)
def test_what_a_filter_leaves(config: dict[str, Any], left: list[int]) -> None:
    found = chosen(**config)
    assert [number for number in found.ids[0].tolist() if number >= 0] == left
    assert found.scores[0, : len(left)].tolist() == [SCORES[0, number - 10] for number in left]


def test_each_rejected_candidate_is_counted_once_by_the_first_filter_that_rejects_it() -> None:
    found = chosen(min_score=0.2, absolute_margin=0.0, relative_margin=0.25)
    assert found.rejected == {"min_score": 1, "absolute_margin": 1, "relative_margin": 2}
    assert found.candidates == 6


def test_the_margin_of_a_negative_score_is_a_share_of_its_magnitude() -> None:
    config = MiningConfig(negatives=2, relative_margin=0.5)
    ids, scores = np.array([[1, 2]]), np.array([[-0.25, -0.4]])
    found = choose(ids, scores, np.array([-0.2]), np.ones((1, 2), bool), config, np.random.default_rng(0))
    assert found.ids.tolist() == [[2, -1]]  # from -0.2 down to -0.3 is too near


def test_what_may_never_be_a_negative_takes_no_place_of_the_depth() -> None:
    never = {"known_positive": IDS == 10, "the_anchor": np.isin(IDS, (10, 12))}
    left, counts = looked_at(IDS, never, 3)
    assert IDS[left].tolist() == [11, 13, 14]
    assert counts == {"known_positive": 1, "the_anchor": 1}


def test_random_negatives_are_drawn_from_what_is_left_the_same_by_the_same_seed() -> None:
    draws = {
        seed: chosen(negatives=2, sampling="random", seed=seed, max_score=0.8).ids[0].tolist() for seed in range(40)
    }
    assert draws[3] == chosen(negatives=2, sampling="random", seed=3, max_score=0.8).ids[0].tolist()
    assert {number for drawn in draws.values() for number in drawn} == {11, 12, 13, 14, 15}
    assert all(first < second for first, second in draws.values())  # nearest first, as they are ranked
    few = chosen(negatives=3, sampling="random", max_score=0.5)
    assert few.ids[0].tolist() == [14, 15, -1]


def test_candidates_of_two_finders_come_in_turns_each_text_once() -> None:
    dense, lexical = np.array([[1, 2, 3], [4, -1, -1]]), np.array([[2, 5, 1], [4, 6, -1]])
    assert taken_in_turns(dense, lexical).tolist() == [[1, 2, -1, 5, 3, -1], [4, -1, -1, 6, -1, -1]]


def test_a_depth_that_cannot_leave_enough_is_refused() -> None:
    with pytest.raises(ValidationError, match="depth: 3 candidates of each finder cannot leave 2 after skip: 2"):
        MiningConfig(negatives=2, depth=3, skip=2)
