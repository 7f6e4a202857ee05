"""Regression of embeddings on those of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stsflow.tasks.losses.embed_distill import TaughtByEmbeddings

if TYPE_CHECKING:
    from torch import nn


class EmbeddingMSE(TaughtByEmbeddings):
    """Mean squared error between embeddings and the teacher's, number by number (Reimers and Gurevych, 2020)."""

    kind: Literal["mse"] = "mse"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import MSELoss

        return MSELoss(model)  # type: ignore[no-any-return]  # the library has no types
