"""A margin between the distances to the positive and to the negative."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class TripletMargin(PlainLoss):
    """The positive must be nearer to the anchor than the negative by a margin."""

    kind: Literal["triplet"] = "triplet"
    is_mean_of_rows: ClassVar[bool] = True
    is_of_embeddings_alone: ClassVar[bool] = True
    margin: float = Field(default=5.0, gt=0, le=10_000)
    """Wanted difference of the distances."""
    distance: Literal["cosine", "euclidean", "manhattan"] = "euclidean"
    """Distance of two embeddings."""

    def takes(self, roles: Roles) -> bool:
        return len(roles.texts) == 3 and roles.negatives == 1 and roles.unlabelled

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import TripletLoss
        from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric

        distance = getattr(TripletDistanceMetric, self.distance.upper())
        return TripletLoss(model, distance_metric=distance, triplet_margin=self.margin)  # type: ignore[no-any-return]  # the library has no types

    def parameters(self) -> dict[str, object]:
        metric = f"TripletDistanceMetric.{self.distance.upper()}"
        return {"distance_metric": metric, "triplet_margin": self.margin}
