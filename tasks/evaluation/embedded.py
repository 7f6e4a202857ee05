"""The embeddings that the suites of an evaluation ask for, each made once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.records.prompts import Side, SuitePrompts
from stsflow.tasks.search.dense import Rows
from stsflow.tasks.search.stored import StoredEmbeddings

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

Embeddings = NDArray[np.float32]
TEXTS_OF_A_BLOCK = 65_536

log = logging.getLogger("stsflow.evaluation")


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
        place = {text: row for row, text in enumerate(dict.fromkeys(text for column in columns for text in column))}
        prompt = self.prompt_of(side)
        asked = (side, prompt, tuple(place))
        if asked not in self._known:
            self._known[asked] = self.encode(asked[-1], side, prompt)
        return tuple(self._known[asked][[place[text] for text in column]] for column in columns)

    def embed_corpus(self, texts: Sequence[str], folder: Path) -> Rows:
        """Embeddings of documents, in their order; of many texts they lie in a file in `folder`, made block by block.

        A block is encoded by itself, so that of two texts in different blocks that are the same tokens the embeddings
        may differ in the last digits.
        """
        if len(texts) <= TEXTS_OF_A_BLOCK:
            return self.embed(texts, side="document")[0]
        prompt = self.prompt_of("document")
        stored = StoredEmbeddings(folder)
        for start in range(0, len(texts), TEXTS_OF_A_BLOCK):
            block = list(texts[start : start + TEXTS_OF_A_BLOCK])
            stored.append(self.encode(block, "document", prompt))
            log.info("%d of %d passages are embedded", start + len(block), len(texts))
        return stored

    def prompt_of(self, side: Side | None) -> str:
        """What goes before texts on that side."""
        from stsflow.tasks.models.encode import own_prompt

        return own_prompt(self.model, side, self.names.name_for(side))

    def encode(self, texts: Sequence[str], side: Side | None, prompt: str) -> Embeddings:
        """The model's embeddings of different texts behind `prompt`, in their order."""
        from stsflow.tasks.models.encode import encode_distinct

        return encode_distinct(self.model, texts, batch_size=self.batch_size, side=side, prompt=prompt)

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
