"""Every loss a recipe can name: its value against the formula worked out in numpy, and a few steps of training."""

# ruff: noqa: E501  a sentence stands on one line

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import SENTENCES
from sentence_transformers import SentenceTransformer

from stsflow.tasks.losses import (
    AdaptiveLayer,
    AnglE,
    CachedMultipleNegativesRanking,
    Contrastive,
    CoSENT,
    CosineSimilarity,
    Loss,
    Matryoshka,
    Matryoshka2d,
    MultipleNegativesRanking,
    OnlineContrastive,
    TripletMargin,
)
from stsflow.tasks.shapes import Roles

Array = np.ndarray[Any, Any]
TRIPLETS = (SENTENCES[0:4], SENTENCES[4:8], SENTENCES[8:12])
PAIRS = (SENTENCES[0:5], SENTENCES[5:10])
SCORES = np.array([0.0, 0.3, 0.3, 0.8, 1.0])
LABELS = np.array([0, 1, 0, 1, 1])
NEAR_AND_FAR = (PAIRS[0], (f"So {PAIRS[0][0]}", *PAIRS[1][1:]))
"""Labelled pairs: the first is apart and nearer than any that is together, so that whatever the model some are hard."""


@pytest.fixture(scope="module")
def model(small_bert: Path) -> SentenceTransformer:
    return SentenceTransformer(str(small_bert), device="cpu").eval()


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def ranking(columns: list[Array], scale: float, similarity: str = "cosine") -> float:
    """Mean over anchors of -log softmax(scale * similarity) at the own positive, over all positives and negatives."""
    if similarity == "cosine":
        columns = [unit(column) for column in columns]
    anchors, others = columns[0], np.concatenate(columns[1:])
    scores = scale * anchors @ others.T
    rows = np.arange(len(anchors))
    return float(np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[rows, rows]))


def all_ways(columns: list[Array], scale: float, hardness: float = 0, harder: str = "") -> float:
    """As `ranking`, with the other anchors, the positive's anchors and other rows' texts in the same denominator.

    With `harder` the logit of an anchor's own negatives ("own"), of other rows' texts ("others") or of both ("all") grows
    by hardness * cosine.
    """
    columns = [unit(column) for column in columns]
    rows, values = len(columns[0]), []
    for i in range(rows):
        terms = []
        for number, column in enumerate(columns[1:]):
            for j in range(rows):
                similarity = columns[0][i] @ column[j]
                own = i == j and number > 0
                hard = (own and harder in ("own", "all")) or (i != j and harder in ("others", "all"))
                terms.append(scale * similarity + hardness * similarity * hard)
                if i != j and not harder:
                    terms.append(scale * column[j] @ columns[1][i])
        if not harder:
            terms += [scale * columns[0][i] @ columns[0][j] for j in range(rows) if j != i]
            terms += [scale * columns[0][j] @ columns[1][i] for j in range(rows)]
        values.append(np.log(np.exp(terms).sum()) - scale * columns[0][i] @ columns[1][i])
    return float(np.mean(values))


def both_ways(columns: list[Array], scale: float) -> float:
    """Mean of the anchor's ranking over all texts and the positive's over all anchors."""
    return (ranking(columns, scale) + ranking([columns[1], columns[0]], scale)) / 2


def distances(columns: list[Array]) -> Array:
    return 1 - cosine(columns)


def contrast(columns: list[Array], margin: float) -> float:
    found = distances(columns)
    together, apart = found**2, np.maximum(margin - found, 0) ** 2
    return float(np.mean(np.where(LABELS == 1, together, apart)) / 2)


def hard_contrast(columns: list[Array], margin: float) -> float:
    found = distances(columns)
    together, apart = found[LABELS == 1], found[LABELS == 0]
    far, near = together[together > apart.min()], apart[apart < together.max()]
    assert len(far) and len(near)
    return float((far**2).sum() + (np.maximum(margin - near, 0) ** 2).sum())


