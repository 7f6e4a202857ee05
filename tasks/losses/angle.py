"""Ranking of scored pairs against each other, by their angles."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class AnglE(PlainLoss):
    """CoSENT with the angle in complex space in place of the cosine (Li and Li, 2023)."""

    kind: Literal["angle"] = "angle"
    is_of_embeddings_alone: ClassVar[bool] = True
    scale: float = Field(default=20.0, gt=0, le=10_000)
    """Factor on the differences of angles."""

    def takes(self, roles: Roles) -> bool:
        """Two texts with a score."""
        return len(roles.texts) == 2 and roles.score is not None

    def build(self, model: nn.Module) -> nn.Module:
        """The loss as a module over `model`."""
        from sentence_transformers.sentence_transformer.losses import AnglELoss

        return AnglELoss(model, scale=self.scale)  # type: ignore[no-any-return]

    def parameters(self) -> dict[str, object]:
        """Its parameters as the library names them."""
        return {"scale": self.scale, "similarity_fct": "pairwise_angle_sim"}
