"""The mining itself, in the child: number the texts, embed them, search, filter, put the negatives into the rows."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.made.code import code_of
from stsflow.tasks.mining.audit import Mined, audit
from stsflow.tasks.mining.embeddings import SECONDS_BETWEEN_WORDS, Embeddings, embedded
from stsflow.tasks.mining.filters import choose, looked_at, taken_in_turns
from stsflow.tasks.mining.request import Asked, MiningSpec
from stsflow.tasks.mining.texts import TextList, Texts, both_ways, numbered_columns, positive_pairs
from stsflow.tasks.models.encode import encode_distinct
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.records.data import PreparedSet, RowCounts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import Side
from stsflow.tasks.search import QUERIES_AT_A_TIME, Nearest
from stsflow.tasks.search.dense import nearest
from stsflow.tasks.search.lexical import LexicalIndex
from stsflow.tasks.sets.rows import read_rows, write_rows
from stsflow.tasks.sets.texts import ArrowTexts
from stsflow.tasks.shapes import Shape
from stsflow.tasks.statistics.similarity import all_similarities, pair_similarities

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

log = logging.getLogger("stsflow.mining")

LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy")
ROWS_AT_A_TIME = 4096
TRIES = 100
"""Draws for an empty place before the row counts as one with too few negatives."""


def mined_sets(spec: MiningSpec) -> tuple[PreparedSet, ...]:
    """The sets that are asked for, each with negatives, its rows below the spec's folder."""
    known = Known.of(spec)
    models = _Models(spec)
    return tuple(
        _mined(spec, item, spec.asked[item.name], known, models) for item in spec.train if item.name in spec.asked
    )


@dataclass(frozen=True)
class Known:
    """What is known of the texts of all sets before anything is mined."""

    texts: Texts
    columns: dict[str, NDArray[np.int32]]
    """By training set the numbers of its texts, (rows, columns)."""
    positives: dict[str, NDArray[np.int32]]
    """By training set its pairs that belong together, (pairs, 2)."""
    evaluation: NDArray[np.int32]
    """Numbers of the texts of evaluation sets."""
    files: dict[str, NDArray[np.int32]]
    """By training set the numbers of the texts of its corpus file."""

    @classmethod
    def of(cls, spec: MiningSpec) -> Known:
        """Read and number everything; a number is a text after normalisation."""
        texts = Texts()
        columns = {item.name: numbered_columns(item, texts) for item in spec.train}
        evaluation = [np.unique(numbered_columns(item, texts)) for item in spec.evaluation]
        positives = {item.name: positive_pairs(item, columns[item.name]) for item in spec.train}
        files = {
            name: texts.number(_read(asked)) for name, asked in spec.asked.items() if asked.corpus_file is not None
        }
        forbidden = np.unique(np.concatenate([*evaluation, np.empty(0, np.int32)]))
        return cls(texts, columns, positives, forbidden, files)


def _read(asked: Asked) -> ArrowTexts:
    """The distinct texts of a corpus file; those without a visible character are left out."""
    import pyarrow.compute as pc

    file = asked.config.corpus_file
    assert file is not None and asked.corpus_file is not None
    texts = file.source.read(asked.corpus_file, [file.column]).texts(file.column)
    distinct = pc.unique(texts)
    return ArrowTexts([distinct.filter(pc.not_equal(distinct, ""))])


# --------------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class _Space:
    """Texts in the embeddings of one model."""

    anchors: Embeddings
    documents: Embeddings
    similarity: str


