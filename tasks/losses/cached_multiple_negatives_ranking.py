"""The same ranking, of batches larger than the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.losses.multiple_negatives_ranking import InBatchRanking

if TYPE_CHECKING:
    from torch import nn


class InPasses(PlainLoss):
    """What losses have in common whose batches go through the encoder in passes, with their gradients kept between."""

    mini_batch_size: int = Field(default=32, ge=1, le=1_000_000)
    """Rows that go through the encoder at a time; decides the memory, not the result."""

    @property
    def rows_at_a_time(self) -> int:
        return self.mini_batch_size

    def limit_tokens(self, built: nn.Module, tokens: int) -> None:
        loss: Any = built
        loss.mini_batch_num_tokens = tokens

    def lighter(self) -> Self | None:
        if self.mini_batch_size == 1:
            return None
        return self.model_copy(update={"mini_batch_size": self.mini_batch_size // 2})

    def parameters(self) -> dict[str, object]:
        return super().parameters() | {"mini_batch_size": self.mini_batch_size}


class CachedMultipleNegativesRanking(InPasses, InBatchRanking):
    """The same loss with gradient caching (Gao et al., 2021): batch size no longer decides the memory."""

    kind: Literal["cached_multiple_negatives_ranking"] = "cached_multiple_negatives_ranking"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

        arguments = self.arguments() | {"mini_batch_size": self.mini_batch_size}
        return CachedMultipleNegativesRankingLoss(model, **arguments)  # type: ignore[no-any-return]  # the library has no types
