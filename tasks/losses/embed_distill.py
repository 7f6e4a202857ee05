"""Distance of the model's embeddings from those of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class TaughtByEmbeddings(PlainLoss):
    """What losses have in common that learn the teacher's embedding of a text, or of it for its translation too."""

    is_mean_of_rows: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True

    def takes(self, roles: Roles) -> bool:
        texts = len(roles.texts) in (1, 2) and not roles.negatives
        return texts and roles.taught is not None and roles.teaches == "embedding" and roles.score is None


class EmbedDistill(TaughtByEmbeddings):
    """The model's embedding of every text of a row is brought near to the teacher's of the first (Kim et al., 2023)."""

    kind: Literal["embed_distill"] = "embed_distill"
    distance: Literal["cosine", "l2", "mse"] = "cosine"
    """`cosine`: one minus the cosine; `l2`: the Euclidean distance; `mse`: the mean squared error, as kind `mse`."""

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss

        return EmbedDistillLoss(model, distance_metric=self.distance)  # type: ignore[no-any-return]  # the library has no types

    def parameters(self) -> dict[str, object]:
        return {"distance_metric": self.distance}