class _Models:
    """The models of a spec, one at a time in memory."""

    def __init__(self, spec: MiningSpec) -> None:
        self.spec = spec
        self._held: tuple[BaseModelRef, Encoder] | None = None

    def load(self, ref: BaseModelRef) -> Encoder:
        if self._held is None or self._held[0] != ref:
            self._held = None
            self._held = ref, load_encoder(ref, device=self.spec.device, pooling=ref.pooling)
        return self._held[1]

    def space(
        self, ref: BaseModelRef, anchors: TextList, documents: TextList, asked: Asked, prompts: tuple[str, str]
    ) -> _Space:
        """The embeddings of both, found on the disk or made."""
        model = self.load(ref)
        sides: tuple[Side | None, Side | None] = (None, None) if asked.symmetric else ("query", "document")
        of_anchors, of_documents = (
            self._embeddings(ref, model, texts, side, prompt, asked.config.batch_size)
            for texts, side, prompt in zip((anchors, documents), sides, prompts, strict=True)
        )
        return _Space(of_anchors, of_documents, model.similarity_fn_name or "cosine")

    def _embeddings(
        self, ref: BaseModelRef, model: Encoder, texts: TextList, side: Side | None, prompt: str, batch_size: int
    ) -> Embeddings:
        read_as = (ref.digest, ref.max_seq_length, ref.pooling, side, prompt, batch_size, self.spec.device)
        libraries = {name: version for name, version in versions().items() if name in LIBRARIES}
        key = fingerprint(read_as, _digest(texts), libraries, code_of("stsflow.tasks.models.encode"))
        what = f"embeddings of {len(texts):,} texts ({side or 'all alike'}) by {ref.name}"

        def encode(block: list[str]) -> NDArray[np.float32]:
            return encode_distinct(model, block, batch_size=batch_size, side=side, prompt=prompt)

        with lease(self.spec.leases / f"embeddings-{key[:24]}.lock", on_wait=lambda who: log.info("%s: %s", what, who)):
            return embedded(texts, encode, self.spec.embeddings / key[:24], what)


def _digest(texts: TextList) -> str:
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


# --------------------------------------------------------------------------------------------------------- one set


def _mined(spec: MiningSpec, prepared: PreparedSet, asked: Asked, known: Known, models: _Models) -> PreparedSet:
    started = time.monotonic()
    config = asked.config
    numbers = known.columns[prepared.name]
    anchors, anchor_of_row = np.unique(numbers[:, 0], return_inverse=True)
    wanted, left_out = _corpus(prepared, asked, known)
    others = np.setdiff1d(numbers[:, 1], wanted)
    documents = np.concatenate([wanted, others])
    place = np.full(len(known.texts), -1, np.int64)
    place[documents] = np.arange(len(documents))
    log.info("%s: %s anchors, %s texts to search", prepared.name, f"{len(anchors):,}", f"{len(wanted):,}")

    anchor_texts, document_texts = TextList(known.texts, anchors), TextList(known.texts, documents)
    searched = models.space(asked.model, anchor_texts, document_texts, asked, asked.prompts)
    judged = searched
    if asked.guide is not None:
        judged = models.space(asked.guide, anchor_texts, document_texts, asked, asked.guide_prompts)
    positive_scores = _scores_of_rows(judged, anchor_of_row, place[numbers[:, 1]])
    lowest = np.full(len(anchors), np.inf)
    np.minimum.at(lowest, anchor_of_row, positive_scores)

    positives = both_ways(known.positives.values(), len(known.texts))
    taken = _existing_negatives(prepared, asked, numbers, len(known.texts))
    chosen = np.full((len(anchors), config.negatives), -1, np.int32)
    scores = np.full(chosen.shape, np.nan)
    candidates, rejected = 0, Counter[str]()
    random = np.random.default_rng(config.seed)
    told = time.monotonic()
    apart = int(np.diff(positives.indptr)[anchors].max() + np.diff(taken.indptr)[anchors].max()) + 1
    count = min(len(wanted), config.depth + min(apart, max(config.depth, 1000)))
    finders = _finders(asked, searched, known, anchors, wanted, count)
    for start, found in zip(range(0, len(anchors), QUERIES_AT_A_TIME), zip(*finders, strict=True), strict=True):
        some = anchors[start : start + QUERIES_AT_A_TIME]
        ids = taken_in_turns(*(one.ids for one in found))
        of_ids = np.where(ids >= 0, wanted[ids], -1)
        never = {
            "the_anchor": of_ids == some[:, None],
            "known_positive": _among(positives, some, of_ids),
            "already_negative": _among(taken, some, of_ids),
        }
        left, excluded = looked_at(ids, never, config.depth * len(found))
        if len(found) == 1 and asked.guide is None and "dense" in config.candidates:
            of_judge = found[0].scores
        else:
            of_judge = _scores_of(judged, start, ids)
        picked = choose(ids, of_judge, lowest[start : start + len(some)], left, config, random)
        chosen[start : start + len(some)] = np.where(picked.ids >= 0, wanted[picked.ids], -1)
        scores[start : start + len(some)] = picked.scores
        candidates += picked.candidates
        rejected += excluded + picked.rejected
        if time.monotonic() - told > SECONDS_BETWEEN_WORDS:
            told = time.monotonic()
            log.info("%s: %s of %s anchors searched", prepared.name, f"{start + len(some):,}", f"{len(anchors):,}")

    of_rows = chosen[anchor_of_row]
    keep, filled = _complete(of_rows, numbers[:, 0], wanted, positives, config.fewer == "keep", random)
    table = _with_negatives(prepared, asked, known, of_rows, keep)
    path = spec.folder / prepared.name
    digest = write_rows(table, path)
    mined = Mined(
        anchors=anchors, anchor_of_row=anchor_of_row, negatives=chosen, scores=scores, positives=numbers[:, 1],
        positive_scores=positive_scores, keep=keep,
    )  # fmt: skip
    record = audit(
        prepared, asked, mined, known.texts, positives,
        similarity=judged.similarity, corpus=len(wanted), left_out=left_out, filled=filled, candidates=candidates,
        rejected={name: number for name, number in rejected.items() if number}, seconds=time.monotonic() - started,
    )  # fmt: skip
    log.info(
        "%s: %s of %s rows have %d mined negatives each, in %.0f s", prepared.name, f"{table.num_rows:,}",
        f"{prepared.rows:,}", config.negatives, record.seconds,
    )  # fmt: skip
    return prepared.model_copy(
        update={
            "path": path, "digest": digest, "rows": table.num_rows, "columns": tuple(table.column_names),
            "roles": prepared.roles.mined(config.negatives, config.replace), "mined": record,
            "counts": _counts(prepared, record.dropped),
        }
    )  # fmt: skip


