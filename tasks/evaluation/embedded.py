"""The embeddings that the suites of an evaluation ask for, each made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.records.prompts import Side, SuitePrompts

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

Embeddings = NDArray[np.float32]


@dataclass
class Embedder:
    """One model, its embeddings, and what was asked for before."""

    model: Encoder
    batch_size: int
    """Sentences encoded at a time."""
    names: SuitePrompts = field(default_factory=SuitePrompts)
    """Prompts that the recipe names for the suite."""
    _known: dict[tuple[Side | None, str, tuple[str, ...]], Embeddings] = field(default_factory=dict)

    def embed(self, *columns: Sequence[str], side: Side | None = None) -> tuple[Embeddings, ...]:
        """Float32 embeddings of the texts of each column, in their order: (texts, dimension).

        Texts on a `side` are read behind the model's prompt of it, or the one that the recipe names; `None` is for
        texts that are all alike. All columns are encoded together, and apart from whatever else was asked for: how
        texts share batches shows in the last digits, and the numbers of a suite must not depend on which other suites
        are scored beside it.
        """
        from stsflow.tasks.models.encode import encode_distinct, own_prompt

        place = {text: row for row, text in enumerate(dict.fromkeys(text for column in columns for text in column))}
        prompt = own_prompt(self.model, side, self.names.name_for(side))
        asked = (side, prompt, tuple(place))
        if asked not in self._known:
            self._known[asked] = encode_distinct(
                self.model, asked[-1], batch_size=self.batch_size, side=side, prompt=prompt
            )
        return tuple(self._known[asked][[place[text] for text in column]] for column in columns)

    def for_suite(self, names: SuitePrompts) -> Embedder:
        """The same embeddings, as a suite with these prompts asks for them."""
        return replace(self, names=names)

    @contextmanager
    def prompted(self) -> Iterator[Encoder]:
        """The model for a suite that runs it by itself: within the block, each side has the prompt named for it."""
        texts, default = self.model.prompts, self.model.default_prompt_name
        if self.names != SuitePrompts():
            from stsflow.tasks.models.encode import own_prompt

            alike, asked, answers = (
                own_prompt(self.model, side, self.names.name_for(side)) for side in (None, "query", "document")
            )
            self.model.prompts = {"query": asked, "document": answers, "alike": alike}
            self.model.default_prompt_name = "alike"
        try:
            yield self.model
        finally:
            self.model.prompts, self.model.default_prompt_name = texts, default

    @property
    def texts(self) -> list[str]:
        """Every text that was asked for, once."""
        return list(dict.fromkeys(text for _, _, texts in self._known for text in texts))
