"""Queries, passages and judgements that lie in files of their own, as BEIR (Thakur et al., 2021) and MTEB lay them out.

What is read are judged pairs, the rows of a retrieval suite: one for each judgement, and one without a query for each
passage that no judgement names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import JsonValue, model_validator

from stsflow.tasks.ground.addresses import path_in
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.names import HubWord
from stsflow.tasks.sources.bounded import BoundedSource
from stsflow.tasks.sources.family import Access, Source

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.records.sources import SourceRef

PARTS = ("corpus", "queries", "qrels")


class BeirSource(Source):
    """Queries, passages and judgements in three files, tied by ids: the layout of BEIR and MTEB.

    It gives the columns `query`, `passage` and `relevance` of a retrieval suite, and `query-id` and `corpus-id`.
    """

    kind: Literal["beir"] = "beir"
    folder: str | None = None
    """Short for the three parts below: a folder, or an address, with `corpus.jsonl`, `queries.jsonl` and
    `qrels/<split>.tsv`. Parts that are given take the place of those."""
    split: HubWord | None = None
    """With `folder`: whose judgements to take; default: `test`."""
    corpus: BoundedSource
    """Where the passages are, with an id each."""
    queries: BoundedSource
    """Where the queries are, with an id each; those that no judgement names are left out."""
    qrels: BoundedSource
    """Where the judgements are: columns `query-id`, `corpus-id` and `score`."""
    id: str = "_id"
    """Column of the id of passages and queries."""
    title: str = "title"
    """Column of a passage's title, which goes before its text with a blank between; empty: passages have none."""
    text: str = "text"
    """Column of the text of passages and queries."""
    score: str = "score"
    """Column of the relevance in the judgements; empty: there is none, and each counts as 1."""

    @model_validator(mode="before")
    @classmethod
    def _folder_stands_for_parts(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        folder, split = values.pop("folder", None), values.pop("split", None)
        if folder is None and split is not None:
            raise ValueError("`split` goes with `folder`; a part of its own says where its split is")
        if isinstance(folder, str) and isinstance(split, str | None):
            files = {"corpus": "corpus.jsonl", "queries": "queries.jsonl", "qrels": f"qrels/{split or 'test'}.tsv"}
            for part, file in files.items():
                values.setdefault(part, {"kind": "files", "paths": [f"{folder.rstrip('/')}/{file}"]})
        return values

    def fetch(self, access: Access) -> SourceRef:
        """The files of all parts; raises as the parts do."""
        from stsflow.tasks.records.sources import SourceRef

        fetched = {name: part.fetch(access) for name, part in self._parts()}
        corpus, others = fetched["corpus"], len({one.uri for one in fetched.values()}) - 1
        folder = Path(path_in(corpus.uri)).parent.name
        return SourceRef(
            kind=self.kind,
            name=self.corpus.hub_id(corpus) or folder or corpus.name,
            uri=f"{corpus.uri} and {others} more" if others else corpus.uri,
            revision=fingerprint([one.revision for one in fetched.values()]),
            files=tuple(
                file.model_copy(update={"part": name}) for name, one in fetched.items() for file in one.files
            ),
        )  # fmt: skip

    def read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        """The judgements with the texts that they name, then the passages that none names, each with its file and line.

        Raises DataError, with both, as the parts do, and as `judged_pairs` does for parts that do not fit each other.
        """
        from stsflow.tasks.reading.judged import GIVES, PASSAGE_ID, QUERY_ID, judged_pairs, texts_by_id
        from stsflow.tasks.reading.rows import Reading, missing_column

        for name in columns:
            if name not in GIVES:
                raise missing_column(fetched.name, name, GIVES)
        corpus = self._read("corpus", fetched, self.id, self.text, self.title)
        queries = self._read("queries", fetched, self.id, self.text)
        qrels = self._read("qrels", fetched, QUERY_ID, PASSAGE_ID, self.score)
        pairs = judged_pairs(
            texts_by_id(queries, self.id, self.text), texts_by_id(corpus, self.id, self.text, self.title), qrels,
            self.score, fetched.name,
        )  # fmt: skip
        return Reading(tuple(replace(file, table=file.table.select(list(columns))) for file in pairs))

    def state(self, access: Access) -> str:
        """What the parts are in now."""
        return "; ".join(part.state(access) for _, part in self._parts())

    @property
    def remote(self) -> str:
        """What the first part that asks for something outside does."""
        return next((part.remote for _, part in self._parts() if part.remote), "")

    @property
    def below_root(self) -> tuple[str, ...]:
        """Those of all parts."""
        return tuple(path for _, part in self._parts() for path in part.below_root)

    def how_read(self) -> dict[str, JsonValue]:
        """How each part is read."""
        whole: dict[str, JsonValue] = self.model_dump(mode="json", exclude=set(PARTS))
        return {**whole, **{name: part.how_read() for name, part in self._parts()}}

    def locked(self, fetched: SourceRef) -> Self:
        """Each part locked to its files."""
        return self.model_copy(update={name: part.locked(_of_part(fetched, name)) for name, part in self._parts()})

    def unlocked(self) -> Self:
        """Each part without its locks."""
        return self.model_copy(update={name: part.unlocked() for name, part in self._parts()})

    def _parts(self) -> Iterator[tuple[str, BoundedSource]]:
        yield from ((name, getattr(self, name)) for name in PARTS)

    def _read(self, name: str, fetched: SourceRef, *columns: str) -> Reading:
        from stsflow.tasks.reading.rows import MissingColumn

        part: BoundedSource = getattr(self, name)
        try:
            return part.read(_of_part(fetched, name), [column for column in columns if column])
        except MissingColumn as missing:
            field = next((one for one in ("title", "text", "id", "score") if getattr(self, one) == missing.name), None)
            raise missing.with_remedy(
                "Judgements name their texts in these columns"
                if field is None
                else f"The source's `{field}` says which column to read"
                + ("; leave it empty where there is none" if field in ("title", "score") else "")
            ) from None


def _of_part(fetched: SourceRef, part: str) -> SourceRef:
    """What was fetched for a part."""
    return fetched.model_copy(update={"files": tuple(file for file in fetched.files if file.part == part)})
