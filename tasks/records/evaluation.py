"""Scores, their intervals, and comparisons."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.ground.schema import Record


class Interval(Record):
    """A bootstrap percentile interval."""

    low: float
    high: float
    confidence: float
    resamples: int


class Reference(Record):
    """What is no model and was scored on the same rows, such as BM25."""

    name: str
    metrics: dict[str, float]
    pairs: Path
    """Parquet file of its per-row values."""


class SuiteScores(Record):
    """One model on one suite."""

    suite: str
    kind: str
    title: str
    split: str
    rows: int
    data_digest: str
    model_digest: str
    primary: str
    """Name of the primary metric."""
    metrics: dict[str, float]
    """Raw values, such as correlations in -1..1."""
    intervals: dict[str, Interval] = {}
    """By metric."""
    clean: dict[str, float] = {}
    """The same metrics on the rows that share nothing with training."""
    clean_rows: int | None = None
    subsets: dict[str, dict[str, float]] = {}
    """Metrics by value of the subset columns, such as `genre:news`, `rows` among them."""
    slices: dict[str, dict[str, float]] = {}
    """Primary metric and `rows` by slice of length, score band, overlap and script, such as `length:long`."""
    sliced_by: tuple[str, ...] = ()
    """Columns of `pairs` by whose values rows are told apart as well."""
    reference: Reference | None = None
    """For comparison, where the suite has one."""
    pairs: Path | None = None
    """Parquet file: row, sentence1, sentence2, gold, cosine, manhattan, euclidean, dot."""
    plot: Path | None = None
    """Scatter plot of gold against predicted (PNG)."""


class Latency(Record):
    """What one text alone takes, on the machine and device of the evaluation; medians over texts, in milliseconds."""

    milliseconds: float
    """What rules look at: the best block's wall time, or on a CPU the processor time where that is less."""
    wall_best: float
    wall_worst: float
    """Wall time of the slowest block: far from the best one on a machine that had other work."""
    processor: float
    """Processor time of all threads together, of the best block."""
    blocks: int
    """Times that the texts were encoded."""
    texts: int


class EvaluationReport(Record):
    """One model on all suites of a recipe."""

    model: str
    """`base` or `tuned`, or the model's name in `stsflow evaluate`."""
    model_path: Path
    model_digest: str
    suites: dict[str, SuiteScores]
    seconds: float
    model_bytes: int = 0
    """Size of the model folder's files."""
    latency_milliseconds: float | None = None
    """To encode one text alone, on the machine and device of the evaluation (see `latency`)."""
    latency: Latency | None = None
    """How that was measured; reports of earlier releases do not say."""
    max_seq_length: int | None = None
    """Tokens at which the model cut the texts; reports of earlier releases do not say."""
    reused: bool = False


class SliceDifference(Record):
    """Second minus first on one slice of the rows."""

    name: str
    """Such as `length:long` or `genre:news`."""
    rows: int
    difference: float
    low: float
    high: float
    """The intervals of all slices hold together with the confidence that they state."""
    p_value: float
    """Corrected for the number of slices."""


class SliceDifferences(Record):
    """Second minus first on every slice that has rows enough."""

    items: tuple[SliceDifference, ...]
    confidence: float
    """That all intervals together hold the truth."""
    too_small: int
    """Slices with fewer than `fewest_rows`, which were not compared."""
    fewest_rows: int


class MovedRow(Record):
    """One row of a suite, before and after."""

    row: int
    texts: tuple[str, ...]
    gold: float | None
    before: float
    after: float
    """How right the model is on it: for a correlation minus the distance of its rank from the gold score's, as a share
    of all ranks; else the row's own value."""

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


class MovedRows(Record):
    """The rows of a suite that moved most."""

    columns: tuple[str, ...]
    """What the texts of a row are called."""
    better: tuple[MovedRow, ...]
    worse: tuple[MovedRow, ...]


class Difference(Record):
    """A paired comparison of two models on the same rows: second minus first."""

    suite: str
    metric: str
    first: str
    second: str
    rows: int
    difference: float
    interval: Interval | None
    error: float | None = None
    """Standard error of the difference, by the bootstrap; records of earlier releases do not say."""
    skewness: float = 0.0
    """Of the difference's own distribution, by the bootstrap."""
    p_value: float | None
    """Two-sided, by permutation of the models within each row."""
    rows_needed: int | None
    """Rows at which a difference of this size would be told from zero with 80 % power; None when it is zero."""
    slices: SliceDifferences | None = None
    """By slice, of the suite's primary metric."""


class Differences(Record):
    """Paired differences of base and tuned model, as the run's folder keeps them."""

    items: tuple[Difference, ...]


class RecipeDifference(Record):
    """Two recipes, or a recipe and one model, on the same rows: second minus first, each by the mean over its seeds."""

    suite: str
    metric: str
    first: str
    second: str
    rows: int
    seeds: tuple[int, int]
    """Of first and second; 1 is a single model, of which nothing is claimed beyond itself."""
    means: tuple[float, float]
    deviations: tuple[float | None, float | None]
    """Standard deviation over the seeds (n - 1); None for a single model."""
    difference: float
    interval: Interval | None
    """Over seeds and rows; None where no resamples were asked for or the metric does not follow from single rows."""
    row_error: float | None = None
    """Standard error that would be left of the difference with seeds without number."""
    seeds_needed: int | None = None
    """Seeds of each recipe at which a difference of this size would be told from zero with 80 % power on these rows;
    None where no number of them would do."""


class SeedSummary(Record):
    """Scores of the same recipe under several seeds, of which the best one is the model of the card."""

    suite: str
    metric: str
    scores: dict[int, float]
    """By seed."""
    chosen: int
    """Seed of the model that the card describes."""
    claims: tuple[RecipeDifference, ...] = ()
    """The recipe against its base model, by the primary metric of each suite."""


class Study(Record):
    """Runs of one recipe that differ in their seed alone."""

    name: str
    recipe_name: str
    mlflow_run_id: str
    """The parent run."""
    runs: dict[int, str]
    """By seed, the name of the run's folder."""
