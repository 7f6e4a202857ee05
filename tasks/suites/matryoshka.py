"""Scoring of embeddings cut to their first numbers (Kusupati et al., Matryoshka Representation Learning, 2022)."""

from __future__ import annotations

import numpy as np

from stsflow.tasks.evaluation.scoring import Scoring, clean_rows, read_columns, write_parquet
from stsflow.tasks.ground.errors import EvaluationFailed
from stsflow.tasks.records.evaluation import SuiteScores
from stsflow.tasks.statistics.bootstrap import bootstrap_correlations
from stsflow.tasks.statistics.correlation import Floats
from stsflow.tasks.statistics.similarity import CORRELATIONS, pair_similarities
from stsflow.tasks.suites import MatryoshkaSuite


def score_matryoshka(suite: MatryoshkaSuite, scoring: Scoring) -> SuiteScores:
    """Correlations of the cosine at every size; writes `<suite>.parquet` with a column `cosine_<size>` for each.

    Raises EvaluationFailed when a size exceeds the model's.
    """
    columns = read_columns(scoring.data)
    gold = np.asarray(columns["score"], dtype=np.float64)
    first, second = scoring.embedder.embed(columns["sentence1"], columns["sentence2"])
    if max(suite.dimensions) > first.shape[1]:
        raise EvaluationFailed(
            f"evaluation.suites.{scoring.suite}.dimensions: found {max(suite.dimensions)}; embeddings of "
            f"{scoring.model_name} have {first.shape[1]} numbers"
        )
    cosines = {
        f"cosine_{size}": pair_similarities(first[:, :size], second[:, :size])["cosine"]
        for size in sorted(set(suite.dimensions), reverse=True)
    }
    texts = {"sentence1": columns["sentence1"], "sentence2": columns["sentence2"]}
    write_parquet(scoring.pairs_file, {"row": list(range(len(gold))), **texts, "gold": gold, **cosines})
    clean = clean_rows(scoring.data)
    return SuiteScores(
        suite=scoring.suite,
        kind=suite.kind,
        title=suite.title or scoring.data.title,
        split=suite.split or scoring.suite,
        rows=len(gold),
        data_digest=scoring.data.digest,
        model_digest=scoring.model_digest,
        primary=suite.primary,
        metrics=_correlations(cosines, gold),
        intervals={} if not scoring.resamples else scoring.intervals(_bootstrapped(cosines, gold, scoring)),
        clean={} if clean is None else _correlations({name: c[clean] for name, c in cosines.items()}, gold[clean]),
        clean_rows=None if clean is None else len(clean),
        pairs=scoring.pairs_file,
    )


def _correlations(cosines: dict[str, Floats], gold: Floats) -> dict[str, float]:
    return {
        f"{kind}_{name}": correlate(column, gold)
        for name, column in cosines.items()
        for kind, correlate in CORRELATIONS.items()
    }


def _bootstrapped(cosines: dict[str, Floats], gold: Floats, scoring: Scoring) -> dict[str, Floats]:
    values = bootstrap_correlations(gold, cosines, scoring.resamples, scoring.seed)
    return {f"{kind}_{name}": column for kind, columns in values.items() for name, column in columns.items()}
