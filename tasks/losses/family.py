"""The family of losses: what the rest of the product must know of one."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from stsflow.tasks.ground.family import Kind
from stsflow.tasks.shapes import Roles, Shape

if TYPE_CHECKING:
    from torch import nn


class Loss(Kind):
    """A training loss, with only its own parameters. A member that a kind does not state holds as it stands here."""

    @abstractmethod
    def takes(self, roles: Roles) -> bool:
        """Whether it can learn from rows whose columns have these roles."""

    @property
    def learns_from(self) -> tuple[str, ...]:
        """The shapes of data that it can learn from."""
        return tuple(name for name in Shape.names() if self.takes(Shape.named(name).roles))

    @property
    def ranks_against_the_batch(self) -> bool:
        """Whether the other rows of a batch are its negatives, so that an equal text among them is a false one."""
        return False

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether its value is a mean over rows: a batch may then be computed in parts, and the same is learned."""
        return False

    @property
    def is_of_embeddings_alone(self) -> bool:
        """Whether it needs nothing but the embeddings of the columns, so that one pass may make those of all columns.

        What is built has the library's `compute_loss_from_embeddings` then.
        """
        return False

    @property
    def rows_at_a_time(self) -> int | None:
        """Rows that it encodes at a time, where that bounds its memory whatever the batch; None where it does not."""
        return None

    @property
    def bounds_its_memory(self) -> bool:
        """Whether the memory is bounded by the loss; a token budget is then for its passes and not for its batches."""
        return self.rows_at_a_time is not None

    @property
    def memory_remedy(self) -> str:
        """What to change in the recipe when a batch does not fit the memory, in words; empty: what helps any loss."""
        return ""

    @property
    def least_dimension(self) -> int:
        """Numbers that an embedding of the base must have."""
        return 1

    @property
    def needs_teacher(self) -> bool:
        """Whether its rows carry scores or embeddings of a teacher."""
        return False

    @property
    def needs_guide(self) -> bool:
        """Whether a second model looks at its batches while it trains."""
        return False

    learns_through: ClassVar[str] = "embeddings"
    """What it needs of a model, as the kind of model says by `gives`."""
    wants_trial: ClassVar[bool] = False
    """Whether only the libraries can judge its parameters, so that a step is tried before a run."""

    def negatives(self, rows: Any, texts: int) -> Any:
        """Negatives that an anchor meets in a batch of `rows` rows (a number, or an array of them) of `texts` texts.

        A ranking loss compares an anchor with every positive and negative of the batch, its own positive apart.
        """
        return rows * (texts - 1) - 1 if self.ranks_against_the_batch else rows * 0

    def lighter(self) -> Self | None:
        """The same loss with a smaller footprint and the same value, where there is one."""
        return None

    @abstractmethod
    def build(self, model: nn.Module, guide: nn.Module | None = None) -> nn.Module:
        """The loss as a module over `model`; `guide` is frozen, and there where the loss needs one."""

    def join_processes(self, built: nn.Module) -> None:
        """Let what `build` made count the rows of all processes as one batch, each process holding equally many.

        A mean over rows needs nothing: the mean of the processes' means is that of all rows.
        """
        if not self.is_mean_of_rows:
            from stsflow.tasks.losses.whole_batch import over_whole_batch

            over_whole_batch(built)

    def limit_tokens(self, built: nn.Module, tokens: int) -> None:
        """Let what `build` made encode up to `tokens` tokens at a time; for losses that bound their memory."""
        raise NotImplementedError

    def parameters(self) -> dict[str, object]:
        """Its parameters as the library names them, for the card."""
        return {}

    def describe(self, built: nn.Module) -> dict[str, object]:
        """Class `name`, `parameters` and `citation` (BibTeX) of what `build` made, for the card."""
        citation = str(getattr(built, "citation", "")).strip()
        return {"name": type(built).__name__, "parameters": self.parameters(), "citation": citation}


class PlainLoss(Loss):
    """A loss that others may be built around."""
