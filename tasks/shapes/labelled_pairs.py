"""Rows that are two texts and whether they belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from stsflow.tasks.shapes.family import Roles, Shape

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.shapes.shaped import Shaped

Together = Literal[0, 1, "skip"]
LABELS: dict[str, Together] = {"0": 0, "1": 1, "false": 0, "true": 1}


class LabelledPairs(Shape):
    """Rows that are two sentences and a label: 1, they belong together, or 0, they do not."""

    kind: Literal["labelled_pairs"] = "labelled_pairs"
    roles: ClassVar[Roles] = Roles(("sentence1", "sentence2"), score="label", of_two_values=True)
    default_loss: ClassVar[str] = "contrastive"
    symmetric: ClassVar[bool] = True
    sentence1: str = "sentence1"
    """Column of the first sentence."""
    sentence2: str = "sentence2"
    """Column of the second sentence."""
    label: str = "label"
    """Column of the label."""
    labels: dict[str, Together] = LABELS
    """Meaning of each value found in the label column, such as `{duplicate: 1, other: 0}`; any other value is refused.
    `skip` leaves out and counts rows; where only such values are named, the usual ones stay."""

    @field_validator("labels")
    @classmethod
    def _skipping_keeps_the_usual_labels(cls, value: dict[str, Together]) -> dict[str, Together]:
        return LABELS | value if set(value.values()) == {"skip"} else value

    def shape(self, reading: Reading, subject: str, allow_empty: bool) -> Shaped:
        """sentence1, sentence2, label (0 or 1, int64); raises DataError with file and line for any other label."""
        import pyarrow as pa

        from stsflow.tasks.sets.spilled import rows_kept
        from stsflow.tasks.shapes.shaped import Shaped, describe_labels, dropped_as_empty, meanings, with_text

        labels = meanings(reading, self.label, self.labels, subject)
        used = labels != "skip"
        texts = {name: reading.texts(getattr(self, name)).cast(pa.string()) for name in self.roles.texts}
        keep = with_text(reading, pa.table(texts), self.roles.texts, subject, allow_empty, used)
        dropped = dropped_as_empty(keep | ~used) | ({} if used.all() else {"skipped_label": int((~used).sum())})
        table = rows_kept(pa.table(texts), keep).append_column("label", pa.array(labels[keep].tolist(), pa.int64()))
        counts = {str(label): int((labels == label).sum()) for label in (0, 1)}
        return Shaped(table, dropped, findings=describe_labels(subject, counts))
