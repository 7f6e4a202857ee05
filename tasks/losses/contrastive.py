"""Distances of labelled pairs: small where they belong together, large where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class LabelledDistances(PlainLoss):
    """What the losses of pairs that belong together or do not have in common."""

    is_of_embeddings_alone: ClassVar[bool] = True
    margin: float = Field(default=0.5, gt=0, le=10_000)
    """Distance from which on pairs that do not belong together are far enough apart."""
    distance: Literal["cosine", "euclidean", "manhattan"] = "cosine"
    """Distance of two embeddings."""

    def takes(self, roles: Roles) -> bool:
        return len(roles.texts) == 2 and roles.scored and roles.of_two_values

    def parameters(self) -> dict[str, object]:
        return {"distance_metric": f"SiameseDistanceMetric.{self._metric}", "margin": self.margin}

    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's class."""
        from sentence_transformers.sentence_transformer.losses.contrastive import SiameseDistanceMetric

        return {"distance_metric": getattr(SiameseDistanceMetric, self._metric), "margin": self.margin}

    @property
    def _metric(self) -> str:
        return {"cosine": "COSINE_DISTANCE"}.get(self.distance, self.distance.upper())


class Contrastive(LabelledDistances):
    """Half the squared distance of pairs that belong together, and half the square of what others lack of the margin
    (Hadsell et al., 2006)."""

    kind: Literal["contrastive"] = "contrastive"
    is_mean_of_rows: ClassVar[bool] = True

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import ContrastiveLoss

        return ContrastiveLoss(model, **self.arguments())  # type: ignore[no-any-return]  # the library has no types