def cosine(columns: list[Array]) -> Array:
    return (unit(columns[0]) * unit(columns[1])).sum(axis=1)


def mean_square(columns: list[Array]) -> float:
    return float(np.mean((cosine(columns) - SCORES) ** 2))


def pair_ranking(values: Array, scale: float) -> float:
    """log(1 + sum of exp(scale * (s_j - s_i)) over all i, j whose gold scores say i above j)."""
    terms = [np.exp(scale * (values[j] - values[i])) for i in range(5) for j in range(5) if SCORES[i] > SCORES[j]]
    return float(np.log(1 + np.sum(terms)))


def angle(columns: list[Array]) -> Array:
    """|sum of real and imaginary parts| of the quotient of the embeddings as complex vectors, both of them normed.

    Li and Li (2023), section 3.3: the first half of a vector is its real part, the second its imaginary one.
    """
    half = columns[0].shape[1] // 2
    z, w = (column[:, :half] + 1j * column[:, half:] for column in columns)
    quotient = z * w.conj() / (np.abs(w) ** 2).sum(axis=1, keepdims=True)
    lengths = np.linalg.norm(z, axis=1) / np.linalg.norm(w, axis=1)
    quotient = quotient / lengths[:, None]
    return np.abs(quotient.real.sum(axis=1) + quotient.imag.sum(axis=1))


def margin(columns: list[Array], wanted: float, distance: str) -> float:
    distances: dict[str, Callable[[Array, Array], Array]] = {
        "cosine": lambda a, b: 1 - (unit(a) * unit(b)).sum(axis=1),
        "euclidean": lambda a, b: np.sqrt(((a - b) ** 2).sum(axis=1)),
        "manhattan": lambda a, b: np.abs(a - b).sum(axis=1),
    }
    measure = distances[distance]
    gap = measure(columns[0], columns[1]) - measure(columns[0], columns[2]) + wanted
    return float(np.mean(np.maximum(gap, 0)))


def leading(columns: list[Array], dimension: int) -> list[Array]:
    return [unit(column[:, :dimension]) for column in columns]


