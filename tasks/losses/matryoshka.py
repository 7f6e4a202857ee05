"""A loss at several sizes of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from stsflow.tasks.ground.schema import Dimension
from stsflow.tasks.losses.around import AroundAnother

if TYPE_CHECKING:
    from torch import nn


class LeadingDimensions(AroundAnother):
    """What the losses on the leading parts of an embedding have in common."""

    wants_trial: ClassVar[bool] = True
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
    def least_dimension(self) -> int:
        return max(*self.dimensions, super().least_dimension)

    def parameters(self) -> dict[str, object]:
        weights = list(self.weights or [1.0] * len(self.dimensions))
        return {"matryoshka_dims": list(self.dimensions), "matryoshka_weights": weights}


class Matryoshka(LeadingDimensions):
    """Any of the losses, on the full embedding and on its leading parts (Kusupati et al., 2022).

    A weighted sum of the inner loss: what holds of that one holds of this, but it reaches into the model's forward.
    """

    kind: Literal["matryoshka"] = "matryoshka"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

        weights = None if self.weights is None else list(self.weights)
        inner = self.loss.build(model, guide)
        built: nn.Module = MatryoshkaLoss(model, inner, list(self.dimensions), matryoshka_weights=weights)
        return built
