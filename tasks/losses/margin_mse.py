"""Regression of differences of similarities on those of a teacher's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stsflow.tasks.losses.family import PlainLoss
from stsflow.tasks.shapes import Roles

if TYPE_CHECKING:
    from torch import nn


class TaughtByScores(PlainLoss):
    """What losses have in common that learn from a teacher's scores of the texts beside an anchor, two or more."""

    is_mean_of_rows: ClassVar[bool] = True
    is_of_embeddings_alone: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True
    similarity: Literal["dot", "cosine"] = "dot"
    """Similarity of two embeddings of the model; the teacher's scores are on a scale of their own."""

    def takes(self, roles: Roles) -> bool:
        return len(roles.texts) >= 3 and roles.taught is not None and roles.teaches == "scores" and roles.score is None

    def parameters(self) -> dict[str, object]:
        return {"similarity_fct": self._function_name}

    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's class."""
        from sentence_transformers import util

        return self.parameters() | {"similarity_fct": getattr(util, self._function_name)}

    @property
    def _function_name(self) -> str:
        return {"cosine": "pairwise_cos_sim", "dot": "pairwise_dot_score"}[self.similarity]


class MarginMSE(TaughtByScores):
    """Mean squared error between the model's margin of positive over negative and the teacher's (Hofstätter, 2020)."""

    kind: Literal["margin_mse"] = "margin_mse"

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import MarginMSELoss

        return MarginMSELoss(model, **self.arguments())  # type: ignore[no-any-return]  # the library has no types