CASES: list[tuple[Loss, Callable[[list[Array]], float]]] = [
    (MultipleNegativesRanking(), lambda c: ranking(c, 20)),
    (MultipleNegativesRanking(scale=5), lambda c: ranking(c, 5)),
    (MultipleNegativesRanking(scale=0.1, similarity="dot"), lambda c: ranking(c, 0.1, "dot")),
    (CachedMultipleNegativesRanking(mini_batch_size=3), lambda c: ranking(c, 20)),
    (
        MultipleNegativesRanking(directions=("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"), scale=3),
        lambda c: all_ways(c, 3),
    ),
    (
        CachedMultipleNegativesRanking(
            directions=("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"), mini_batch_size=3
        ),
        lambda c: all_ways(c, 20),
    ),
    (
        MultipleNegativesRanking(directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction", scale=5),
        lambda c: both_ways(c, 5),
    ),
    (
        MultipleNegativesRanking(hardness_mode="in_batch_negatives", hardness_strength=9),
        lambda c: all_ways(c, 20, 9, "others"),
    ),
    (MultipleNegativesRanking(hardness_mode="all_negatives", hardness_strength=2), lambda c: all_ways(c, 20, 2, "all")),
    (
        CachedMultipleNegativesRanking(hardness_mode="hard_negatives", hardness_strength=5, mini_batch_size=3),
        lambda c: all_ways(c, 20, 5, "own"),
    ),
    (Contrastive(margin=0.1), lambda c: contrast(c, 0.1)),
    (OnlineContrastive(margin=0.2), lambda c: hard_contrast(c, 0.2)),
    (CosineSimilarity(), mean_square),
    (CoSENT(), lambda c: pair_ranking(cosine(c), 20)),
    (AnglE(), lambda c: pair_ranking(angle(c), 20)),
    (TripletMargin(margin=2), lambda c: margin(c, 2, "euclidean")),
    (TripletMargin(margin=0.1, distance="cosine"), lambda c: margin(c, 0.1, "cosine")),
    (TripletMargin(margin=20, distance="manhattan"), lambda c: margin(c, 20, "manhattan")),
    (
        Matryoshka(loss=MultipleNegativesRanking(), dimensions=(32, 16, 8), weights=(1, 0.5, 0.25)),
        lambda c: ranking(c, 20) + 0.5 * ranking(leading(c, 16), 20) + 0.25 * ranking(leading(c, 8), 20),
    ),
    (
        Matryoshka(loss=CosineSimilarity(), dimensions=(32, 8)),
        lambda c: mean_square(c) + mean_square(leading(c, 8)),
    ),
]  # fmt: skip


def name_of(case: Any) -> str:
    if not hasattr(case, "kind"):
        return ""
    return str(case.kind if case.kind != "matryoshka" else f"matryoshka-{case.loss.kind}")


def columns_for(loss: Loss) -> tuple[tuple[str, ...], ...]:
    if "scored_pairs" in loss.learns_from:
        return PAIRS
    return NEAR_AND_FAR if "labelled_pairs" in loss.learns_from else TRIPLETS


def labels_for(loss: Loss) -> torch.Tensor | None:
    if "scored_pairs" in loss.learns_from:
        return torch.tensor(SCORES, dtype=torch.float32)
    return torch.tensor(LABELS) if "labelled_pairs" in loss.learns_from else None


def value_of(loss: Loss, model: SentenceTransformer) -> torch.Tensor:
    features = [model.preprocess(list(column)) for column in columns_for(loss)]
    labels = labels_for(loss)
    value: torch.Tensor = loss.build(model)(features, labels)
    return value


@pytest.mark.parametrize(("loss", "by_hand"), CASES, ids=name_of)
def test_the_value_is_that_of_the_formula(
    loss: Loss, by_hand: Callable[[list[Array]], float], small_bert: Path, model: SentenceTransformer
) -> None:
    embeddings = [model.encode(list(column)).astype(np.float64) for column in columns_for(loss)]
    fresh = SentenceTransformer(str(small_bert), device="cpu").eval()  # Matryoshka wraps the model's forward
    assert value_of(loss, fresh).item() == pytest.approx(by_hand(embeddings), rel=2e-5, abs=2e-6)


@pytest.mark.parametrize("loss", [case[0] for case in CASES], ids=name_of)
def test_a_few_steps_bring_it_down(loss: Loss, small_bert: Path) -> None:
    trained = SentenceTransformer(str(small_bert), device="cpu").eval()
    module = loss.build(trained)
    features = [trained.preprocess(list(column)) for column in columns_for(loss)]
    labels = labels_for(loss)
    optimizer = torch.optim.SGD(trained.parameters(), lr=1e-3)
    values = []
    for _ in range(4):
        optimizer.zero_grad()
        value = module([dict(feature) for feature in features], labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]


@pytest.mark.parametrize("loss", [case[0] for case in CASES if case[0].is_mean_of_rows], ids=name_of)
def test_a_mean_over_rows_is_the_weighted_mean_of_its_parts(loss: Loss, small_bert: Path) -> None:
    fresh = SentenceTransformer(str(small_bert), device="cpu").eval()
    module = loss.build(fresh)
    columns, labels = columns_for(loss), labels_for(loss)
    rows = len(columns[0])

    def value(part: slice) -> float:
        features = [fresh.preprocess(list(column[part])) for column in columns]
        return float(module(features, None if labels is None else labels[part]).detach())

    parts = 3 / rows * value(slice(0, 3)) + (rows - 3) / rows * value(slice(3, None))
    assert parts == pytest.approx(value(slice(None)), rel=1e-5)


def of_layers(texts: tuple[str, ...], model: SentenceTransformer) -> list[Array]:
    """The mean over a text's tokens, layer by layer, the output of the word embeddings first."""
    features: Any = model.preprocess(list(texts))
    encoder, mask = model[0].model, features["attention_mask"][..., None]
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.inference_mode():
        found = encoder(**{n: features[n] for n in names if n in features}, output_hidden_states=True).hidden_states
    return [((layer * mask).sum(1) / mask.sum(1)).numpy().astype(np.float64) for layer in found]


def divergence(student: Array, teacher: Array, temperature: float) -> float:
    """Mean over rows of KL(teacher, student) of the softmax over an embedding's numbers."""
    p, q = (np.exp(x / temperature) / np.exp(x / temperature).sum(axis=1, keepdims=True) for x in (teacher, student))
    return float((p * np.log(p / q)).sum(axis=1).mean())


@pytest.mark.parametrize("weighting", ["uniform", "linear"])
def test_earlier_layers_are_weighed_as_the_formula_says(weighting: Any, model: SentenceTransformer) -> None:
    layers = [of_layers(column, model) for column in TRIPLETS]
    *earlier, last = [[layers[column][number] for column in range(3)] for number in range(len(layers[0]))]
    expected = 2 * ranking(last, 20)
    for number, columns in enumerate(earlier):
        weight = 1 / (1 + number) if weighting == "linear" else 1
        expected += 0.5 * weight * ranking(columns, 20) / len(earlier)
        expected += 3 * 0.7 * divergence(np.concatenate(columns), np.concatenate(last), 0.7)
    loss = AdaptiveLayer(
        loss=MultipleNegativesRanking(), layers_per_step="all", last_layer_weight=2, prior_layers_weight=0.5,
        kl_div_weight=3, kl_temperature=0.7, layer_weighting=weighting,
    )  # fmt: skip
    assert len(earlier) == 2
    assert value_of(loss, model).item() == pytest.approx(expected, rel=2e-5)


def test_layers_and_dimensions_are_weighed_together(model: SentenceTransformer) -> None:
    layers = [of_layers(column, model) for column in PAIRS]
    *earlier, last = [[layers[column][number] for column in range(2)] for number in range(len(layers[0]))]

    def both(columns: list[Array]) -> float:
        return mean_square(columns) + 0.5 * mean_square(leading(columns, 8))

    expected = both(last) + np.mean([both(columns) for columns in earlier])
    loss = Matryoshka2d(
        loss=CosineSimilarity(), dimensions=(32, 8), weights=(1, 0.5), layers_per_step="all", dimensions_per_step="all",
        kl_temperature=0,
    )  # fmt: skip
    assert value_of(loss, model).item() == pytest.approx(expected, rel=2e-5)
    drawn = loss.model_copy(update={"dimensions_per_step": 1})
    assert (loss.is_mean_of_rows, drawn.is_mean_of_rows) == (True, False)
    assert not AdaptiveLayer(loss=CosineSimilarity()).is_mean_of_rows


def test_earlier_layers_take_no_loss_that_encodes_twice_or_asks_a_guide() -> None:
    for inner, words in (("cached_multiple_negatives_ranking", "encodes its batch a second time"), ("gist", "guide")):
        with pytest.raises(ValueError, match=words):
            AdaptiveLayer.model_validate({"loss": {"kind": inner}})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"directions": ["doc_to_doc"]}, "must hold `query_to_doc`"),
        ({"directions": []}, "must hold `query_to_doc`"),
        ({"directions": ["query_to_doc", "query_to_doc"]}, "more than once"),
        ({"directions": ["query_to_doc", "doc_to_doc"], "partition_mode": "per_direction"}, "doc_to_doc has none"),
        ({"hardness_mode": "all_negatives"}, "go together"),
        ({"hardness_strength": 5}, "go together"),
    ],
)
def test_directions_and_hardness_that_do_not_fit_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MultipleNegativesRanking.model_validate(fields)


