"""The training losses a recipe can name, each with only its own parameters."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tasks.schema import Section


class MultipleNegativesRanking(Section):
    """Cross-entropy of the positive against every other positive and negative of the batch (Henderson et al., 2017)."""

    kind: Literal["multiple_negatives_ranking"] = "multiple_negatives_ranking"
    learns_from: ClassVar[tuple[str, ...]] = ("nli_triplets", "triplets", "pairs")
    scale: float = Field(default=20.0, gt=0)
    """Factor on the similarities before the softmax (an inverse temperature)."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Similarity of two embeddings."""


class CachedMultipleNegativesRanking(Section):
    """The same loss with gradient caching (Gao et al., 2021): batch size no longer decides the memory."""

    kind: Literal["cached_multiple_negatives_ranking"] = "cached_multiple_negatives_ranking"
    learns_from: ClassVar[tuple[str, ...]] = ("nli_triplets", "triplets", "pairs")
    scale: float = Field(default=20.0, gt=0)
    """Factor on the similarities before the softmax."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Similarity of two embeddings."""
    mini_batch_size: int = Field(default=32, ge=1)
    """Rows that go through the encoder at a time; decides the memory, not the result."""


class CosineSimilarity(Section):
    """Mean squared error between the cosine of a pair and its score."""

    kind: Literal["cosine_similarity"] = "cosine_similarity"
    learns_from: ClassVar[tuple[str, ...]] = ("scored_pairs",)


class CoSENT(Section):
    """Ranking loss over all pairs of pairs in the batch: the pair with the higher score must have the higher cosine."""

    kind: Literal["cosent"] = "cosent"
    learns_from: ClassVar[tuple[str, ...]] = ("scored_pairs",)
    scale: float = Field(default=20.0, gt=0)
    """Factor on the differences of cosines."""


class AnglE(Section):
    """CoSENT with the angle in complex space in place of the cosine (Li and Li, 2023)."""

    kind: Literal["angle"] = "angle"
    learns_from: ClassVar[tuple[str, ...]] = ("scored_pairs",)
    scale: float = Field(default=20.0, gt=0)
    """Factor on the differences of angles."""


class TripletMargin(Section):
    """The positive must be nearer to the anchor than the negative by a margin."""

    kind: Literal["triplet"] = "triplet"
    learns_from: ClassVar[tuple[str, ...]] = ("nli_triplets", "triplets")
    margin: float = Field(default=5.0, gt=0)
    """Wanted difference of the distances."""
    distance: Literal["cosine", "euclidean", "manhattan"] = "euclidean"
    """Distance of two embeddings."""


PlainLoss = Annotated[
    MultipleNegativesRanking | CachedMultipleNegativesRanking | CosineSimilarity | CoSENT | AnglE | TripletMargin,
    Field(discriminator="kind"),
]


class Matryoshka(Section):
    """Any of the losses, on the full embedding and on its leading parts (Kusupati et al., 2022)."""

    kind: Literal["matryoshka"] = "matryoshka"
    loss: PlainLoss
    """The loss that is applied at each dimension."""
    dimensions: tuple[int, ...] = Field(min_length=1)
    """Leading dimensions to train, such as `[768, 512, 256, 128, 64]`."""
    weights: tuple[float, ...] | None = None
    """Weight of each dimension; default: 1 each."""

    @property
    def learns_from(self) -> tuple[str, ...]:
        """Shapes that the inner loss can learn from."""
        return self.loss.learns_from


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
