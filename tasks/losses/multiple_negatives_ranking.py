"""Ranking of the positive against the other texts of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class InBatchRanking(PlainLoss):
    """What the ways to compute this loss have in common."""

    ranks_against_the_batch: ClassVar[bool] = True
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the similarities before the softmax (an inverse temperature)."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Similarity of two embeddings."""

    def takes(self, roles: Roles) -> bool:
        return len(roles.texts) - roles.negatives == 2 and roles.unlabelled

    def parameters(self) -> dict[str, object]:
        return {"scale": self.scale, "similarity_fct": self._function_name}

    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's class."""
        from sentence_transformers import util

        return {"scale": self.scale, "similarity_fct": getattr(util, self._function_name)}

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

        return MultipleNegativesRankingLoss(model, **self.arguments())  # type: ignore[no-any-return]