def test_negatives_are_counted_in_every_direction() -> None:
    """Three rows of an anchor, a positive and two negatives, counted by hand."""
    ways = {
        ("query_to_doc",): 8,  # nine texts but its own positive
        ("query_to_doc", "doc_to_query"): 8 + 2,
        ("query_to_doc", "query_to_query"): 8 + 2,
        ("query_to_doc", "doc_to_doc"): 8 + 6,  # three texts of each of the two other rows
        ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"): 8 + 2 + 2 + 6,
    }
    for directions, expected in ways.items():
        loss = MultipleNegativesRanking(directions=directions)  # type: ignore[arg-type]
        assert loss.negatives(3, 4) == expected
        assert Matryoshka(loss=loss, dimensions=(8,)).negatives(np.array([3]), 4).tolist() == [expected]


def test_hard_negatives_need_negatives() -> None:
    hard = MultipleNegativesRanking(hardness_mode="hard_negatives", hardness_strength=5)
    assert set(hard.learns_from) == {"nli_triplets", "triplets", "n_tuples"}
    assert "pairs" in MultipleNegativesRanking(hardness_mode="all_negatives", hardness_strength=5).learns_from


def test_losses_that_compare_rows_are_not_means_of_rows() -> None:
    for loss in (
        MultipleNegativesRanking(), CachedMultipleNegativesRanking(), CoSENT(), AnglE(), OnlineContrastive(),
    ):  # fmt: skip
        assert not loss.is_mean_of_rows
        assert not Matryoshka(loss=loss, dimensions=(8,)).is_mean_of_rows


