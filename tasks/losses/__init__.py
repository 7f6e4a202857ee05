"""The training losses a recipe can name, each with only its own parameters.

Every loss says how it is built over a model (`build`), what the card says of it (`describe`), and whether its value is
a mean over rows (`is_mean_of_rows`): only then may a batch that does not fit the memory be computed in parts without
changing what is learned. `lighter` is the same loss with a smaller footprint and the same value, where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import Field, model_validator

from stsflow.tasks.ground.schema import Dimension, Section

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


class MultipleNegativesRanking(Section):
    """Cross-entropy of the positive against every other positive and negative of the batch (Henderson et al., 2017)."""

    kind: Literal["multiple_negatives_ranking"] = "multiple_negatives_ranking"
    learns_from: ClassVar[tuple[str, ...]] = ("nli_triplets", "triplets", "pairs")
    is_mean_of_rows: ClassVar[bool] = False  # every row is a negative of the others
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the similarities before the softmax (an inverse temperature)."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Similarity of two embeddings."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

        similarity = _similarity(self.similarity)
        return _module(MultipleNegativesRankingLoss(model, scale=self.scale, similarity_fct=similarity))

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX) of what `build` made, for the card."""
        parameters = {"scale": self.scale, "similarity_fct": _SIMILARITY_NAMES[self.similarity]}
        return _description(built, parameters)

    def lighter(self) -> None:
        """There is none: a part of a batch has fewer negatives."""


