"""Rows as they were read become columns that a loss or a suite takes; every row that does not is counted or refused."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.data.integrity import describe_labels, describe_scores
from stsflow.tasks.data.reading import Reading, and_more, cut
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.shapes import PAIR_COLUMNS, TRIPLET_COLUMNS, JudgedPairs, NliTriplets, ScoredPairs


@dataclass(frozen=True)
class Shaped:
    """The rows of one data set in their final columns."""

    table: pa.Table
    """Text columns are `string`, scores `float64`."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Raw rows that were left out, by reason."""
    notes: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def shape_texts(reading: Reading, names: Mapping[str, str], subject: str, allow_empty: bool) -> Shaped:
    """Text columns under new names (new name to source column), rows with an empty text left out and counted."""
    columns = {new: reading.texts(old) for new, old in names.items()}
    table = pa.table({new: column.cast(pa.string()) for new, column in columns.items()})
    keep = _with_text(reading, table, list(names), subject, allow_empty)
    return Shaped(table.filter(pa.array(keep)), _dropped(keep))


def shape_scored_pairs(reading: Reading, shape: ScoredPairs, subject: str, allow_empty: bool) -> Shaped:
    """sentence1, sentence2, score (brought linearly from `score_range` to 0..1) and the kept columns.

    Raises DataError for a score that is no number or lies outside the range, naming file and line of the first one and
    how many there are.
    """
    low, high = shape.score_range
    scores = _scores(reading, shape, subject)
    columns = {
        "sentence1": reading.texts(shape.sentence1).cast(pa.string()),
        "sentence2": reading.texts(shape.sentence2).cast(pa.string()),
        "score": pa.array((scores - low) / (high - low), pa.float64()),
    }
    columns |= {name: pc.fill_null(reading.column(name), "").cast(pa.string()) for name in shape.keep}
    table = pa.table(columns)
    keep = _with_text(reading, table, ["sentence1", "sentence2"], subject, allow_empty)
    findings = describe_scores(subject, scores, low, high) if len(scores) else ()
    return Shaped(table.filter(pa.array(keep)), _dropped(keep), findings=findings)


def shape_judged_pairs(reading: Reading, shape: JudgedPairs, subject: str) -> Shaped:
    """As `shape_scored_pairs`, but a row without a query stays: it puts its passage into the corpus.

    Raises DataError, naming file and line, for a wrong score and for a relevant passage without a query.
    """
    low, high = shape.score_range
    queries, passages = reading.texts(shape.sentence1), reading.texts(shape.sentence2)
    unasked = pc.equal(queries, "").to_numpy(zero_copy_only=False)
    scores = _scores(reading, shape, subject, may_be_empty=unasked)
    if (wrong := np.flatnonzero(unasked & (scores > low))).size:
        raise DataError(
            f"{reading.where(int(wrong[0]))}: the passage is relevant ({scores[wrong[0]]:g}) to an empty query"
            f"{and_more(wrong.size - 1)}; without a query the relevance is {low:g} or left empty."
        )
    table = pa.table(
        {
            "sentence1": queries.cast(pa.string()),
            "sentence2": passages.cast(pa.string()),
            "score": pa.array((scores - low) / (high - low), pa.float64()),
        }
        | {name: pc.fill_null(reading.column(name), "").cast(pa.string()) for name in shape.keep}
    )
    keep = pc.not_equal(passages, "").to_numpy(zero_copy_only=False)
    without = int((unasked & keep).sum())
    return Shaped(table.filter(pa.array(keep)), _dropped(keep), {"passages_without_query": without} if without else {})


def shape_nli_triplets(reading: Reading, shape: NliTriplets, subject: str, allow_empty: bool) -> Shaped:
    """Two triplets, (s, e, c) and (e, s, c), for each distinct sentence with an entailment and a contradiction.

    Both directions of a row count: its premise and its hypothesis are each a sentence with the other beside it.
    Sentences are taken in the order in which they first occur, premise before hypothesis, and so are the entailments
    and contradictions of each; only then does a generator with the shape's seed choose among several.
    """
    labels = _labels(reading, shape, subject)
    texts = pa.table({"premise": reading.texts(shape.premise), "hypothesis": reading.texts(shape.hypothesis)})
    used = labels != "skip"
    keep = _with_text(reading, texts, ["premise", "hypothesis"], subject, allow_empty, used)
    dropped = _dropped(keep | ~used) | ({} if used.all() else {"skipped_label": int((~used).sum())})
    texts, labels = texts.filter(pa.array(keep)), labels[keep]
    sentences, numbers = _numbered(texts)
    entailed, contradicted = _beside(numbers, labels, "entailment"), _beside(numbers, labels, "contradiction")
    choose = random.Random(shape.seed)
    rows: list[tuple[int, int, int]] = []
    for sentence in range(len(sentences)):
        if sentence in entailed and sentence in contradicted:
            positives, negatives = entailed[sentence], contradicted[sentence]
            rows.append((sentence, choose.choice(positives), choose.choice(negatives)))
            rows.append((choose.choice(positives), sentence, choose.choice(negatives)))
    chosen = np.array(rows, dtype=np.int64).reshape(-1, 3)
    table = pa.table({name: sentences.take(pa.array(chosen[:, i])) for i, name in enumerate(TRIPLET_COLUMNS)})
    counts = {name: int((labels == name).sum()) for name in ("entailment", "neutral", "contradiction")}
    notes = {
        "sentences": len(sentences),
        "sentences_with_both": len(rows) // 2,
        "sentences_without_entailment": len(sentences) - len(entailed),
        "sentences_without_contradiction": len(sentences) - len(contradicted),
    }
    return Shaped(table, dropped, notes, describe_labels(subject, counts))


