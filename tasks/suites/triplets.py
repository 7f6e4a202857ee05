"""Scoring of triplets: is the positive closer to the anchor than the negative?"""

from __future__ import annotations

import numpy as np

from stsflow.tasks.evaluation.scoring import Scoring, clean_rows, read_columns, write_parquet
from stsflow.tasks.records.evaluation import SuiteScores
from stsflow.tasks.statistics.similarity import pair_similarities
from stsflow.tasks.suites import TripletSuite


def score_triplets(suite: TripletSuite, scoring: Scoring) -> SuiteScores:
    """Accuracy under each similarity; writes `<suite>.parquet` with 0 or 1 a row in the column of each metric.

    A tie counts as wrong: a model that maps every text to one point gets 0, not a half. Anchors are read as queries,
    the others as documents, where a model tells them apart.
    """
    columns = read_columns(scoring.data)
    (anchors,) = scoring.embedder.embed(columns["anchor"], side="query")
    positives, negatives = scoring.embedder.embed(columns["positive"], columns["negative"], side="document")
    near, far = pair_similarities(anchors, positives), pair_similarities(anchors, negatives)
    correct = {f"accuracy_{name}": (near[name] > far[name]).astype(np.float64) for name in near}
    rows = len(columns["anchor"])
    texts = {name: columns[name] for name in ("anchor", "positive", "negative")}
    margin = near["cosine"] - far["cosine"]
    write_parquet(scoring.pairs_file, {"row": list(range(rows)), **texts, **correct, "margin_cosine": margin})
    clean = clean_rows(scoring.data)
    return SuiteScores(
        suite=scoring.suite,
        kind=suite.kind,
        title=suite.title or scoring.data.title,
        split=suite.split or scoring.suite,
        rows=rows,
        data_digest=scoring.data.digest,
        model_digest=scoring.model_digest,
        primary=suite.primary,
        metrics={name: float(values.mean()) for name, values in correct.items()},
        intervals=scoring.mean_intervals(correct),
        clean={} if not clean else {name: float(values[clean].mean()) for name, values in correct.items()},
        clean_rows=None if clean is None else len(clean),
        pairs=scoring.pairs_file,
    )
