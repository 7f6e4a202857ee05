"""The family of exports: forms of the tuned model that are used without PyTorch, and what is asked of each.

A kind makes a folder and says how it is read again. What the folder holds beside (manifest, tokenizer), and whether it
is released, is the same for every kind: see `tasks/exporting/`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from stsflow.tasks.ground.errors import PreconditionError, RecipeError
from stsflow.tasks.ground.family import Kind
from stsflow.tasks.ground.schema import Dimension, Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stsflow.tasks.exporting.making import Making
    from stsflow.tasks.records.models import BaseModelRef

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Embeddings of a batch of texts as they are, prompts already before them: (texts, dimension)."""
Distance = Annotated[float, Field(ge=0, le=2)]


class Limits(Section):
    """What an export may cost. One that costs more is not released. Default of each: what its kind usually costs."""

    max_distance: Distance | None = None
    """Largest cosine distance of a text's embedding to the tuned model's, over the sample of texts."""
    mean_distance: Distance | None = None
    """Mean of these distances."""
    metric_loss: float | None = Field(default=None, ge=0, le=1e6)
    """Largest loss against the tuned model in the primary metric of any suite, by the worse end of the paired interval;
    by the difference alone where there is no interval."""
    size_bytes: int | None = Field(default=None, ge=1, le=2**50)
    """Largest size of the folder; default: no limit."""
    milliseconds: float | None = Field(default=None, gt=0, le=1e7)
    """Longest time for one text alone, on the machine of the run; default: no limit."""

    def over(self, usual: Limits) -> Limits:
        """These, and what is `usual` where nothing is stated."""
        return usual.model_copy(update=self.model_dump(exclude_none=True))


class Export(Kind):
    """One form in which the tuned model is shipped beside its own folder."""

    dimensions: Dimension | None = None
    """Keep the first so many numbers of an embedding, at length one; default: all, as the model gives them. Distances
    are to the same numbers of the tuned model, scores are compared with those of its whole embeddings."""
    limits: Limits = Limits()
    """What it may cost."""

    needs: ClassVar[tuple[str, ...]]
    """Packages that making and reading it takes."""
    extra: ClassVar[str] = "export"
    """The extra of this project that brings them."""
    usual: ClassVar[Limits]
    """Limits where the recipe states none, of an export with all dimensions."""
    usual_loss_of_dimensions: ClassVar[float] = 0.03
    """Usual `metric_loss` of one with fewer."""
    is_near_the_model: ClassVar[bool] = True
    """Whether its embeddings are the model's up to rounding; else they lie in a space of their own and only scores say
    what it costs."""
    takes_prompts: ClassVar[bool] = True
    """Whether the model's prompts go before texts, as they do for the model itself."""
    tolerance: ClassVar[float]
    """How far a number of an embedding may lie from the manifest's on another processor."""
    main_file: ClassVar[str]
    """The file in its folder that holds the weights."""

    @property
    def limits_in_force(self) -> Limits:
        """Those of the recipe over the usual ones."""
        loss = {"metric_loss": self.usual_loss_of_dimensions} if self.dimensions is not None else {}
        return self.limits.over(self.usual.model_copy(update=loss))

    @property
    def made_from(self) -> Export | None:
        """The export that this one is made from, which is made first; None: from the tuned model."""
        return None

    @property
    def calibrates(self) -> bool:
        """Whether it looks at training texts while it is made."""
        return False

    @property
    def what_it_is(self) -> JsonValue:
        """The settings that determine its folder, for key and manifest."""
        return self.model_dump(mode="json", exclude={"limits"})

    def require(self, where: str, base: BaseModelRef) -> None:
        """Raise PreconditionError without its packages, RecipeError for more dimensions than the model has.

        `where` is its place in the recipe.
        """
        for package in self.needs:
            if find_spec(package) is None:
                raise PreconditionError(
                    f"{where}: the package {package} is not installed; pip install 'stsflow[{self.extra}]'"
                )
        if self.dimensions is not None and self.dimensions > base.dimension:
            raise RecipeError(
                f"{where}.dimensions: found {self.dimensions}; embeddings of {base.name} have {base.dimension} numbers"
            )

    @abstractmethod
    def make(self, making: Making) -> dict[str, JsonValue]:
        """Fill the folder; return what the manifest says of this kind besides, such as inputs and opset.

        Called in a child process. Raises ModelError where the model cannot be had in this form.
        """

    @abstractmethod
    def reader(self, folder: Path) -> Encode:
        """What embeds texts with the folder, without PyTorch; called in a child process."""

    @abstractmethod
    def snippet(self, folder: str, dimension: int) -> str:
        """Python code that reads the folder (a literal) by itself and checks it against its manifest."""


def require_exports(exports: dict[str, Any], base: BaseModelRef) -> None:
    """Raise when an export cannot be made of a model made from `base` here; see `Export.require`."""
    for name, export in exports.items():
        export.require(f"release.exports.{name}", base)
