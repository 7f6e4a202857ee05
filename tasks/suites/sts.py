"""Scoring of semantic textual similarity: ten metrics with intervals, clean rows, subsets, slices, per-pair scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stsflow.tasks.evaluation.plots import plot_scatter
from stsflow.tasks.evaluation.scoring import Scoring, clean_rows, read_columns, write_parquet
from stsflow.tasks.evaluation.slices import slice_rows
from stsflow.tasks.records.evaluation import Interval, SuiteScores
from stsflow.tasks.statistics.bootstrap import bootstrap_correlations, maximum_over
from stsflow.tasks.statistics.correlation import Floats
from stsflow.tasks.statistics.similarity import SIMILARITIES, pair_similarities, sts_metrics
from stsflow.tasks.suites import StsSuite


def score_sts(suite: StsSuite, scoring: Scoring) -> SuiteScores:
    """Score a model on scored pairs; writes `<suite>.parquet` (one row a pair) and `<suite>.png` (scatter plot)."""
    columns = read_columns(scoring.data)
    gold = np.asarray(columns["score"], dtype=np.float64)
    similarities = pair_similarities(*scoring.embedder.embed(columns["sentence1"], columns["sentence2"]))
    metrics = sts_metrics(similarities, gold)
    clean = clean_rows(scoring.data)
    kept = {name: values for name, values in columns.items() if name not in ("sentence1", "sentence2", "score")}
    slices = slice_rows(columns["sentence1"], columns["sentence2"], gold)
    write_parquet(
        scoring.pairs_file,
        {
            "row": list(range(len(gold))), "sentence1": columns["sentence1"], "sentence2": columns["sentence2"],
            "gold": gold, **similarities, **kept,
        },
    )  # fmt: skip
    title = suite.title or scoring.data.title
    plot_scatter(
        gold, similarities["cosine"], scoring.plot_file,
        title=f"{title}: {scoring.model_name}", spearman=metrics["spearman_cosine"],
    )  # fmt: skip
    return SuiteScores(
        suite=scoring.suite,
        kind=suite.kind,
        title=title,
        split=suite.split or scoring.suite,
        rows=len(gold),
        data_digest=scoring.data.digest,
        model_digest=scoring.model_digest,
        primary=suite.primary,
        metrics=metrics,
        intervals=sts_intervals(similarities, gold, scoring),
        clean={} if clean is None else metrics_of_rows(similarities, gold, clean),
        clean_rows=None if clean is None else len(clean),
        subsets={} if suite.subsets_by is None else _subsets(similarities, gold, columns[suite.subsets_by]),
        slices={
            name: {suite.primary: metrics_of_rows(similarities, gold, rows)[suite.primary], "rows": float(len(rows))}
            for name, rows in slices.items()
        },
        pairs=scoring.pairs_file,
        plot=scoring.plot_file,
    )


def sts_intervals(similarities: Mapping[str, Floats], gold: Floats, scoring: Scoring) -> dict[str, Interval]:
    """Bootstrap interval of each of the ten metrics; none when the recipe asks for no resamples."""
    if not scoring.resamples:
        return {}
    values = bootstrap_correlations(gold, similarities, scoring.resamples, scoring.seed)
    by_metric = {f"{kind}_{name}": column for kind, columns in values.items() for name, column in columns.items()}
    for kind, columns in values.items():
        by_metric[f"{kind}_max"] = maximum_over([columns[name] for name in SIMILARITIES])
    return scoring.intervals(by_metric)


def metrics_of_rows(
    similarities: Mapping[str, Floats], gold: Floats, rows: Sequence[int] | np.ndarray
) -> dict[str, float]:
    """The ten metrics on some rows alone."""
    chosen = np.asarray(rows, dtype=np.intp)
    return sts_metrics({name: values[chosen] for name, values in similarities.items()}, gold[chosen])


def _subsets(similarities: Mapping[str, Floats], gold: Floats, values: Sequence[object]) -> dict[str, dict[str, float]]:
    labels = np.array([str(value) for value in values])
    rows = {str(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    return {
        label: {**metrics_of_rows(similarities, gold, chosen), "rows": float(len(chosen))}
        for label, chosen in rows.items()
    }