def _corpus(prepared: PreparedSet, asked: Asked, known: Known) -> tuple[NDArray[np.int32], dict[str, int]]:
    """Numbers of the texts to search, none of an evaluation set among them; how many were left out, by reason."""
    if asked.corpus_file is not None:
        found = known.files[prepared.name]
    elif asked.config.corpus == "sets":
        found = np.concatenate([pairs[:, 1] for pairs in known.positives.values()])
    else:
        found = known.positives[prepared.name][:, 1]
    distinct = np.unique(found)
    unseen = np.setdiff1d(distinct, known.evaluation)
    if not len(unseen):
        raise DataError(f"mining.{prepared.name}: the corpus has no text that is not one of an evaluation set.")
    return unseen.astype(np.int32), {"evaluation": len(distinct) - len(unseen)}


def _existing_negatives(
    prepared: PreparedSet, asked: Asked, numbers: NDArray[np.int32], size: int
) -> sparse.csr_matrix:
    """The negatives that stay beside the mined ones, by anchor."""
    if asked.config.replace or not prepared.roles.negatives:
        return sparse.csr_matrix((size, size), dtype=np.int32)
    columns = numbers[:, -prepared.roles.negatives :]
    row, column = np.repeat(numbers[:, 0], columns.shape[1]), columns.ravel()
    return sparse.csr_matrix((np.ones(len(row), np.int32), (row, column)), shape=(size, size))


def _finders(
    asked: Asked, space: _Space, known: Known, anchors: NDArray[np.int32], corpus: NDArray[np.int32], count: int
) -> list[Iterator[Nearest]]:
    """The candidates that each finder has for the anchors, some anchors at a time."""
    found: list[Iterator[Nearest]] = []
    for name in dict.fromkeys(asked.config.candidates):
        if name == "dense":
            documents = space.documents.first(len(corpus))
            found.append(
                nearest(space.anchors, documents, count, space.similarity, exact_up_to=asked.config.exact_up_to)
            )
        else:
            index = LexicalIndex(TextList(known.texts, corpus))
            found.append(index.nearest(TextList(known.texts, anchors), count))
    return found


