"""A loss at several layers of the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from stsflow.tasks.losses.around import AroundAnother
from stsflow.tasks.losses.family import PlainLoss

if TYPE_CHECKING:
    from torch import nn

Weight = Annotated[float, Field(ge=0, le=10_000)]


class EarlierLayers(AroundAnother):
    """What the losses on the earlier layers of an encoder have in common."""

    wants_trial: ClassVar[bool] = True
    layers_per_step: Annotated[int, Field(ge=1, le=1_000)] | Literal["all"] = 1
    """Earlier layers that are drawn for each batch beside the last one; `all` takes every one."""
    last_layer_weight: Weight = 1.0
    """Weight of the last layer's loss."""
    prior_layers_weight: Weight = 1.0
    """Weight of the earlier layers' losses, of which the mean is taken."""
    kl_div_weight: Weight = 1.0
    """Weight of the divergence of an earlier layer's embeddings from the last one's."""
    kl_temperature: float = Field(default=0.3, ge=0, le=10_000)
    """Divisor of the embeddings' numbers in that divergence; 0 leaves it out."""
    layer_weighting: Literal["uniform", "log", "linear"] = "uniform"
    """How the weight of an earlier layer falls with its number."""

    @field_validator("loss")
    @classmethod
    def _goes_through_the_encoder_in_one_pass(cls, value: PlainLoss) -> PlainLoss:
        if value.bounds_its_memory:
            raise ValueError(
                f"{value.kind} encodes its batch a second time for the gradient, when the earlier layers are no longer "
                "kept; take a loss that is not cached"
            )
        if value.needs_guide:
            raise ValueError(f"{value.kind} gives its batch to a guide, of which no layers are kept; take another loss")
        return value

    @property
    def memory_remedy(self) -> str:
        """What helps any loss: the inner loss's own remedy may be a cached one."""
        return ""

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether the inner loss is; layers drawn anew for each part of a batch make another loss."""
        return super().is_mean_of_rows and self.layers_per_step == "all"

    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's class, of this part."""
        names = ("last_layer_weight", "prior_layers_weight", "kl_div_weight", "kl_temperature", "layer_weighting")
        drawn = -1 if self.layers_per_step == "all" else self.layers_per_step
        return {"n_layers_per_step": drawn} | {name: getattr(self, name) for name in names}

    def parameters(self) -> dict[str, object]:
        return super().parameters() | self.arguments()


class AdaptiveLayer(EarlierLayers):
    """Any loss that is not cached, on the last layer and on earlier ones, so that a model may be cut after fewer layers
    (Li et al., 2024)."""

    kind: Literal["adaptive_layer"] = "adaptive_layer"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss

        built: nn.Module = AdaptiveLayerLoss(model, self.loss.build(model, guide), **self.arguments())
        return built
