"""What suites have in common that hold several cosines of the same pairs against the gold scores."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from stsflow.tasks.suites.scored_pairs import ScoredPairsSuite

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.evaluation import SuiteScores
    from stsflow.tasks.search.quantised import Numbers
    from stsflow.tasks.statistics.correlation import Floats

CORRELATION_NAMES = ("pearson", "spearman")


class SuiteOfCosines(ScoredPairsSuite):
    """Semantic textual similarity by one cosine for each of several forms of an embedding.

    Metrics are `pearson_cosine_<form>` and `spearman_cosine_<form>`.
    """

    @property
    @abstractmethod
    def forms(self) -> tuple[str, ...]:
        """Their names; the first gives the primary metric."""

    @abstractmethod
    def cosines(self, first: Numbers, second: Numbers, scoring: Scoring) -> dict[str, Floats]:
        """Cosines of the embeddings of pairs, (rows, dimension) each, by form. Raises EvaluationFailed where the model
        has no such form."""

    def changes(self, values: dict[str, Floats]) -> dict[str, Floats]:  # noqa: ARG002 - for kinds that have some
        """Metrics that are differences of others, from these: a value, or one for each resample."""
        return {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Both correlations of each form."""
        return tuple(f"{kind}_cosine_{form}" for form in self.forms for kind in CORRELATION_NAMES)

    @property
    def primary(self) -> str:
        """Spearman's of the first form."""
        return f"spearman_cosine_{self.forms[0]}"

    def score(self, scoring: Scoring) -> SuiteScores:
        """Correlations of every cosine; writes `<suite>.parquet` with a column `cosine_<form>` for each."""
        import numpy as np

        from stsflow.tasks.evaluation.scoring import clean_rows, read_columns, write_parquet
        from stsflow.tasks.statistics.bootstrap import bootstrap_correlations

        columns = read_columns(scoring.data)
        gold = np.asarray(columns["score"], dtype=np.float64)
        first, second = scoring.embedder.embed(columns["sentence1"], columns["sentence2"])
        cosines = {f"cosine_{form}": values for form, values in self.cosines(first, second, scoring).items()}
        texts = {"sentence1": columns["sentence1"], "sentence2": columns["sentence2"]}
        write_parquet(scoring.pairs_file, {"row": list(range(len(gold))), **texts, "gold": gold, **cosines})
        intervals = {}
        if scoring.resamples:
            resampled = bootstrap_correlations(gold, cosines, scoring.resamples, scoring.seed)
            values = {f"{kind}_{name}": column for kind, named in resampled.items() for name, column in named.items()}
            intervals = scoring.intervals(values | self.changes(values))
        clean = clean_rows(scoring.data)
        return scoring.scores(
            self,
            rows=len(gold),
            metrics=self._metrics_of(cosines, gold),
            intervals=intervals,
            clean={}
            if clean is None
            else self._metrics_of({name: values[clean] for name, values in cosines.items()}, gold[clean]),
            clean_rows=None if clean is None else len(clean),
        )

    def _metrics_of(self, cosines: dict[str, Floats], gold: Floats) -> dict[str, float]:
        import numpy as np

        from stsflow.tasks.statistics.similarity import CORRELATIONS

        found = {
            f"{kind}_{name}": np.asarray(CORRELATIONS[kind](column, gold))
            for name, column in cosines.items()
            for kind in CORRELATION_NAMES
        }
        return {name: float(value) for name, value in (found | self.changes(found)).items()}