def triplet_names(anchor: str, positive: str, negative: str) -> dict[str, str]:
    """Final column names to source columns."""
    return dict(zip(TRIPLET_COLUMNS, (anchor, positive, negative), strict=True))


def pair_names(anchor: str, positive: str) -> dict[str, str]:
    """Final column names to source columns."""
    return dict(zip(PAIR_COLUMNS, (anchor, positive), strict=True))


# --------------------------------------------------------------------------------------------------------- columns


def _with_text(
    reading: Reading, table: pa.Table, names: Sequence[str], subject: str, allow_empty: bool,
    used: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Which of the `used` rows have a text in every one of the columns; with `allow_empty` false, all of them must."""
    wanted = np.ones(table.num_rows, bool) if used is None else used
    keep = wanted.copy()
    for name in names:
        keep &= pc.not_equal(table.column(name), "").to_numpy(zero_copy_only=False)
    if not allow_empty and not keep[wanted].all():
        empty = np.flatnonzero(wanted & ~keep)
        raise DataError(
            f"{reading.where(int(empty[0]))}: the row has an empty sentence{and_more(len(empty) - 1)}, which "
            f"{subject} refuses (allow_empty_fields: false)."
        )
    return keep


def _dropped(keep: np.ndarray) -> dict[str, int]:
    return {} if keep.all() else {"empty": int((~keep).sum())}


def _scores(reading: Reading, shape: ScoredPairs, subject: str, may_be_empty: np.ndarray | None = None) -> np.ndarray:
    """The scores as they are written; the lowest for rows that `may_be_empty` and are."""
    scores = reading.numbers(shape.score)
    low, high = shape.score_range
    if may_be_empty is not None:
        texts = pc.utf8_trim_whitespace(pc.fill_null(reading.column(shape.score), ""))
        scores[may_be_empty & pc.equal(texts, "").to_numpy(zero_copy_only=False)] = low
    if (wrong := np.flatnonzero(np.isnan(scores))).size:
        row = int(wrong[0])
        found = reading.column(shape.score)[row].as_py() or ""
        comma = bool(re.fullmatch(r"\s*-?\d+,\d+\s*", found))
        raise DataError(
            f"{reading.where(row)}: the score of {subject} is {cut(found)}, which is not a number"
            f"{and_more(wrong.size - 1)}.{' Where a comma is the decimal mark, set `decimal`.' if comma else ''}"
        )
    if (wrong := np.flatnonzero((scores < low) | (scores > high))).size:
        row = int(wrong[0])
        raise DataError(
            f"{reading.where(row)}: the score of {subject} is {scores[row]:g}, outside of {low:g} to {high:g} "
            f"(shape.score_range){and_more(wrong.size - 1)}."
        )
    return scores


def _labels(reading: Reading, shape: NliTriplets, subject: str) -> np.ndarray:
    column = pc.utf8_trim_whitespace(pc.fill_null(reading.column(shape.label), ""))
    encoded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    unknown = [code for code, value in enumerate(values) if value not in shape.labels]
    if unknown:
        wrong = np.flatnonzero(np.isin(codes, unknown))
        row = int(wrong[0])
        raise DataError(
            f"{reading.where(row)}: the label of {subject} is {cut(values[codes[row]])}{and_more(wrong.size - 1)}; "
            f"shape.labels knows: {', '.join(shape.labels)}. A label of unusable rows may be mapped to `skip`."
        )
    return np.array([shape.labels[value] for value in values], dtype=object)[codes] if values else np.array([], object)


def _numbered(texts: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Distinct sentences in the order of first occurrence, and of each row the numbers of premise and hypothesis."""
    rows = texts.num_rows
    both = pa.concat_arrays([texts.column(name).combine_chunks() for name in ("premise", "hypothesis")])
    interleaved = both.take(pa.array(np.arange(2 * rows).reshape(2, rows).T.ravel()))
    encoded = pc.dictionary_encode(interleaved)
    return encoded.dictionary.cast(pa.string()), encoded.indices.to_numpy().reshape(rows, 2)


def _beside(numbers: np.ndarray, labels: np.ndarray, label: str) -> dict[int, list[int]]:
    """Of each sentence, the distinct sentences beside it under `label`, in the order of first occurrence."""
    found: dict[int, dict[int, None]] = {}
    for premise, hypothesis in numbers[labels == label].tolist():
        found.setdefault(premise, {})[hypothesis] = None
        found.setdefault(hypothesis, {})[premise] = None
    return {sentence: list(others) for sentence, others in found.items()}
