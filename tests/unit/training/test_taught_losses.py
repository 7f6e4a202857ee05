"""Losses that learn from a teacher: their value against the formula worked out in numpy, what they take, resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import SENTENCES
from sentence_transformers import SentenceTransformer

from stsflow.tasks.losses import DistillKLDiv, EmbeddingMSE, EmbedDistill, Loss, MarginMSE, Matryoshka
from stsflow.tasks.models.merge_columns import MergedColumns
from stsflow.tasks.models.padding_free import enable_padding_free
from stsflow.tasks.shapes import Roles

Array = np.ndarray[Any, Any]
TRIPLETS = (SENTENCES[0:4], SENTENCES[4:8], SENTENCES[8:12])
TUPLES = (*TRIPLETS, SENTENCES[12:16])
SCORES = np.array([[0.9, 0.2, 0.4], [0.5, 0.6, 0.1], [3.0, -2.0, 0.0], [0.3, 0.3, 0.3]])
TAUGHT = np.random.default_rng(4).normal(size=(4, 32))


def loaded(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu").eval()


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def similarities(columns: list[Array], similarity: str) -> Array:
    """(rows, texts beside the anchor)."""
    if similarity == "cosine":
        columns = [unit(column) for column in columns]
    return np.stack([(columns[0] * other).sum(axis=1) for other in columns[1:]], axis=1)


def margins(columns: list[Array], scores: Array, similarity: str) -> float:
    found, wanted = similarities(columns, similarity), scores
    return float((((found[:, :1] - found[:, 1:]) - (wanted[:, :1] - wanted[:, 1:])) ** 2).mean())


def divergence(columns: list[Array], scores: Array, similarity: str, student: float, teacher: float) -> float:
    found, wanted = similarities(columns, similarity) / student, scores / teacher
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (wanted, found))
    return float((p * (np.log(p) - np.log(q))).sum(axis=1).mean() * student**2)


def distance(columns: list[Array], taught: Array, how: str) -> float:
    measures: dict[str, Callable[[Array], Array]] = {
        "mse": lambda x: ((x - taught) ** 2).mean(axis=1),
        "l2": lambda x: np.sqrt(((x - taught) ** 2).sum(axis=1)),
        "cosine": lambda x: 1 - (unit(x) * unit(taught)).sum(axis=1),
    }
    return float(np.mean([measures[how](column).mean() for column in columns]))


CASES: list[tuple[Any, tuple[Any, ...], Array, Callable[[list[Array]], float]]] = [
    (MarginMSE(), TRIPLETS, SCORES[:, :2], lambda c: margins(c, SCORES[:, :2], "dot")),
    (MarginMSE(similarity="cosine"), TUPLES, SCORES, lambda c: margins(c, SCORES, "cosine")),
    (
        DistillKLDiv(similarity="cosine"), TRIPLETS, SCORES[:, :2],
        lambda c: divergence(c, SCORES[:, :2], "cosine", 1, 1),
    ),
    (
        DistillKLDiv(student_temperature=4, teacher_temperature=0.5), TUPLES, SCORES,
        lambda c: divergence(c, SCORES, "dot", 4, 0.5),
    ),
    (EmbeddingMSE(), TRIPLETS[:1], TAUGHT, lambda c: distance(c, TAUGHT, "mse")),
    (EmbeddingMSE(), TRIPLETS[:2], TAUGHT, lambda c: distance(c, TAUGHT, "mse")),
    (EmbedDistill(), TRIPLETS[:2], TAUGHT, lambda c: distance(c, TAUGHT, "cosine")),
    (EmbedDistill(distance="l2"), TRIPLETS[:1], TAUGHT, lambda c: distance(c, TAUGHT, "l2")),
]  # fmt: skip
IDS = [f"{case[0].kind}-{len(case[1])}" for case in CASES]


@pytest.mark.parametrize(("loss", "texts", "labels", "by_hand"), CASES, ids=IDS)
def test_the_value_is_that_of_the_formula_also_in_one_flattened_pass(
    loss: Any, texts: Any, labels: Array, by_hand: Callable[[list[Array]], float], small_bert: Path
) -> None:
    model = loaded(small_bert)
    wanted = by_hand([model.encode(list(column)).astype(np.float64) for column in texts])
    taught = torch.tensor(labels, dtype=torch.float32)
    padded = loss.build(model)([model.preprocess(list(column)) for column in texts], taught)
    assert padded.item() == pytest.approx(wanted, rel=2e-5)
    if loss.is_of_embeddings_alone:
        enable_padding_free(model, "on", "cpu", "float32")
        merged = MergedColumns(loss.build(model))
        flattened = merged([model.preprocess(list(column)) for column in texts], taught)
        assert merged.merged_batches == 1 and flattened.item() == pytest.approx(wanted, rel=2e-5)


@pytest.mark.parametrize(("loss", "texts", "labels"), [case[:3] for case in CASES], ids=IDS)
def test_a_mean_over_rows_is_the_weighted_mean_of_its_parts(
    loss: Any, texts: Any, labels: Array, small_bert: Path
) -> None:
    model = loaded(small_bert)
    module, taught = loss.build(model), torch.tensor(labels, dtype=torch.float32)

    def value(part: slice) -> float:
        return float(module([model.preprocess(list(column[part])) for column in texts], taught[part]).detach())

    assert loss.is_mean_of_rows
    assert 0.25 * value(slice(0, 1)) + 0.75 * value(slice(1, 4)) == pytest.approx(value(slice(None)), rel=1e-5)


SCORED = Roles(("a", "p", "n"), negatives=1, taught="labels")
EMBEDDED = Roles(("source", "translation"), taught="labels", teaches="embedding")
ONE = Roles(("text",), taught="labels", teaches="embedding")
PAIRS = Roles(("a", "p"), taught="labels")
UNTAUGHT = Roles(("a", "p", "n"), negatives=1)
WITH_NEGATIVES = Roles(("a", "p", "n"), negatives=1, taught="labels", teaches="embedding")


@pytest.mark.parametrize(
    ("loss", "taken", "not_taken"),
    [
        (MarginMSE(), [SCORED, Roles(("a", "b", "c", "d"), taught="labels")], [EMBEDDED, PAIRS, UNTAUGHT]),
        (EmbeddingMSE(), [EMBEDDED, ONE], [SCORED, WITH_NEGATIVES]),
        (Matryoshka(loss=MarginMSE(), dimensions=(8,)), [SCORED], [EMBEDDED]),
    ],
)
def test_a_loss_takes_what_its_teacher_can_have_said(loss: Loss, taken: list[Roles], not_taken: list[Roles]) -> None:
    assert loss.needs_teacher
    assert all(loss.takes(roles) for roles in taken) and not any(loss.takes(roles) for roles in not_taken)


def test_the_card_says_the_temperatures_that_were_stated(small_bert: Path) -> None:
    described = DistillKLDiv(teacher_temperature=2).describe(DistillKLDiv().build(loaded(small_bert)))
    assert described["parameters"] == {"similarity_fct": "pairwise_dot_score", "temperature": 1.0, "teacher_temperature": 2.0}  # fmt: skip  # noqa: E501
    assert "2010.11386" in str(described["citation"])
