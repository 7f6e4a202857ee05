"""Ranking against the batch, with a guide that keeps false negatives out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class GuidedRanking(PlainLoss):
    """What the ways to compute this loss have in common.

    A text of the batch that the guide finds nearer to the anchor than the anchor's own positive is no negative.
    """

    ranks_against_the_batch: ClassVar[bool] = True
    needs_guide: ClassVar[bool] = True
    temperature: float = Field(default=0.01, gt=0, le=100)
    """Divisor of the cosines before the softmax (the inverse of a scale)."""
    margin_strategy: Literal["absolute", "relative"] = "absolute"
    """How `margin` is taken off the guide's cosine of anchor and positive: as it is, or as a share of that cosine."""
    margin: float = Field(default=0.0, ge=0, le=2)
    """A text whose cosine by the guide is above that of the positive less this margin is no negative."""
    contrast_anchors: bool = True
    """Whether the other anchors of a batch are negatives too."""
    contrast_positives: bool = True
    """Whether the other positives of a batch are negatives of an anchor's positive too."""

    def takes(self, roles: Roles) -> bool:
        return len(roles.texts) - roles.negatives == 2 and roles.unlabelled

    def negatives(self, rows: Any, texts: int) -> Any:
        """Those that are there before the guide takes out what it holds for positives."""
        return super().negatives(rows, texts) + (rows - 1) * (self.contrast_anchors + self.contrast_positives)

    def parameters(self) -> dict[str, object]:
        """Its own fields, which are named as the library's arguments are."""
        return {name: getattr(self, name) for name in GuidedRanking.model_fields if name != "kind"}

    def with_texts_for(self, built: Any) -> nn.Module:
        """What was built, its guide given texts where it cannot read the model's batches as they are.

        The library hands them over where the vocabularies agree, and asks for no more: a flattened batch would be one
        long text for a guide whose batches are padded.
        """
        from stsflow.tasks.models.padding_free import is_padding_free

        if is_padding_free(built.model) != is_padding_free(built.guide):
            built.must_retokenize, built.tokenizer = True, built.model.tokenizer
        module: nn.Module = built
        return module


class Gist(GuidedRanking):
    """Cross-entropy of the positive against the texts of the batch that a guide lets stand (Solatorio, 2024)."""

    kind: Literal["gist"] = "gist"
    memory_remedy: ClassVar[str] = (
        "This loss learns from all rows of a batch together, so its batch cannot be computed in parts: use kind: "
        "cached_gist (the same loss at any batch size), a smaller batch_size, or a smaller model.max_seq_length."
    )

    def takes(self, roles: Roles) -> bool:
        return super().takes(roles) and roles.negatives <= 1

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss

        return self.with_texts_for(GISTEmbedLoss(model, guide, **self.parameters()))
