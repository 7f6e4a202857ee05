"""Embeddings cut to their first numbers (Kusupati et al., Matryoshka Representation Learning, 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from stsflow.tasks.ground.errors import EvaluationFailed, RecipeError
from stsflow.tasks.ground.schema import Dimension
from stsflow.tasks.suites.cosines import SuiteOfCosines

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.models import BaseModelRef
    from stsflow.tasks.search.quantised import Numbers
    from stsflow.tasks.statistics.correlation import Floats


class MatryoshkaSuite(SuiteOfCosines):
    """Semantic textual similarity with embeddings cut to their first numbers: what a smaller index would cost.

    Metrics are `pearson_cosine_<size>` and `spearman_cosine_<size>`; the largest size gives the primary one.
    """

    kind: Literal["matryoshka"] = "matryoshka"
    heading: ClassVar[str] = "Semantic Similarity by Embedding Size"
    task_type: ClassVar[str] = "semantic-similarity"
    chooses_by: ClassVar[str] = "stsflow.tasks.statistics.similarity:cut_while_training"
    dimensions: tuple[Dimension, ...] = Field(min_length=1, max_length=64)
    """Sizes to cut embeddings to; none may exceed the model's own."""

    @property
    def forms(self) -> tuple[str, ...]:
        """The sizes, largest first."""
        return tuple(map(str, self._sizes))

    @property
    def chooses_with(self) -> dict[str, JsonValue]:
        """The sizes that are asked for."""
        return {"sizes": list(self._sizes)}

    @property
    def _sizes(self) -> list[int]:
        return sorted(set(self.dimensions), reverse=True)

    def require(self, where: str, base: BaseModelRef) -> None:
        """RecipeError for a size beyond the model's own."""
        if max(self.dimensions) > base.dimension:
            raise RecipeError(
                f"{where}.dimensions: found {max(self.dimensions)}; embeddings of {base.name} have "
                f"{base.dimension} numbers"
            )

    def cosines(self, first: Numbers, second: Numbers, scoring: Scoring) -> dict[str, Floats]:
        """The cosine at every size; EvaluationFailed when one exceeds the model's."""
        from stsflow.tasks.statistics.similarity import pair_similarities

        if max(self.dimensions) > first.shape[1]:
            raise EvaluationFailed(
                f"evaluation.suites.{scoring.suite}.dimensions: found {max(self.dimensions)}; embeddings of "
                f"{scoring.model_name} have {first.shape[1]} numbers"
            )
        return {str(size): pair_similarities(first[:, :size], second[:, :size])["cosine"] for size in self._sizes}