class CachedMultipleNegativesRanking(Section):
    """The same loss with gradient caching (Gao et al., 2021): batch size no longer decides the memory."""

    kind: Literal["cached_multiple_negatives_ranking"] = "cached_multiple_negatives_ranking"
    learns_from: ClassVar[tuple[str, ...]] = ("nli_triplets", "triplets", "pairs")
    is_mean_of_rows: ClassVar[bool] = False
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the similarities before the softmax."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Similarity of two embeddings."""
    mini_batch_size: int = Field(default=32, ge=1, le=1_000_000)
    """Rows that go through the encoder at a time; decides the memory, not the result."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

        return _module(
            CachedMultipleNegativesRankingLoss(
                model,
                scale=self.scale,
                similarity_fct=_similarity(self.similarity),
                mini_batch_size=self.mini_batch_size,
            )
        )

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX) of what `build` made, for the card."""
        parameters = {
            "scale": self.scale,
            "similarity_fct": _SIMILARITY_NAMES[self.similarity],
            "mini_batch_size": self.mini_batch_size,
        }
        return _description(built, parameters)

    def lighter(self) -> CachedMultipleNegativesRanking | None:
        """The same loss with half the mini-batch; None when that is one row already."""
        if self.mini_batch_size == 1:
            return None
        return self.model_copy(update={"mini_batch_size": self.mini_batch_size // 2})


class CosineSimilarity(Section):
    """Mean squared error between the cosine of a pair and its score."""

    kind: Literal["cosine_similarity"] = "cosine_similarity"
    learns_from: ClassVar[tuple[str, ...]] = ("scored_pairs",)
    is_mean_of_rows: ClassVar[bool] = True

    def build(self, model: SentenceTransformer) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

        return _module(CosineSimilarityLoss(model))

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX) of what `build` made, for the card."""
        return _description(built, {"loss_fct": "torch.nn.modules.loss.MSELoss"})

    def lighter(self) -> None:
        """There is none; its batches may be computed in parts instead."""


class CoSENT(Section):
    """Ranking loss over all pairs of pairs in the batch: the pair with the higher score must have the higher cosine."""

    kind: Literal["cosent"] = "cosent"
    learns_from: ClassVar[tuple[str, ...]] = ("scored_pairs",)
    is_mean_of_rows: ClassVar[bool] = False  # it compares the rows of a batch with each other
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the differences of cosines."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import CoSENTLoss

        return _module(CoSENTLoss(model, scale=self.scale))

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX) of what `build` made, for the card."""
        return _description(built, {"scale": self.scale, "similarity_fct": "pairwise_cos_sim"})

    def lighter(self) -> None:
        """There is none."""


class AnglE(Section):
    """CoSENT with the angle in complex space in place of the cosine (Li and Li, 2023)."""

    kind: Literal["angle"] = "angle"
    learns_from: ClassVar[tuple[str, ...]] = ("scored_pairs",)
    is_mean_of_rows: ClassVar[bool] = False
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the differences of angles."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import AnglELoss

        return _module(AnglELoss(model, scale=self.scale))

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX) of what `build` made, for the card."""
        return _description(built, {"scale": self.scale, "similarity_fct": "pairwise_angle_sim"})

    def lighter(self) -> None:
        """There is none."""


class TripletMargin(Section):
    """The positive must be nearer to the anchor than the negative by a margin."""

    kind: Literal["triplet"] = "triplet"
    learns_from: ClassVar[tuple[str, ...]] = ("nli_triplets", "triplets")
    is_mean_of_rows: ClassVar[bool] = True
    margin: float = Field(default=5.0, gt=0, le=10_000)
    """Wanted difference of the distances."""
    distance: Literal["cosine", "euclidean", "manhattan"] = "euclidean"
    """Distance of two embeddings."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import TripletLoss
        from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric

        distance = getattr(TripletDistanceMetric, self.distance.upper())
        return _module(TripletLoss(model, distance_metric=distance, triplet_margin=self.margin))

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX) of what `build` made, for the card."""
        parameters = {
            "distance_metric": f"TripletDistanceMetric.{self.distance.upper()}",
            "triplet_margin": self.margin,
        }
        return _description(built, parameters)

    def lighter(self) -> None:
        """There is none; its batches may be computed in parts instead."""


PlainLoss = Annotated[
    MultipleNegativesRanking | CachedMultipleNegativesRanking | CosineSimilarity | CoSENT | AnglE | TripletMargin,
    Field(discriminator="kind"),
]


class Matryoshka(Section):
    """Any of the losses, on the full embedding and on its leading parts (Kusupati et al., 2022)."""

    kind: Literal["matryoshka"] = "matryoshka"
    loss: PlainLoss
    """The loss that is applied at each dimension."""
    dimensions: tuple[Dimension, ...] = Field(min_length=1, max_length=64)
    """Leading dimensions to train, such as `[768, 512, 256, 128, 64]`."""
    weights: tuple[Annotated[float, Field(ge=0, le=10_000)], ...] | None = None
    """Weight of each dimension; default: 1 each."""

    @model_validator(mode="after")
    def _each_dimension_once_with_its_weight(self) -> Self:
        for size in self.dimensions:
            if self.dimensions.count(size) > 1:
                raise ValueError(f"`dimensions` names {size} more than once")
        if self.weights is not None and len(self.weights) != len(self.dimensions):
            raise ValueError(
                f"`weights` has {len(self.weights)} numbers for {len(self.dimensions)} `dimensions`; it needs one each"
            )
        return self

    @property
    def learns_from(self) -> tuple[str, ...]:
        """Shapes that the inner loss can learn from."""
        return self.loss.learns_from

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether the inner loss is: a weighted sum of means over the same rows is one too."""
        return self.loss.is_mean_of_rows

    def build(self, model: SentenceTransformer) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

        weights = None if self.weights is None else list(self.weights)
        inner = self.loss.build(model)
        return _module(MatryoshkaLoss(model, inner, list(self.dimensions), matryoshka_weights=weights))

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX, the inner loss's too) of what `build` made."""
        inner = self.loss.describe(cast("nn.Module", built.loss))
        parameters = {
            "loss": inner["name"],
            "loss_parameters": inner["parameters"],
            "matryoshka_dims": list(self.dimensions),
            "matryoshka_weights": list(self.weights or [1.0] * len(self.dimensions)),
        }
        described = _description(built, parameters)
        citations = [text for text in (described["citation"], inner["citation"]) if text]
        return described | {"citation": "\n\n".join(str(text) for text in citations), "inner": inner}

    def lighter(self) -> Matryoshka | None:
        """The same around the inner loss's lighter form; None when that has none."""
        inner = self.loss.lighter()
        return None if inner is None else self.model_copy(update={"loss": inner})


Loss = Annotated[
    MultipleNegativesRanking
    | CachedMultipleNegativesRanking
    | CosineSimilarity
    | CoSENT
    | AnglE
    | TripletMargin
    | Matryoshka,
    Field(discriminator="kind"),
]

_SIMILARITY_NAMES = {"cosine": "cos_sim", "dot": "dot_score"}


def _similarity(name: str) -> Any:
    from sentence_transformers import util

    return getattr(util, _SIMILARITY_NAMES[name])


def _module(loss: Any) -> nn.Module:
    built: nn.Module = loss
    return built


def _description(built: nn.Module, parameters: dict[str, Any]) -> dict[str, object]:
    citation = str(getattr(built, "citation", "")).strip()
    return {"name": type(built).__name__, "parameters": parameters, "citation": citation}