def test_losses_that_need_their_columns_apart_are_not_given_embeddings(model: SentenceTransformer) -> None:
    ranking, cached = MultipleNegativesRanking(), CachedMultipleNegativesRanking()
    assert not any(loss.is_of_embeddings_alone for loss in (cached, Matryoshka(loss=ranking, dimensions=(32, 8))))
    for loss in (ranking, CosineSimilarity(), CoSENT(), AnglE(), TripletMargin()):
        assert loss.is_of_embeddings_alone
        assert hasattr(loss.build(model), "compute_loss_from_embeddings")


def test_what_holds_of_a_loss_holds_of_the_matryoshka_around_it() -> None:
    cached = Matryoshka(loss=CachedMultipleNegativesRanking(mini_batch_size=7), dimensions=(16, 32))
    assert (cached.rows_at_a_time, cached.bounds_its_memory, cached.least_dimension) == (7, True, 32)
    assert cached.ranks_against_the_batch and cached.negatives(4, 3) == 7  # 4 positives and 4 negatives, its own apart
    ranking = Matryoshka(loss=MultipleNegativesRanking(), dimensions=(8,))
    assert "cached_multiple_negatives_ranking" in ranking.memory_remedy
    scored = Matryoshka(loss=CosineSimilarity(), dimensions=(8,))
    assert (scored.negatives(4, 2), scored.bounds_its_memory, scored.memory_remedy) == (0, False, "")


def test_a_token_budget_reaches_the_cached_loss_within_another(small_bert: Path) -> None:
    loss = Matryoshka(loss=CachedMultipleNegativesRanking(), dimensions=(32, 8))
    built: Any = loss.build(SentenceTransformer(str(small_bert), device="cpu"))
    loss.limit_tokens(built, 500)
    assert built.loss.mini_batch_num_tokens == 500


def test_only_a_cached_loss_has_a_lighter_form() -> None:
    cached = CachedMultipleNegativesRanking(mini_batch_size=32)
    assert cached.lighter() == CachedMultipleNegativesRanking(mini_batch_size=16)
    assert CachedMultipleNegativesRanking(mini_batch_size=1).lighter() is None
    around = Matryoshka(loss=cached, dimensions=(32, 8))
    assert around.lighter() == Matryoshka(loss=cached.lighter(), dimensions=(32, 8))
    assert MultipleNegativesRanking().lighter() is None
    assert Matryoshka(loss=CoSENT(), dimensions=(8,)).lighter() is None


