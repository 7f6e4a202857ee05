"""Distances of the hard ones among labelled pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stsflow.tasks.losses.contrastive import LabelledDistances

if TYPE_CHECKING:
    from torch import nn


class OnlineContrastive(LabelledDistances):
    """The contrastive loss of the hard pairs of a batch alone, summed: pairs that belong together and are farther apart
    than the nearest that do not, and those that do not and are nearer than the farthest that do."""

    kind: Literal["online_contrastive"] = "online_contrastive"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import OnlineContrastiveLoss

        return OnlineContrastiveLoss(model, **self.arguments())  # type: ignore[no-any-return]  # the library has no types
