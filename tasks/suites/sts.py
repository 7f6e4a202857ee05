"""Semantic textual similarity: ten correlations with intervals, clean rows, subsets, slices and per-pair scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from stsflow.tasks.statistics import SIMILARITIES
from stsflow.tasks.suites.scored_pairs import ScoredPairsSuite

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.evaluation import Interval, SuiteScores
    from stsflow.tasks.statistics.correlation import Floats

STS_METRICS = tuple(
    f"{correlation}_{similarity}" for similarity in (*SIMILARITIES, "max") for correlation in ("pearson", "spearman")
)


class StsSuite(ScoredPairsSuite):
    """Semantic textual similarity: correlation of the model's similarities with gold scores (ten metrics)."""

    kind: Literal["sts"] = "sts"
    heading: ClassVar[str] = "Semantic Similarity"
    task_type: ClassVar[str] = "semantic-similarity"
    measured_as: ClassVar[str] = (
        "Evaluated as [EmbeddingSimilarityEvaluator]"
        "(https://sbert.net/docs/package_reference/sentence_transformer/evaluation.html) does: correlations of the "
        "model's similarities with the gold scores"
    )
    looked_at_first: ClassVar[tuple[str, ...]] = ("spearman_cosine", "pearson_cosine")
    chooses_by: ClassVar[str] = "stsflow.tasks.statistics.similarity:sts_while_training"
    measures: ClassVar[frozenset[str]] = frozenset({"embeddings", "scores"})
    subsets_by: str | tuple[str, ...] | None = None
    """Kept columns (see `shape.keep`), such as `genre` or `source`, whose values are scored and compared apart."""

    @model_validator(mode="after")
    def _subsets_are_kept(self) -> Self:
        for column in self.sliced_by:
            if column not in self.shape.keep:
                raise ValueError(f"`subsets_by` names {column!r}, which is not among the columns of `shape.keep`")
        return self

    @property
    def sliced_by(self) -> tuple[str, ...]:
        """The kept columns by whose values rows are told apart."""
        return (self.subsets_by,) if isinstance(self.subsets_by, str) else self.subsets_by or ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Pearson and Spearman of each similarity and of the best one."""
        return STS_METRICS

    @property
    def primary(self) -> str:
        """Spearman's of the cosine."""
        return "spearman_cosine"

    def score(self, scoring: Scoring) -> SuiteScores:
        """Score a model on scored pairs; writes `<suite>.parquet` (one row a pair) and `<suite>.png` (scatter plot)."""
        import numpy as np

        from stsflow.tasks.evaluation.plots import plot_scatter
        from stsflow.tasks.evaluation.scoring import clean_rows, read_columns, write_parquet
        from stsflow.tasks.evaluation.slices import slice_rows
        from stsflow.tasks.statistics.similarity import sts_metrics

        columns = read_columns(scoring.data)
        gold = np.asarray(columns["score"], dtype=np.float64)
        similarities = scoring.similarities(columns["sentence1"], columns["sentence2"])
        metrics = sts_metrics(similarities, gold)
        clean = clean_rows(scoring.data)
        kept = {name: values for name, values in columns.items() if name not in ("sentence1", "sentence2", "score")}
        slices = slice_rows([columns["sentence1"], columns["sentence2"]], gold)
        write_parquet(
            scoring.pairs_file,
            {
                "row": list(range(len(gold))), "sentence1": columns["sentence1"], "sentence2": columns["sentence2"],
                "gold": gold, **similarities, **kept,
            },
        )  # fmt: skip
        title = scoring.title(self)
        plot_scatter(
            gold, similarities["cosine"], scoring.plot_file,
            title=f"{title}: {scoring.model_name}", spearman=metrics["spearman_cosine"],
        )  # fmt: skip
        return scoring.scores(
            self,
            rows=len(gold),
            metrics=metrics,
            intervals=_intervals(similarities, gold, scoring),
            clean={} if clean is None else _of_rows(similarities, gold, clean),
            clean_rows=None if clean is None else len(clean),
            subsets={
                f"{column}:{value}": scores
                for column in self.sliced_by
                for value, scores in _subsets(similarities, gold, columns[column]).items()
            },
            sliced_by=self.sliced_by,
            slices={
                name: {self.primary: _of_rows(similarities, gold, rows)[self.primary], "rows": float(len(rows))}
                for name, rows in slices.items()
            },
            plot=scoring.plot_file,
        )


def _intervals(similarities: Mapping[str, Floats], gold: Floats, scoring: Scoring) -> dict[str, Interval]:
    """Bootstrap interval of each of the ten metrics; none when the recipe asks for no resamples."""
    from stsflow.tasks.statistics.bootstrap import bootstrap_correlations, maximum_over

    if not scoring.resamples:
        return {}
    values = bootstrap_correlations(gold, similarities, scoring.resamples, scoring.seed)
    by_metric = {f"{kind}_{name}": column for kind, columns in values.items() for name, column in columns.items()}
    for kind, columns in values.items():
        by_metric[f"{kind}_max"] = maximum_over([columns[name] for name in SIMILARITIES])
    return scoring.intervals(by_metric)


def _of_rows(similarities: Mapping[str, Floats], gold: Floats, rows: Sequence[int] | Any) -> dict[str, float]:
    """The ten metrics on some rows alone."""
    import numpy as np

    from stsflow.tasks.statistics.similarity import sts_metrics

    chosen = np.asarray(rows, dtype=np.intp)
    return sts_metrics({name: values[chosen] for name, values in similarities.items()}, gold[chosen])


def _subsets(similarities: Mapping[str, Floats], gold: Floats, values: Sequence[object]) -> dict[str, dict[str, float]]:
    import numpy as np

    labels = np.array([str(value) for value in values])
    rows = {str(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    return {
        label: {**_of_rows(similarities, gold, chosen), "rows": float(len(chosen))} for label, chosen in rows.items()
    }