@pytest.mark.parametrize(
    ("loss", "name", "parameters", "cited"),
    [
        (MultipleNegativesRanking(), "MultipleNegativesRankingLoss", {"scale": 20.0, "similarity_fct": "cos_sim"}, "1807.03748"),
        (Contrastive(), "ContrastiveLoss", {"distance_metric": "SiameseDistanceMetric.COSINE_DISTANCE", "margin": 0.5}, "hadsell"),
        (
            CachedMultipleNegativesRanking(directions=("query_to_doc", "doc_to_query"), hardness_mode="all_negatives", hardness_strength=2), "CachedMultipleNegativesRankingLoss",
            {"scale": 20.0, "similarity_fct": "cos_sim", "directions": ("query_to_doc", "doc_to_query"), "hardness_mode": "all_negatives", "hardness_strength": 2.0, "mini_batch_size": 32}, "2101.06983",
        ),
        (CosineSimilarity(), "CosineSimilarityLoss", {"loss_fct": "torch.nn.modules.loss.MSELoss"}, ""),
        (TripletMargin(), "TripletLoss", {"distance_metric": "TripletDistanceMetric.EUCLIDEAN", "triplet_margin": 5.0}, "1703.07737"),
    ],
)  # fmt: skip
def test_a_loss_describes_itself(
    loss: Loss, name: str, parameters: dict[str, Any], cited: str, model: SentenceTransformer
) -> None:
    described = loss.describe(loss.build(model))
    assert (described["name"], described["parameters"]) == (name, parameters)
    assert cited in str(described["citation"])


def test_a_matryoshka_loss_cites_both(small_bert: Path) -> None:
    loss = Matryoshka(loss=CoSENT(), dimensions=(32, 8))
    described = loss.describe(loss.build(SentenceTransformer(str(small_bert), device="cpu")))
    assert described["name"] == "MatryoshkaLoss"
    assert described["parameters"] == {
        "loss": "CoSENTLoss", "loss_parameters": {"scale": 20.0, "similarity_fct": "pairwise_cos_sim"},
        "matryoshka_dims": [32, 8], "matryoshka_weights": [1.0, 1.0],
    }  # fmt: skip
    assert "Matryoshka" in str(described["citation"]) and "CoSENT" in str(described["citation"])


def test_a_loss_takes_rows_by_what_their_columns_are_for() -> None:
    several = Roles(texts=("a", "b", "c", "d"), negatives=2)
    assert MultipleNegativesRanking().takes(several) and not TripletMargin().takes(several)
    assert not CoSENT().takes(several) and not CoSENT().takes(Roles(texts=("a", "b")))
    assert Matryoshka(loss=CoSENT(), dimensions=(8,)).takes(Roles(texts=("x", "y"), score="z"))
    assert TripletMargin().learns_from == ("nli_triplets", "triplets")


def test_a_loss_of_another_package_may_stand_alone_and_within_another() -> None:
    code = """
from typing import Literal
from stsflow.tasks.losses import PlainLoss

class Theirs(PlainLoss):
    kind: Literal["theirs"] = "theirs"

    def takes(self, roles):
        return roles.texts == ("anchor", "positive") and roles.unlabelled

    def build(self, model, guide=None):
        raise NotImplementedError

from stsflow.tasks.recipe.sections import TrainingConfig

around = {"kind": "matryoshka", "loss": {"kind": "theirs"}, "dimensions": [8]}
losses = TrainingConfig(losses={"one": {"kind": "theirs"}, "two": around}).losses
print(losses["two"].loss == losses["one"], *losses["two"].learns_from)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "pairs"]
