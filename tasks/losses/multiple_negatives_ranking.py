"""Ranking of the positive against the other texts of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]


class InBatchRanking(PlainLoss):
    """What the ways to compute this loss have in common."""

    ranks_against_the_batch: ClassVar[bool] = True
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the similarities before the softmax (an inverse temperature)."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Similarity of two embeddings."""

    directions: tuple[Direction, ...] = ("query_to_doc",)
    """What is compared: the anchor with all positives and negatives (`query_to_doc`, always) and with the other anchors
    (`query_to_query`); the positive with all anchors (`doc_to_query`) and with other rows' positives and negatives
    (`doc_to_doc`). `[query_to_doc, doc_to_query]` with `partition_mode: per_direction` is the symmetric loss."""
    partition_mode: Literal["joint", "per_direction"] = "joint"
    """One softmax over all directions, or one for each and their mean."""
    hardness_mode: Literal["in_batch_negatives", "hard_negatives", "all_negatives"] | None = None
    """Which negatives of an anchor weigh more the nearer they are: those of other rows, its own, or all."""
    hardness_strength: float = Field(default=0.0, ge=0, le=10_000)
    """How much more: this times the cosine is added to a negative's logit. Lan et al. (2025) take 9 in the batch,
    EmbeddingGemma 5 for hard negatives."""

    @model_validator(mode="after")
    def _directions_and_hardness_fit(self) -> Self:
        if "query_to_doc" not in self.directions:
            raise ValueError("`directions` must hold `query_to_doc`, in which the positive is found")
        if len(set(self.directions)) < len(self.directions):
            raise ValueError("`directions` names one of them more than once")
        alike = {"query_to_query", "doc_to_doc"}.intersection(self.directions)
        if alike and self.partition_mode == "per_direction":
            raise ValueError(
                f"`partition_mode: per_direction` needs a positive in each direction, and {min(alike)} has none; use "
                "`joint`"
            )
        if (self.hardness_mode is None) != (self.hardness_strength == 0):
            raise ValueError(
                "`hardness_mode` and a `hardness_strength` above 0 go together: one without the other is idle"
            )
        return self

    def takes(self, roles: Roles) -> bool:
        with_negatives = roles.negatives > 0 or self.hardness_mode != "hard_negatives"
        return len(roles.texts) - roles.negatives == 2 and roles.unlabelled and with_negatives

    def negatives(self, rows: Any, texts: int) -> Any:
        """Those of every direction together."""
        other_rows = {"query_to_query": 1, "doc_to_query": 1, "doc_to_doc": texts - 1}
        return super().negatives(rows, texts) + (rows - 1) * sum(other_rows.get(one, 0) for one in self.directions)

    def parameters(self) -> dict[str, object]:
        return {"scale": self.scale, "similarity_fct": self._function_name} | self._unusual

    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's class."""
        from sentence_transformers import util

        return {"scale": self.scale, "similarity_fct": getattr(util, self._function_name)} | self._unusual

    @property
    def _unusual(self) -> dict[str, Any]:
        """The fields beyond scale and similarity that differ from their defaults, named as the library's arguments."""
        names = ("directions", "partition_mode", "hardness_mode", "hardness_strength")
        fields = InBatchRanking.model_fields
        return {name: getattr(self, name) for name in names if getattr(self, name) != fields[name].default}

    @property
    def _function_name(self) -> str:
        return {"cosine": "cos_sim", "dot": "dot_score"}[self.similarity]


class MultipleNegativesRanking(InBatchRanking):
    """Cross-entropy of the positive against every other positive and negative of the batch (Henderson et al., 2017)."""

    kind: Literal["multiple_negatives_ranking"] = "multiple_negatives_ranking"
    is_of_embeddings_alone: ClassVar[bool] = True
    memory_remedy: ClassVar[str] = (
        "This loss learns from all rows of a batch together, so its batch cannot be computed in parts: use kind: "
        "cached_multiple_negatives_ranking (the same loss at any batch size), a smaller batch_size, or a smaller "
        "model.max_seq_length."
    )

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

        return MultipleNegativesRankingLoss(model, **self.arguments())  # type: ignore[no-any-return]  # the library has no types
