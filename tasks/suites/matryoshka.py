"""Embeddings cut to their first numbers (Kusupati et al., Matryoshka Representation Learning, 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from stsflow.tasks.ground.errors import EvaluationFailed, RecipeError
from stsflow.tasks.ground.schema import Dimension
from stsflow.tasks.suites.scored_pairs import ScoredPairsSuite

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.evaluation import SuiteScores
    from stsflow.tasks.records.models import BaseModelRef
    from stsflow.tasks.statistics.correlation import Floats


class MatryoshkaSuite(ScoredPairsSuite):
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
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, largest size first."""
        return tuple(f"{kind}_cosine_{size}" for size in self._sizes for kind in ("pearson", "spearman"))

    @property
    def primary(self) -> str:
        """Spearman's of the largest size."""
        return f"spearman_cosine_{max(self.dimensions)}"

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

    def score(self, scoring: Scoring) -> SuiteScores:
        """Correlations of the cosine at every size; writes `<suite>.parquet` with a column `cosine_<size>` for each.

        Raises EvaluationFailed when a size exceeds the model's.
        """
        import numpy as np

        from stsflow.tasks.evaluation.scoring import clean_rows, read_columns, write_parquet
        from stsflow.tasks.statistics.similarity import pair_similarities

        columns = read_columns(scoring.data)
        gold = np.asarray(columns["score"], dtype=np.float64)
        first, second = scoring.embedder.embed(columns["sentence1"], columns["sentence2"])
        if max(self.dimensions) > first.shape[1]:
            raise EvaluationFailed(
                f"evaluation.suites.{scoring.suite}.dimensions: found {max(self.dimensions)}; embeddings of "
                f"{scoring.model_name} have {first.shape[1]} numbers"
            )
        cosines = {
            f"cosine_{size}": pair_similarities(first[:, :size], second[:, :size])["cosine"] for size in self._sizes
        }
        texts = {"sentence1": columns["sentence1"], "sentence2": columns["sentence2"]}
        write_parquet(scoring.pairs_file, {"row": list(range(len(gold))), **texts, "gold": gold, **cosines})
        clean = clean_rows(scoring.data)
        return scoring.scores(
            self,
            rows=len(gold),
            metrics=_correlations(cosines, gold),
            intervals={} if not scoring.resamples else scoring.intervals(_bootstrapped(cosines, gold, scoring)),
            clean={} if clean is None else _correlations({name: c[clean] for name, c in cosines.items()}, gold[clean]),
            clean_rows=None if clean is None else len(clean),
        )


def _correlations(cosines: dict[str, Floats], gold: Floats) -> dict[str, float]:
    from stsflow.tasks.statistics.similarity import CORRELATIONS

    return {
        f"{kind}_{name}": correlate(column, gold)
        for name, column in cosines.items()
        for kind, correlate in CORRELATIONS.items()
    }


def _bootstrapped(cosines: dict[str, Floats], gold: Floats, scoring: Scoring) -> dict[str, Floats]:
    from stsflow.tasks.statistics.bootstrap import bootstrap_correlations

    values = bootstrap_correlations(gold, cosines, scoring.resamples, scoring.seed)
    return {f"{kind}_{name}": column for kind, columns in values.items() for name, column in columns.items()}
