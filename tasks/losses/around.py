"""What losses around another one have in common: whatever holds of that one holds of them."""

from __future__ import annotations

from typing import Any, Self

from stsflow.tasks.losses.family import Loss, PlainLoss
from stsflow.tasks.shapes import Roles


class AroundAnother(Loss):
    """A loss that applies another one several times to a batch."""

    loss: PlainLoss
    """The loss that is applied."""

    def takes(self, roles: Roles) -> bool:
        return self.loss.takes(roles)

    @property
    def ranks_against_the_batch(self) -> bool:
        return self.loss.ranks_against_the_batch

    @property
    def needs_teacher(self) -> bool:
        return self.loss.needs_teacher

    @property
    def needs_guide(self) -> bool:
        return self.loss.needs_guide

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether the inner loss is: a weighted sum of means over the same rows is one too."""
        return self.loss.is_mean_of_rows

    @property
    def rows_at_a_time(self) -> int | None:
        return self.loss.rows_at_a_time

    @property
    def memory_remedy(self) -> str:
        return self.loss.memory_remedy

    @property
    def least_dimension(self) -> int:
        return self.loss.least_dimension

    def negatives(self, rows: Any, texts: int) -> Any:
        """The inner loss's."""
        return self.loss.negatives(rows, texts)

    def lighter(self) -> Self | None:
        inner = self.loss.lighter()
        return None if inner is None else self.model_copy(update={"loss": inner})

    def join_processes(self, built: Any) -> None:
        """The inner loss; dimensions and layers that are drawn are the same ones in every process."""
        self.loss.join_processes(self.inner(built))

    def limit_tokens(self, built: Any, tokens: int) -> None:
        self.loss.limit_tokens(built.loss, tokens)

    def inner(self, built: Any) -> Any:
        """What was built of the inner loss, within what was built of this."""
        return built.loss

    def describe(self, built: Any) -> dict[str, object]:
        inner = self.loss.describe(self.inner(built))
        described = super().describe(built)
        citations = [str(text) for text in (described["citation"], inner["citation"]) if text]
        parameters = {"loss": inner["name"], "loss_parameters": inner["parameters"]} | self.parameters()
        return described | {"parameters": parameters, "citation": "\n\n".join(citations), "inner": inner}
