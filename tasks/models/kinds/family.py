"""The family of kinds of model: what the rest of the product must know of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from stsflow.tasks.ground.family import Kind
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.records.prompts import Prompts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stsflow.tasks.records.prompts import Side


class Described(NamedTuple):
    """What a loaded model says of itself, for record and card."""

    architecture: str
    """Its modules in the library's words."""
    dimension: int
    """Numbers of an embedding; 0 where it gives none."""
    max_seq_length: int | None
    """Tokens at which it cuts a text."""
    similarity: str
    """How its embeddings are compared."""


class ModelKind(Kind):
    """How models of one kind are told, loaded, trained, saved and shown. `Any` below is the library's own model."""

    told_by: ClassVar[frozenset[str]] = frozenset()
    """Signs in a folder that its model is of this kind: see `others.py`. A folder without a sign holds a bi-encoder."""
    library_class: ClassVar[str]
    """Class of sentence-transformers that people load it with."""
    gives: ClassVar[str]
    """What it makes of texts; a loss says by `learns_through` what it needs."""

    def load(self, path: Path, *, device: str, remote_code: bool) -> Any:
        """The model in the folder, weights in float32, from the disk alone. What it loads has been admitted."""
        raise NotImplementedError

    def check(self, path: Path, config: Mapping[str, Any]) -> None:
        """Raise ModelError where the config.json of the folder `path` says what this kind cannot use."""

    def functions_named(self, config: Mapping[str, Any], library: Mapping[str, Any]) -> tuple[object, ...]:
        """Functions that config.json and config_sentence_transformers.json name and that loading would import."""
        del config, library
        return ()

    def embed(
        self, model: Any, texts: Sequence[str], *, batch_size: int, side: Side | None = None
    ) -> NDArray[np.float32]:
        """Embeddings of the texts, behind the model's own prompt for their `side`, (texts, dimension); for kinds that
        give them."""
        raise NotImplementedError

    def score(
        self, model: Any, firsts: Sequence[str], seconds: Sequence[str], *, batch_size: int, alike: bool
    ) -> NDArray[np.float32]:
        """How much the texts of each pair belong together, (pairs,), by the model's own measure; where they are not all
        `alike`, the firsts ask and the seconds answer.
        """
        raise NotImplementedError

    def save(self, model: Any, folder: Path) -> None:
        """Write the model into `folder`, without a card."""
        raise NotImplementedError

    def describe(self, model: Any) -> Described:
        """What the model says of itself."""
        raise NotImplementedError

    def flatten(self, model: Any, asked: Literal["auto", "on", "off"], device: str, precision: str) -> LeverState:
        """Run the model's batches without padding where that is exact; what was chosen, and why."""
        raise NotImplementedError

    def trainer_class(self) -> type[Any]:
        """The library's trainer of such models."""
        raise NotImplementedError

    def arguments_class(self) -> type[Any]:
        """The library's arguments of that trainer."""
        raise NotImplementedError

    def usage(self, model_id: str, texts: Sequence[str], dimension: int, prompts: Prompts, *, remote_code: bool) -> str:
        """Python code that uses the model and its prompts; comments give what it prints. `model_id` and `texts` are
        literals."""
        raise NotImplementedError