def _among(matrix: sparse.csr_matrix, rows: NDArray[np.int32], numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which of the `numbers`, (rows, candidates), have an entry in that row of the matrix."""
    found = np.zeros(numbers.shape, bool)
    for place, row in enumerate(rows):
        entries = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(entries):
            found[place] = np.isin(numbers[place], entries)
    return found


def _scores_of(space: _Space, start: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Similarity of anchors, from number `start` on, with their candidates; minus infinity where there is none."""
    scores = np.full(ids.shape, -np.inf)
    anchors = space.anchors[start : start + len(ids)]
    for row in range(len(ids)):
        there = ids[row] >= 0
        if there.any():
            documents = space.documents.take(ids[row][there])
            scores[row, there] = all_similarities(anchors[row : row + 1], documents, space.similarity)[0]
    return scores


def _scores_of_rows(space: _Space, anchors: NDArray[np.integer], documents: NDArray[np.int64]) -> NDArray[np.float64]:
    parts = [
        pair_similarities(
            space.anchors.take(anchors[start : start + ROWS_AT_A_TIME]),
            space.documents.take(documents[start : start + ROWS_AT_A_TIME]),
        )[space.similarity]
        for start in range(0, len(anchors), ROWS_AT_A_TIME)
    ]
    return np.concatenate(parts)


# ------------------------------------------------------------------------------------------------------------ rows


def _complete(
    negatives: NDArray[np.int32], anchors: NDArray[np.int32], corpus: NDArray[np.int32], positives: sparse.csr_matrix,
    fill: bool, random: np.random.Generator,
) -> tuple[NDArray[np.bool_], int]:  # fmt: skip
    """Which rows have all their negatives, and how many places were filled for that; `negatives` is filled in place."""
    filled = 0
    lacking = np.flatnonzero((negatives < 0).any(axis=1))
    keep = np.ones(len(negatives), bool)
    for row in lacking:
        anchor = anchors[row]
        apart = {int(anchor), *positives.indices[positives.indptr[anchor] : positives.indptr[anchor + 1]].tolist()}
        apart |= set(negatives[row].tolist())
        for place in np.flatnonzero(negatives[row] < 0):
            drawn = _drawn(corpus, apart, random) if fill else -1
            if drawn < 0:
                keep[row] = False
                break
            negatives[row, place] = drawn
            apart.add(drawn)
            filled += 1
    return keep, filled


def _drawn(corpus: NDArray[np.int32], apart: set[int], random: np.random.Generator) -> int:
    for _ in range(TRIES):
        number = int(corpus[random.integers(len(corpus))])
        if number not in apart:
            return number
    return -1


def _with_negatives(
    prepared: PreparedSet, asked: Asked, known: Known, negatives: NDArray[np.int32], keep: NDArray[np.bool_]
) -> pa.Table:
    """The rows that stay, in the columns that mining gives them; what lay beside those of the roles follows."""
    table = read_rows(prepared).filter(pa.array(keep))
    before, config = prepared.roles, asked.config
    after = before.mined(config.negatives, config.replace)
    stay = before.texts[: len(before.texts) - before.negatives] if asked.config.replace else before.texts
    columns = [table[name].cast(pa.string()) for name in stay]
    columns += [known.texts.take(column).cast(pa.string()) for column in negatives[keep].T]
    others = [name for name in table.column_names if name not in before.texts]
    if not keep.any():
        raise DataError(
            f"mining.{prepared.name}: no row is left of {prepared.rows:,}: none has {asked.config.negatives} "
            "negative(s) that the filters let through. Loosen them, raise depth, or set fewer: keep."
        )
    return pa.table(dict(zip((*after.texts, *others), [*columns, *(table[name] for name in others)], strict=True)))


def _counts(prepared: PreparedSet, dropped: int) -> RowCounts:
    """The set's counts without the rows that mining dropped."""
    if not dropped:
        return prepared.counts
    counts, kept = prepared.counts, prepared.counts.kept - dropped
    # A raw NLI row is not a triplet: what leaves a shaped set there is a note, or the raw rows would not add up.
    if Shape.of(prepared.shape).row_for_row:
        return counts.model_copy(update={"dropped": counts.dropped | {"too_few_negatives": dropped}, "kept": kept})
    return counts.model_copy(update={"notes": counts.notes | {"too_few_negatives": dropped}, "kept": kept})
