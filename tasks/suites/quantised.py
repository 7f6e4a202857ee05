"""Embeddings in fewer bits, for scored pairs: what an index four or thirty-two times smaller costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from stsflow.tasks.suites.cosines import SuiteOfCosines
from stsflow.tasks.suites.family import Metric

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.search.quantised import Numbers
    from stsflow.tasks.statistics.correlation import Floats

Precisions = tuple[Literal["int8", "binary", "binary_rescored"], ...]
EVERY_PRECISION: Precisions = ("int8", "binary", "binary_rescored")
ABOUT_INDEXES = (
    "The first text asks in float32, the other lies in an index: `int8` in a quarter of the bytes, `binary` in a 32nd, "
    "compared by Hamming distance, `binary_rescored` in the same bits put in order by the float32 of what asks; "
    "`loss_<form>` is what it costs of the score in float32, with its paired interval"
)


class QuantisedSuite(SuiteOfCosines):
    """Semantic textual similarity where the second sentence is an embedding in fewer bits.

    Metrics are `pearson_cosine_<precision>` and `spearman_cosine_<precision>`, float32 among them, and
    `loss_<precision>`: by how much Spearman's of float32 is higher.
    """

    kind: Literal["quantised"] = "quantised"
    heading: ClassVar[str] = "Semantic Similarity by Precision of the Index"
    task_type: ClassVar[str] = "semantic-similarity"
    measured_as: ClassVar[str] = ABOUT_INDEXES
    precisions: Precisions = Field(default=EVERY_PRECISION, min_length=1)
    """Forms of an embedding in the index, beside float32."""

    @property
    def forms(self) -> tuple[str, ...]:
        """The precisions, float32 first."""
        return ("float32", *dict.fromkeys(self.precisions))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Both correlations of each precision, then the losses."""
        return (*super().metrics, *(f"loss_{form}" for form in self.forms[1:]))

    @classmethod
    def metric(cls, name: str) -> Metric:
        """A loss is a difference of two correlations, and less of it is better."""
        if name.startswith("loss_"):
            return Metric(low=-2.0, high=2.0, higher_is_better=False)
        return super().metric(name)

    def cosines(self, first: Numbers, second: Numbers, scoring: Scoring) -> dict[str, Floats]:  # noqa: ARG002 - every embedding has these forms
        """The cosine at each precision; `second` is the index, whose own numbers set the steps of int8."""
        from stsflow.tasks.search.quantised import pairs_in
        from stsflow.tasks.statistics.similarity import pair_similarities

        found = {"float32": pair_similarities(first, second)["cosine"]}
        for precision in dict.fromkeys(self.precisions):
            found[precision] = pair_similarities(*pairs_in(first, second, precision))["cosine"]
        return found

    def changes(self, values: dict[str, Floats]) -> dict[str, Floats]:
        """The losses."""
        whole = values[self.primary]
        return {f"loss_{form}": whole - values[f"spearman_cosine_{form}"] for form in self.forms[1:]}
