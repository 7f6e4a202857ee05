"""Ranking of scored pairs against each other, by their angles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stsflow.tasks.losses.cosent import ScoreRanking

if TYPE_CHECKING:
    from torch import nn


class AnglE(ScoreRanking):
    """CoSENT with the angle in complex space in place of the cosine (Li and Li, 2023)."""

    kind: Literal["angle"] = "angle"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import AnglELoss

        return AnglELoss(model, scale=self.scale)  # type: ignore[no-any-return]  # the library has no types

    def parameters(self) -> dict[str, object]:
        return {"scale": self.scale, "similarity_fct": "pairwise_angle_sim"}
