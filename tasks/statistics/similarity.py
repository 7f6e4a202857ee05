"""Similarities of pairs of embeddings, and the ten metrics of semantic textual similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stsflow.tasks.statistics import SIMILARITIES
from stsflow.tasks.statistics.correlation import Floats, pearson, spearman

CORRELATIONS = {"pearson": pearson, "spearman": spearman}

# Cosines in float64 are right to about 1e-15; what differs by less than this is equal by mathematics, and must tie.
COSINE_STEP = 2.0**-40
# An embedding in float32 of length 1 has a length of 1 within some 1e-7; a model that normalises has dot = cosine.
UNIT = 1e-5

# Rows of both matrices that are widened to float64 at a time: 2 x 4096 x 1024 x 8 bytes is 64 MiB.
ROWS_AT_A_TIME = 4096


def pair_similarities(first: NDArray[np.floating], second: NDArray[np.floating]) -> dict[str, Floats]:
    """The four similarities of row i of `first` with row i of `second`, both (rows, dimension), in float64.

    `cosine` and `dot` are plain; `manhattan` and `euclidean` are minus the distance, so that higher always means more
    alike, as sentence-transformers counts them. A zero vector has cosine 0 with everything.

    What is equal by mathematics is equal here, so that rounding decides no rank: the cosine of a vector with itself is
    exactly 1, and of unit vectors the dot product is exactly the cosine.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"pairs need two matrices of equal shape; found {first.shape} and {second.shape}")
    blocks = [
        _block(first[start : start + ROWS_AT_A_TIME], second[start : start + ROWS_AT_A_TIME])
        for start in range(0, max(len(first), 1), ROWS_AT_A_TIME)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in SIMILARITIES}


def all_similarities(first: NDArray[np.floating], second: NDArray[np.floating], name: str) -> Floats:
    """The similarity `name` of every row of `first` with every row of `second`: (rows, rows), as `pair_similarities`.

    A second matrix of many rows is widened to float64 as a whole.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    if name in ("manhattan", "euclidean"):
        from scipy.spatial.distance import cdist  # half the start-up of whoever only wants a correlation

        return -np.asarray(cdist(a, b, "cityblock" if name == "manhattan" else "euclidean"))
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    dot = a @ b.T
    cosine = _tied(np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths > 0))
    if name == "cosine":
        return cosine
    return np.where(_is_unit(a)[:, None] & _is_unit(b), cosine, dot)


def sts_metrics(similarities: Mapping[str, ArrayLike], gold: ArrayLike) -> dict[str, float]:
    """Pearson and Spearman of gold scores with each similarity, by name such as `spearman_cosine`: ten with the maxima.

    `pearson_max` and `spearman_max` are the highest of the four, as in sentence-transformers' evaluator. A value that
    is not defined (fewer than two rows, constant scores) is `nan`, and a maximum passes over it.
    """
    values = {
        f"{correlation}_{name}": correlate(similarities[name], gold)
        for name in SIMILARITIES
        for correlation, correlate in CORRELATIONS.items()
    }
    for correlation in CORRELATIONS:
        values[f"{correlation}_max"] = highest([values[f"{correlation}_{name}"] for name in SIMILARITIES])
    return values


class Embed(Protocol):
    """A model at hand, as the metrics of a suite ask it while it trains."""

    @property
    def similarity(self) -> str:
        """The similarity that it is made for."""

    def __call__(
        self, *columns: Sequence[str], side: Literal["query", "document"] | None = None
    ) -> tuple[NDArray[np.float32], ...]:
        """Embeddings of the texts of each column, read as queries or documents where a side is named."""


def sts_while_training(columns: Mapping[str, list[Any]], embed: Embed) -> dict[str, float]:
    """The ten metrics of scored pairs."""
    similarities = pair_similarities(*embed(columns["sentence1"], columns["sentence2"]))
    return sts_metrics(similarities, columns["score"])


def cut_while_training(columns: Mapping[str, list[Any]], embed: Embed, sizes: Sequence[int]) -> dict[str, float]:
    """Pearson and Spearman of scored pairs with the cosine of embeddings cut to each of the `sizes`."""
    first, second = embed(columns["sentence1"], columns["sentence2"])
    cosines = {size: pair_similarities(first[:, :size], second[:, :size])["cosine"] for size in sizes}
    return {
        f"{correlation}_cosine_{size}": correlate(cosine, columns["score"])
        for size, cosine in cosines.items()
        for correlation, correlate in CORRELATIONS.items()
    }


def triplets_while_training(columns: Mapping[str, list[Any]], embed: Embed, alike: bool) -> dict[str, float]:
    """Share of the triplets whose positive is strictly closer to the anchor than the negative, by each similarity.

    Anchors are read as queries, the others as documents, unless the texts are all `alike`.
    """
    (anchors,) = embed(columns["anchor"], side=None if alike else "query")
    others = embed(columns["positive"], columns["negative"], side=None if alike else "document")
    near, far = (pair_similarities(anchors, other) for other in others)
    return {f"accuracy_{name}": float((near[name] > far[name]).mean()) for name in near}


def highest(values: list[float]) -> float:
    """The highest of `values` that is a number; `nan` when none is."""
    return max((value for value in values if not np.isnan(value)), default=float("nan"))


def _block(first: NDArray[np.floating], second: NDArray[np.floating]) -> dict[str, Floats]:
    a, b = first.astype(np.float64), second.astype(np.float64)
    dot = np.einsum("ij,ij->i", a, b)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = _tied(np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths > 0))
    difference = a - b
    return {
        "cosine": cosine,
        "manhattan": -np.abs(difference).sum(axis=1),
        "euclidean": -np.linalg.norm(difference, axis=1),
        "dot": np.where(_is_unit(a) & _is_unit(b), cosine, dot),
    }


def _tied(cosines: Floats) -> Floats:
    """`cosines` without the last binary places, which rounding decides: what is equal by mathematics is equal."""
    return np.rint(cosines / COSINE_STEP) * COSINE_STEP


def _is_unit(vectors: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < UNIT)
