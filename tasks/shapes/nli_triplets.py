"""Triplets from natural-language-inference rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from stsflow.tasks.ground.schema import LARGEST_SEED
from stsflow.tasks.shapes.family import Roles, Shape

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from stsflow.tasks.reading.rows import Reading
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
        import random

        import numpy as np
        import pyarrow as pa

        from stsflow.tasks.shapes.shaped import Shaped, describe_labels, dropped_as_empty, meanings, with_text

        labels = meanings(reading, self.label, self.labels, subject)
        texts = pa.table({"premise": reading.texts(self.premise), "hypothesis": reading.texts(self.hypothesis)})
        used = labels != "skip"
        keep = with_text(reading, texts, ["premise", "hypothesis"], subject, allow_empty, used)
        dropped = dropped_as_empty(keep | ~used) | ({} if used.all() else {"skipped_label": int((~used).sum())})
        texts, labels = texts.filter(keep), labels[keep]
        sentences, numbers = _numbered(texts)
        entailed, contradicted = (_beside(numbers[labels == label]) for label in ("entailment", "contradiction"))
        choose = random.Random(self.seed)
        rows: list[tuple[int, int, int]] = []
        for sentence in range(len(sentences)):
            if sentence in entailed and sentence in contradicted:
                positives, negatives = entailed[sentence], contradicted[sentence]
                rows.append((sentence, choose.choice(positives), choose.choice(negatives)))
                rows.append((choose.choice(positives), sentence, choose.choice(negatives)))
        chosen = np.array(rows, dtype=np.int64).reshape(-1, 3)
        table = pa.table({name: sentences.take(pa.array(chosen[:, i])) for i, name in enumerate(self.roles.texts)})
        counts = {name: int((labels == name).sum()) for name in ("entailment", "neutral", "contradiction")}
        notes = {
            "sentences": len(sentences),
            "sentences_with_both": len(rows) // 2,
            "sentences_without_entailment": len(sentences) - len(entailed),
            "sentences_without_contradiction": len(sentences) - len(contradicted),
        }
        return Shaped(table, dropped, notes, describe_labels(subject, counts))


def _numbered(texts: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Distinct sentences in the order of first occurrence, and of each row the numbers of premise and hypothesis."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = texts.num_rows
    both = pa.concat_arrays([texts.column(name).combine_chunks() for name in ("premise", "hypothesis")])
    interleaved = both.take(pa.array(np.arange(2 * rows).reshape(2, rows).T.ravel()))
    encoded = pc.dictionary_encode(interleaved)
    return encoded.dictionary.cast(pa.string()), encoded.indices.to_numpy().reshape(rows, 2)


def _beside(numbers: np.ndarray) -> dict[int, list[int]]:
    """Of each sentence, the distinct sentences that share one of the rows with it, in the order of first occurrence."""
    found: dict[int, dict[int, None]] = {}
    for premise, hypothesis in numbers.tolist():
        found.setdefault(premise, {})[hypothesis] = None
        found.setdefault(hypothesis, {})[premise] = None
    return {sentence: list(others) for sentence, others in found.items()}
