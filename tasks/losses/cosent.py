"""Ranking of scored pairs against each other, by their cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class ScoreRanking(PlainLoss):
    """What the ways to compare the pairs of a batch with each other have in common."""

    is_of_embeddings_alone: ClassVar[bool] = True
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the differences of cosines, or of angles."""

    def takes(self, roles: Roles) -> bool:
        return len(roles.texts) == 2 and roles.scored


class CoSENT(ScoreRanking):
    """Ranking loss over all pairs of pairs in the batch: the pair with the higher score must have the higher cosine."""

    kind: Literal["cosent"] = "cosent"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import CoSENTLoss

        return CoSENTLoss(model, scale=self.scale)  # type: ignore[no-any-return]  # the library has no types

    def parameters(self) -> dict[str, object]:
        return {"scale": self.scale, "similarity_fct": "pairwise_cos_sim"}
