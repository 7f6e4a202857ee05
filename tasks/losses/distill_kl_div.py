"""Divergence of the model's choice among texts from that of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stsflow.tasks.losses.margin_mse import TaughtByScores

if TYPE_CHECKING:
    from torch import nn


class DistillKLDiv(TaughtByScores):
    """Kullback-Leibler divergence of the softmax over an anchor's texts from the teacher's (Lin et al., 2020)."""

    kind: Literal["distill_kl_div"] = "distill_kl_div"
    temperature: float = Field(default=1.0, gt=0, le=1_000)
    """Divisor of the model's similarities and of the teacher's scores before the softmax."""
    student_temperature: float | None = Field(default=None, gt=0, le=1_000)
    """Divisor of the similarities in place of `temperature`. The loss is multiplied by its square."""
    teacher_temperature: float | None = Field(default=None, gt=0, le=1_000)
    """Divisor of the teacher's scores in place of `temperature`."""

    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

        return DistillKLDivLoss(model, **self.arguments())  # type: ignore[no-any-return]  # the library has no types

    def parameters(self) -> dict[str, object]:
        own = {name: getattr(self, name) for name in ("temperature", "student_temperature", "teacher_temperature")}
        return super().parameters() | {name: value for name, value in own.items() if value is not None}
