"""Judged pairs out of three readings that ids tie together: queries, passages, and judgements of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.reading.rows import FileRows, Reading, and_more
from stsflow.tasks.records.findings import Finding

QUERY_ID, PASSAGE_ID = "query-id", "corpus-id"
GIVES = ("query", "passage", "relevance", QUERY_ID, PASSAGE_ID)
"""The columns of judged pairs."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class TextsById:
    """The texts of a reading."""

    reading: Reading
    ids: pa.Array
    """Of every row."""
    texts: pa.ChunkedArray
    """Of every row."""
    distinct: pa.Array
    """The distinct ids."""
    first: Numbers
    """Of each distinct id, the row that has it first; the others repeat it, with the same text."""


def texts_by_id(reading: Reading, of_id: str, of_text: str, of_title: str = "") -> TextsById:
    """The texts, each behind its title and a blank where it has one.

    Raises DataError, with file and line, for a row without an id and for an id that different texts have.
    """
    texts = reading.texts(of_text)
    if of_title:
        blank = pa.scalar(" ", pa.large_string())
        texts = pc.utf8_trim_whitespace(pc.binary_join_element_wise(reading.texts(of_title), texts, blank))
    ids = _ids(reading, of_id)
    encoded = ids.dictionary_encode()
    numbers, rows = encoded.indices.to_numpy(), np.arange(len(ids))
    first = np.full(len(encoded.dictionary), len(ids), np.int64)
    np.minimum.at(first, numbers, rows)
    again = np.flatnonzero(first[numbers] < rows)
    before = first[numbers[again]]
    other = pc.not_equal(texts.take(pa.array(again)), texts.take(pa.array(before))).to_numpy()
    if other.any():
        row, earlier = int(again[other][0]), int(before[other][0])
        raise DataError(
            f"{reading.where(row)}: the id {ids[row].as_py()!r} is that of another text before, "
            f"{reading.where(earlier)}{and_more(int(other.sum()) - 1)}."
        )
    return TextsById(reading, ids, texts, encoded.dictionary, first)


def judged_pairs(
    queries: TextsById, corpus: TextsById, qrels: Reading, of_score: str, subject: str
) -> tuple[FileRows, ...]:
    """The judgements with their texts, file by file, then the passages that no judgement names, with empty queries.

    The columns are those of `GIVES`. `of_score` is the judgements' column of the relevance, or empty: each counts as 1.
    A finding about `subject` says how many texts are judged. Raises DataError, with file and line, for a judgement of a
    query or passage that is not there.
    """
    query = _found(qrels, QUERY_ID, queries, "query")
    passage = _found(qrels, PASSAGE_ID, corpus, "passage")
    rows = [*_judged(qrels, query, passage, queries, corpus, of_score), *_unasked(corpus, passage)]
    said = (_coverage(subject, queries, corpus, query, passage), *queries.reading.findings)
    return (replace(rows[0], findings=(*said, *rows[0].findings)), *rows[1:])


def _ids(reading: Reading, column: str) -> pa.Array:
    ids = pc.fill_null(pc.utf8_trim_whitespace(reading.column(column)), "").combine_chunks()
    if (missing := pc.index(ids, "").as_py()) >= 0:
        count = pc.sum(pc.equal(ids, "")).as_py()
        raise DataError(f"{reading.where(missing)}: the row has no {column}{and_more(count - 1)}.")
    return ids


def _found(qrels: Reading, column: str, texts: TextsById, what: str) -> Numbers:
    """Of each judgement the number of its query or passage."""
    ids = _ids(qrels, column)
    found: Numbers = pc.fill_null(pc.index_in(ids, value_set=texts.distinct), -1).to_numpy().astype(np.int64)
    if (wrong := np.flatnonzero(found < 0)).size:
        raise DataError(
            f"{qrels.where(int(wrong[0]))}: there is no {what} {ids[int(wrong[0])].as_py()!r} in "
            f"{texts.reading.files[0].shown}{and_more(wrong.size - 1)}."
        )
    return found


def _judged(
    qrels: Reading, query: Numbers, passage: Numbers, queries: TextsById, corpus: TextsById, of_score: str
) -> Iterator[FileRows]:
    ones = pa.repeat(pa.scalar("1", pa.large_string()), qrels.rows)
    columns = (
        queries.texts.take(pa.array(queries.first[query])), corpus.texts.take(pa.array(corpus.first[passage])),
        qrels.column(of_score) if of_score else ones,
        queries.distinct.take(pa.array(query)), corpus.distinct.take(pa.array(passage)),
    )  # fmt: skip
    table = pa.table(dict(zip(GIVES, columns, strict=True)))
    start = 0
    for file in qrels.files:
        numbers = {"relevance": file.not_text[of_score]} if of_score in file.not_text else {}
        yield replace(file, table=table.slice(start, len(file.positions)), not_text=numbers)
        start += len(file.positions)


def _unasked(corpus: TextsById, judged: Numbers) -> Iterator[FileRows]:
    unasked = np.zeros(len(corpus.ids), bool)
    unasked[corpus.first] = True
    unasked[corpus.first[judged]] = False
    start = 0
    for file in corpus.reading.files:
        size = len(file.positions)
        rows = np.flatnonzero(unasked[start : start + size])
        nothing = pa.repeat(pa.scalar("", pa.large_string()), len(rows))
        here = pa.array(rows + start)
        columns = (nothing, corpus.texts.take(here), nothing, nothing, corpus.ids.take(here))
        table = pa.table(dict(zip(GIVES, columns, strict=True)))
        yield replace(file, table=table, positions=file.positions[rows], not_text={})
        start += size


def _coverage(subject: str, queries: TextsById, corpus: TextsById, query: Numbers, passage: Numbers) -> Finding:
    asked, named = len(np.unique(query)), len(np.unique(passage))
    repeated = sum(len(texts.ids) - len(texts.first) for texts in (queries, corpus))
    return Finding(
        severity="info", code="integrity.judgements", subject=subject,
        message=f"{len(query):,} judgements name {asked:,} of {len(queries.first):,} queries and {named:,} of "
        f"{len(corpus.first):,} passages; {repeated:,} rows repeat the id and the text of an earlier one.",
        numbers={
            "judgements": len(query), "queries": len(queries.first), "queries_judged": asked,
            "passages": len(corpus.first), "passages_judged": named, "repeated": repeated,
        },
    )  # fmt: skip
