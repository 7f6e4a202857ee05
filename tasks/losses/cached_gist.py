"""The same guided ranking, of batches larger than the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stsflow.tasks.losses.cached_multiple_negatives_ranking import InPasses
from stsflow.tasks.losses.gist import GuidedRanking

if TYPE_CHECKING:
    from torch import nn


class CachedGist(InPasses, GuidedRanking):
    """The same loss with gradient caching: batch size no longer decides the memory, and any number of negatives."""

    kind: Literal["cached_gist"] = "cached_gist"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss

        return self.with_texts_for(CachedGISTEmbedLoss(model, guide, **self.parameters()))

    def describe(self, built: nn.Module) -> dict[str, object]:
        """With the citation of the loss that it is, as the library's class has none."""
        from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss

        return super().describe(built) | {"citation": GISTEmbedLoss.citation.fget(built).strip()}
