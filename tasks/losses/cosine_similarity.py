"""Regression of the cosine of a pair on its score."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class CosineSimilarity(PlainLoss):
    """Mean squared error between the cosine of a pair and its score."""

    kind: Literal["cosine_similarity"] = "cosine_similarity"
    is_mean_of_rows: ClassVar[bool] = True
    is_of_embeddings_alone: ClassVar[bool] = True

    def takes(self, roles: Roles) -> bool:
        return len(roles.texts) == 2 and roles.scored

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

        return CosineSimilarityLoss(model)  # type: ignore[no-any-return]  # the library has no types

    def parameters(self) -> dict[str, object]:
        return {"loss_fct": "torch.nn.modules.loss.MSELoss"}
