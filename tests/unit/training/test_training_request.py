"""A training is found by what determines its weights, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stsflow.tasks.losses import CosineSimilarity, MultipleNegativesRanking
from stsflow.tasks.training.request import TrainingRequest

MakeRequest = Callable[..., TrainingRequest]


@pytest.mark.parametrize(
    "section",
    [
        {"learning_rate": 3e-5}, {"epochs": 3}, {"seed": 7}, {"batch_size": 8}, {"batch_sizes": {"sts": 2}},
        {"max_steps": 5}, {"precision": "float32"}, {"threads": 2}, {"padding_free": "off"}, {"merge_columns": "off"},
        {"early_stopping_patience": 2}, {"eval_steps": 3}, {"arguments": {"adam_beta2": 0.9}}, {"processes": 2},
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_the_weights_changes_it(section: dict[str, Any], request_of: MakeRequest) -> None:
    assert request_of(**section).fingerprint != request_of().fingerprint


@pytest.mark.parametrize(
    "section",
    [
        {"checkpoint_steps": 3}, {"keep_checkpoints": 5}, {"hang_timeout_seconds": 9}, {"timeout_seconds": 9},
        {"on_out_of_memory": "fail"},
    ],
    ids=str,
)  # fmt: skip
def test_how_it_is_run_and_watched_does_not(section: dict[str, Any], request_of: MakeRequest) -> None:
    assert request_of(**section).fingerprint == request_of().fingerprint


def test_rows_and_weights_count_and_places_do_not(request_of: MakeRequest) -> None:
    request = request_of()
    first, *others = request.sets
    moved = first.model_copy(update={"path": Path("/elsewhere"), "title": "another name", "license": "mit"})
    assert request.model_copy(update={"sets": (moved, *others)}).fingerprint == request.fingerprint
    changed = first.model_copy(update={"digest": "0" * 64})
    assert request.model_copy(update={"sets": (changed, *others)}).fingerprint != request.fingerprint
    elsewhere = request.base.model_copy(update={"path": Path("/elsewhere"), "name": "another"})
    assert request.model_copy(update={"base": elsewhere}).fingerprint == request.fingerprint
    other_weights = request.base.model_copy(update={"digest": "0" * 64})
    assert request.model_copy(update={"base": other_weights}).fingerprint != request.fingerprint


def test_losses_and_the_choosing_suite_count(request_of: MakeRequest) -> None:
    losses = {"nli": MultipleNegativesRanking(scale=10), "sts": CosineSimilarity()}
    assert request_of(losses=losses).fingerprint != request_of().fingerprint
    assert request_of(choose=False).fingerprint != request_of().fingerprint
