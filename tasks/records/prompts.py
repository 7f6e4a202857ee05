"""Prompts: texts that a model wants before the texts that it reads, by name."""

from __future__ import annotations

from typing import Literal

from stsflow.tasks.ground.schema import Record, Section

Side = Literal["query", "document"]
"""Which side of a search a text is on; models may read the two differently."""

NAMES: dict[Side | None, tuple[str, ...]] = {
    None: (), "query": ("query",), "document": ("document", "passage", "corpus"),
}  # fmt: skip
"""Where `encode`, `encode_query` and `encode_document` of sentence-transformers look, before the default."""


class Prompts(Record):
    """The prompts of a model, as its config_sentence_transformers.json keeps them."""

    texts: dict[str, str] = {}
    """By name. The library's own names are `query` and `document`."""
    default: str | None = None
    """Name of the prompt of texts that are neither a query nor a document; None: they have none."""

    def of(self, side: Side | None, named: str | None = None) -> str:
        """What goes before a text: on that `side` of a search, or, with None, one of texts that are all alike.

        `named` is the name of another prompt to take; empty means none. A model without a prompt of that name takes
        what it has for the side.
        """
        if named == "":
            return ""
        asked = () if named is None else (named,)
        name = next((name for name in (*asked, *NAMES[side]) if name in self.texts), self.default)
        return self.texts.get(name, "") if name is not None else ""

    @property
    def some(self) -> bool:
        """Whether any of them is more than an empty text."""
        return any(self.texts.values())


class SuitePrompts(Section):
    """Which prompts the texts of a suite get, by name; empty: none. Default: those of every other suite."""

    query: str | None = None
    """Name of the one before queries, or before all texts of a suite whose texts are all alike."""
    document: str | None = None
    """Name of the one before documents."""

    def name_for(self, side: Side | None) -> str | None:
        """What is named for texts on that side; None where nothing is."""
        return self.document if side == "document" else self.query


class ColumnPrompts(Record):
    """The prompt of each column of texts that has one."""

    training: dict[str, dict[str, str]] = {}
    """By training set and column."""
    evaluation: dict[str, dict[str, str]] = {}
    """By suite and column."""
