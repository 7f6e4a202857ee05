"""Triplets from natural-language-inference rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from stsflow.tasks.ground.schema import LARGEST_SEED
from stsflow.tasks.shapes.family import Roles, Shape

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.sets.texts import ArrowTexts
    from stsflow.tasks.shapes.shaped import Shaped

Label = Literal["entailment", "neutral", "contradiction", "skip"]
LABELS: dict[str, Label] = {
    "entailment": "entailment", "neutral": "neutral", "contradiction": "contradiction",
    "0": "entailment", "1": "neutral", "2": "contradiction",
}  # fmt: skip


class NliTriplets(Shape):
    """Triplets from natural-language-inference rows, as the public multi-task recipe builds them.

    Every distinct sentence that has at least one entailment and one contradiction, counted in both directions (premise
    as anchor and hypothesis as anchor), gives two triplets: (s, e, c) and (e, s, c).
    """

    kind: Literal["nli_triplets"] = "nli_triplets"
    roles: ClassVar[Roles] = Roles(("anchor", "positive", "negative"), negatives=1)
    default_loss: ClassVar[str] = "multiple_negatives_ranking"
    row_for_row: ClassVar[bool] = False
    symmetric: ClassVar[bool] = True
    premise: str = "sentence1"
    """Column of the premise."""
    hypothesis: str = "sentence2"
    """Column of the hypothesis."""
    label: str = "gold_label"
    """Column of the label."""
    labels: dict[str, Label] = LABELS
    """Meaning of each value found in the label column; any other value is refused. `skip` leaves out and counts rows
    that the data marks as unusable; where only such values are named, as in `{"-": skip}`, the usual ones stay."""
    seed: int = Field(default=42, ge=0, le=LARGEST_SEED)
    """Seed of the choice among several entailments or contradictions."""

    @field_validator("labels")
    @classmethod
    def _skipping_keeps_the_usual_labels(cls, value: dict[str, Label]) -> dict[str, Label]:
        return LABELS | value if set(value.values()) == {"skip"} else value

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that it needs of the source."""
        return (self.premise, self.hypothesis, self.label)

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """Two triplets, (s, e, c) and (e, s, c), for each distinct sentence with an entailment and a contradiction.

        Both directions of a row count: its premise and its hypothesis are each a sentence with the other beside it.
        Sentences are taken in the order in which they first occur, premise before hypothesis, and so are the
        entailments and contradictions of each; only then does a generator with the shape's seed choose among several.
        """
        import pyarrow as pa

        from stsflow.tasks.sets.spilled import rows_kept
        from stsflow.tasks.shapes.shaped import Shaped, describe_labels, dropped_as_empty, meanings, with_text

        labels = meanings(reading, self.label, self.labels, subject)
        texts = pa.table({"premise": reading.texts(self.premise), "hypothesis": reading.texts(self.hypothesis)})
        used = labels != "skip"
        keep = with_text(reading, texts, ["premise", "hypothesis"], subject, allow_empty, used)
        dropped = dropped_as_empty(keep | ~used) | ({} if used.all() else {"skipped_label": int((~used).sum())})
        texts, labels = rows_kept(texts, keep), labels[keep]
        sentences, numbers = _numbered(texts)
        entailed, contradicted = (
            _Beside.of(numbers[labels == label], len(sentences)) for label in ("entailment", "contradiction")
        )
        chosen = _chosen(entailed, contradicted, self.seed)
        table = _with_texts(chosen, sentences, self.roles.texts)
        counts = {name: int((labels == name).sum()) for name in ("entailment", "neutral", "contradiction")}
        notes = {
            "sentences": len(sentences),
            "sentences_with_both": len(chosen) // 2,
            "sentences_without_entailment": len(sentences) - entailed.sentences,
            "sentences_without_contradiction": len(sentences) - contradicted.sentences,
        }
        return Shaped(table, dropped, notes, describe_labels(subject, counts))


@dataclass(frozen=True)
class _Beside:
    """Of each sentence, the distinct sentences that share a row with it, in the order of first occurrence."""

    others: NDArray[np.int32]
    """Those of the first sentence, then those of the second, …"""
    bounds: NDArray[np.int64]
    """Those of sentence i lie from `bounds[i]` to `bounds[i + 1]`."""

    @classmethod
    def of(cls, numbers: NDArray[np.int32], sentences: int) -> _Beside:
        """From rows of two sentence numbers, below `sentences`."""
        import numpy as np

        pairs = numbers[:, [0, 1]].ravel().astype(np.int64) << 32 | numbers[:, [1, 0]].ravel()
        distinct, first = np.unique(pairs, return_index=True)
        of_sentence = distinct >> 32
        in_order = np.lexsort((first, of_sentence))
        bounds = np.searchsorted(of_sentence, np.arange(sentences + 1))
        return cls((distinct[in_order] & 0xFFFFFFFF).astype(np.int32), bounds)

    @property
    def sentences(self) -> int:
        """How many sentences have another one beside them."""
        return int((self.bounds[1:] > self.bounds[:-1]).sum())


def _chosen(entailed: _Beside, contradicted: _Beside, seed: int) -> NDArray[np.int32]:
    """(triplets, 3) sentence numbers: two triplets for each sentence that has both."""
    import random

    import numpy as np

    choose = random.Random(seed)
    both = np.flatnonzero((np.diff(entailed.bounds) > 0) & (np.diff(contradicted.bounds) > 0))
    chosen = np.empty((2 * len(both), 3), np.int32)

    def one(beside: _Beside, sentence: int) -> np.int32:
        found: np.int32 = beside.others[choose.choice(range(beside.bounds[sentence], beside.bounds[sentence + 1]))]
        return found

    for place, sentence in enumerate(both.tolist()):
        chosen[2 * place] = sentence, one(entailed, sentence), one(contradicted, sentence)
        chosen[2 * place + 1] = one(entailed, sentence), sentence, one(contradicted, sentence)
    return chosen


def _numbered(texts: pa.Table) -> tuple[ArrowTexts, NDArray[np.int32]]:
    """Distinct sentences in the order of first occurrence, and of each row the numbers of premise and hypothesis."""
    import numpy as np

    from stsflow.tasks.sets.texts import numbered_texts

    numbers, distinct = numbered_texts(texts, texts.column_names)  # in the order of the one column, then the other
    first = np.empty(len(distinct), np.int64)
    first[numbers.ravel()[::-1]] = np.arange(numbers.size)[::-1]
    order = np.argsort(first).astype(np.int32)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return distinct.at(order), rank[numbers]


def _with_texts(chosen: NDArray[np.int32], sentences: ArrowTexts, names: tuple[str, ...]) -> pa.Table:
    """The rows of sentence numbers with their texts, a column for each name."""
    import pyarrow as pa

    from stsflow.tasks.sets.spilled import ROWS_OF_A_BLOCK, spilled

    blocks = (chosen[start : start + ROWS_OF_A_BLOCK] for start in range(0, max(1, len(chosen)), ROWS_OF_A_BLOCK))
    return spilled(
        pa.table({name: sentences.take(block[:, place]).cast(pa.string()) for place, name in enumerate(names)})
        for block in blocks
    )
