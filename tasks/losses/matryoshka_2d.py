"""A loss at several layers of the encoder and several sizes of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from stsflow.tasks.losses.adaptive_layer import EarlierLayers
from stsflow.tasks.losses.matryoshka import LeadingDimensions

if TYPE_CHECKING:
    from torch import nn


class Matryoshka2d(EarlierLayers, LeadingDimensions):
    """Any loss that is not cached, on earlier layers too and on leading parts of the embedding (Li et al., 2024)."""

    kind: Literal["matryoshka_2d"] = "matryoshka_2d"
    dimensions_per_step: Annotated[int, Field(ge=1, le=64)] | Literal["all"] = 1
    """Dimensions that are drawn for each layer of a batch; `all` takes every one."""

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether the inner loss is, and nothing is drawn."""
        return super().is_mean_of_rows and self.dimensions_per_step == "all"

    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's class but the dimensions."""
        drawn = -1 if self.dimensions_per_step == "all" else self.dimensions_per_step
        return super().arguments() | {"n_dims_per_step": drawn}

    def inner(self, built: Any) -> Any:
        """Within the Matryoshka loss that the library puts between."""
        return built.loss.loss

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import Matryoshka2dLoss

        weights = None if self.weights is None else list(self.weights)
        inner = self.loss.build(model, guide)
        built: nn.Module = Matryoshka2dLoss(
            model, inner, list(self.dimensions), matryoshka_weights=weights, **self.arguments()
        )
        return built
