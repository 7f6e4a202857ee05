"""Scores on the choosing suite while training, as its kind has them, each distinct text encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from stsflow.tasks.models.encode import EncodeAlike, encode_alike, encode_distinct, own_prompt
from stsflow.tasks.records.prompts import Side, SuitePrompts
from stsflow.tasks.sets.rows import training_rows
from stsflow.tasks.training.encode_together import encode_alike_together
from stsflow.tasks.training.request import ChooseOn

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder


class ChoosingEvaluator(SentenceEvaluator):  # type: ignore[misc]  # the library has no types
    """Gives the metrics of a suite; on scored pairs what the library's evaluator of them gives, under the same names.

    A text that recurs is encoded once, and batches hold equal work instead of equally many rows. Of several processes
    the library lets the first alone ask for the scores: all of them find these together beforehand.
    """

    def __init__(self, choose: ChooseOn) -> None:
        super().__init__()
        rows = training_rows(choose.data)
        self.columns: dict[str, list[Any]] = {name: list(rows[name]) for name in rows.column_names}
        self.metrics = partial(resolve_name(choose.scored_by), **choose.settings)
        self.name, self.primary_metric = choose.suite, choose.full_metric
        self.batch_size, self.names = choose.batch_size, choose.prompts
        self._found: dict[str, float] | None = None

    def __call__(
        self, model: Encoder, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """The metrics by `<suite>_<metric>`. The model runs as in the training: its precision, padded or not."""
        del output_path, epoch, steps

        found, self._found = self._found, None
        return self._score(model, encode_alike) if found is None else found

    def score_together(self, model: Encoder) -> None:
        """In all processes at once: find what the next call gives, each encoding its share of the texts."""
        self._found = self._score(model, encode_alike_together)

    def _score(self, model: Encoder, encode: EncodeAlike) -> dict[str, float]:
        found = self.metrics(self.columns, _Embed(model, self.batch_size, self.names, encode))
        named: dict[str, Any] = self.prefix_name_to_metrics(found, self.name)
        return named


@dataclass(frozen=True)
class _Embed:
    """The embeddings of a model in training, as suites ask for them (`statistics.similarity.Embed`)."""

    model: Encoder
    batch_size: int
    names: SuitePrompts
    encode: EncodeAlike

    @property
    def similarity(self) -> str:
        return str(self.model.similarity_fn_name)

    def __call__(self, *columns: Sequence[str], side: Side | None = None) -> tuple[NDArray[np.float32], ...]:
        texts = [text for column in columns for text in column]
        prompt = own_prompt(self.model, side, self.names.name_for(side))
        embeddings = encode_distinct(
            self.model, texts, batch_size=self.batch_size, padding_free="off", side=side, prompt=prompt,
            encode=self.encode,
        )  # fmt: skip
        return tuple(np.split(embeddings, np.cumsum([len(column) for column in columns])[:-1]))
