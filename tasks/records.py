"""What stages hand on: small, frozen, JSON-safe. Large things stay on disk; a record carries their path and digest."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from tasks.lever import LeverState
from tasks.schema import Record

# ---------------------------------------------------------------------------------------------------- findings


class Finding(Record):
    """Something that a check found, with what to do about it."""

    severity: Literal["info", "warning", "error"]
    """`error`: the run is refused. `warning`: it goes on, and the card says so."""
    code: str
    """Stable short name, such as `exposure.low` or `leakage.shared_sentences`."""
    subject: str
    """What it is about: a data set, a suite, a field of the recipe."""
    message: str
    """One sentence with the numbers."""
    remedy: str = ""
    """What to change; empty when there is nothing to do."""
    numbers: dict[str, float] = {}
    """The numbers of the message, by name."""

    def in_words(self) -> str:
        """What it is about, where the message does not say so itself, then message and remedy."""
        about = "" if self.subject in self.message else f"{self.subject}: "
        return f"{about}{self.message} {self.remedy}".strip()


# -------------------------------------------------------------------------------------------------------- data


class FileRef(Record):
    """A file that rows were read from, and what identifies its bytes."""

    uri: str
    """As the recipe named it, or its URL; credentials removed."""
    path: Path
    """Where it lies now."""
    bytes: int
    sha256: str
    git_blob: str


class SourceRef(Record):
    """Where a data set came from."""

    kind: Literal["files", "hub", "synthetic"]
    name: str
    """Hub id, first file name, or `synthetic`."""
    uri: str
    """An address that a reader can follow, or a description."""
    revision: str
    """Commit of a hub data set; otherwise the digest of the files."""
    files: tuple[FileRef, ...] = ()


class RowCounts(Record):
    """What became of the rows: read = shaped from + dropped, for each reason."""

    read: int
    """Raw rows in the source."""
    dropped: dict[str, int] = {}
    """Raw rows that were left out, by reason (`empty`, `duplicate`, …)."""
    kept: int
    """Shaped rows in the prepared set."""
    notes: dict[str, int] = {}
    """Other counts that explain `kept`, such as `sentences_without_contradiction` or `over_limit`."""


class PreparedSet(Record):
    """One data set, shaped and on disk as an Arrow folder (`datasets.load_from_disk` reads it)."""

    name: str
    """Its key in the recipe."""
    role: Literal["train", "evaluation"]
    shape: str
    """Kind of shape: nli_triplets, triplets, pairs, scored_pairs."""
    title: str
    """Name for people: the recipe's title, or the key."""
    path: Path
    """Arrow folder."""
    columns: tuple[str, ...]
    """Columns on disk, in order; see tasks/data/shapes.py."""
    digest: str
    """SHA-256 over columns and rows in order: the content, however it is stored."""
    rows: int
    counts: RowCounts
    source: SourceRef
    split: str = ""
    language: tuple[str, ...] = ()
    license: str = ""
    clean_rows: Path | None = None
    """Evaluation sets: JSON list of the rows (numbers from 0) that share nothing with any training set."""


class OverlapLevels(Record):
    """What two sets share, in each sense of equality that was measured."""

    exact: OverlapCounts
    """Texts compared after strip."""
    normalised: OverlapCounts | None = None
    """Texts compared after NFKC, case folding and removal of punctuation and spacing."""
    near: OverlapCounts | None = None
    """Texts whose character n-grams nearly agree; None when not looked for."""

    @property
    def widest(self) -> tuple[str, OverlapCounts]:
        """The widest sense of equality that was measured, in words, and its counts; it includes the narrower ones."""
        if self.near is not None:
            return "equal or nearly equal", self.near
        if self.normalised is not None:
            return "equal after normalisation", self.normalised
        return "equal", self.exact

    @property
    def equal(self) -> OverlapCounts:
        """The counts of equal texts: after normalisation where that was measured, else exactly."""
        return self.normalised or self.exact


class Overlap(OverlapLevels):
    """What one training set and one evaluation set share."""

    train: str
    evaluation: str


class SuiteOverlap(OverlapLevels):
    """What two evaluation sets share, counted from the side of the second."""

    first: str
    second: str


class OverlapCounts(Record):
    """Counts of an overlap, from the side of the evaluation set."""

    pairs: int
    """Distinct unordered evaluation pairs that are also a training pair."""
    sentences: int
    """Distinct evaluation sentences that occur in training."""
    rows: int
    """Evaluation rows of which at least one side occurs in training."""
    of_rows: int
    """Evaluation rows in all."""


class PreparedData(Record):
    """All data sets of a run."""

    fingerprint: str
    """Of everything that determines the rows."""
    train: tuple[PreparedSet, ...]
    evaluation: tuple[PreparedSet, ...]
    overlaps: tuple[Overlap, ...] = ()
    suite_overlaps: tuple[SuiteOverlap, ...] = ()
    """Ordered pairs of evaluation sets that share a sentence."""
    findings: tuple[Finding, ...] = ()

    def training_set(self, name: str) -> PreparedSet:
        """The training set called `name`."""
        return next(item for item in self.train if item.name == name)

    def evaluation_set(self, name: str) -> PreparedSet:
        """The evaluation set called `name`."""
        return next(item for item in self.evaluation if item.name == name)


# ------------------------------------------------------------------------------------------------------ models


class BaseModelRef(Record):
    """A base model on the local disk."""

    name: str
    """For people and the card: a hub id where there is one."""
    kind: Literal["hub", "directory", "package"]
    path: Path
    """Folder to load from, without the network."""
    revision: str
    """Commit, package version, or content digest."""
    digest: str
    """SHA-256 over the folder's files."""
    weights_sha256: str
    """SHA-256 of model.safetensors (of the index and its parts, when sharded)."""
    architecture: str
    """`model_type` of its config.json."""
    parameters: int
    """Weights in the safetensors headers."""
    dimension: int
    """Size of an embedding."""
    position_limit: int | None
    """Longest input that the architecture can take, in tokens; None when it has no limit."""
    max_seq_length: int
    """Longest input in tokens in this run: the recipe's, else the model's own."""
    pooling: str
    """`keep`, or the fresh pooling that the recipe asked for."""
    trust_remote_code: bool = False
    language: tuple[str, ...] = ()
    license: str = ""


# ------------------------------------------------------------------------------------------------------ tokens


class LengthStatistics(Record):
    """Token counts of one column, special tokens included, before any cut, over every row."""

    rows: int
    distinct: int
    """Distinct texts."""
    minimum: int
    mean: float
    median: float
    p95: float
    p99: float
    maximum: int
    tokens: int
    """Sum over all rows."""
    truncated_rows: int
    """Rows longer than max_seq_length."""
    truncated_share: float
    unknown_tokens: int
    unknown_share: float
    """Unknown tokens among all tokens without the special ones."""
    histogram: dict[int, int]
    """Rows by token count."""


class SetTokens(Record):
    """Token statistics of one data set."""

    name: str
    role: Literal["train", "evaluation"]
    columns: dict[str, LengthStatistics]
    """By text column."""
    padding_share: float
    """Share of padding in the tokens of random batches of the run's batch size, expected, all columns."""
    batch_size: int


class TokenReport(Record):
    """Token statistics of all data sets under the base model's tokenizer."""

    fingerprint: str
    tokenizer: str
    """Class or name of the tokenizer."""
    vocabulary: int
    max_seq_length: int
    sets: tuple[SetTokens, ...]
    findings: tuple[Finding, ...] = ()


# ------------------------------------------------------------------------------------------------ plan, exposure


class Exposure(Record):
    """What the model sees of one training set."""

    name: str
    rows: int
    batches: int
    """Batches over the whole run, all processes together."""
    batches_per_epoch: int
    rows_seen: int
    """Rows fed in the whole run, repeats counted each time."""
    rows_seen_per_epoch: int
    unique_rows_seen: int
    """Distinct rows fed in the whole run."""
    repeats: int
    """rows_seen - unique_rows_seen."""
    seen_share: float
    """unique_rows_seen / rows."""
    seen_share_per_epoch: float
    """rows_seen_per_epoch / rows."""
    left_out_by_sampler: int
    """Rows that the sampler itself does not give in an epoch (incomplete or duplicate-bound last batches)."""
    batch_size: int
    """Rows in a batch on one device."""
    effective_batch_size: int
    """Rows in an optimiser step: batch size x processes x accumulation."""
    in_batch_negatives: float
    """Mean number of negatives that an anchor meets; 0 for losses without them."""


class PlanReport(Record):
    """What a recipe will do, worked out before the trainer starts."""

    steps: int
    """Optimiser steps of the run."""
    steps_per_epoch: int
    epochs: float
    exposure: tuple[Exposure, ...]
    ends_with: str
    """Why an epoch ends, in words."""
    findings: tuple[Finding, ...] = ()
    """Problems first, each with its remedy."""
    forecast: Forecast | None = None


SUFFICES_CUT_SHARE = 0.01
"""A length suffices that cuts no larger share of the training texts."""


class Forecast(Record):
    """Time and memory of the run, from a short real probe."""

    probe_steps: int
    train_seconds: float
    train_seconds_low: float
    train_seconds_high: float
    evaluation_seconds: float | None = None
    """Encoding for base and tuned model on every suite that has rows here, and for the looks during the training."""
    whole_seconds: float | None = None
    """Training, evaluations, and the start of the processes; without downloads, resampling and the records."""
    cpu_seconds: float
    peak_memory_bytes: int
    memory_limit_bytes: int
    padding_share: float
    suggested_max_seq_length: int
    suggested_cut_share: float
    """Share of texts that the suggested length would cut."""
    suggested_batch_size: int | None = None
    cost: float | None = None
    currency: str = ""

    @property
    def length_suffices(self) -> bool:
        """Whether the suggested length cuts next to nothing; it is never above the run's own."""
        return self.suggested_cut_share <= SUFFICES_CUT_SHARE


# ---------------------------------------------------------------------------------------------------- training


class LogRow(Record):
    """One row of the card's training log."""

    epoch: float
    step: int
    loss: float | None = None
    """Mean training loss since the row before."""
    metric: float | None = None
    """Choosing metric at this step."""


class TrainedModel(Record):
    """A finished training."""

    fingerprint: str
    folder: Path
    """The training's folder (see workspace.TrainingFolder)."""
    model: Path
    """The model folder."""
    model_digest: str
    """SHA-256 over the model folder (README.md left out: the card is written later)."""
    weights_sha256: str
    steps: int
    """Optimiser steps that were done."""
    epochs: float
    best_step: int | None
    """Step of the chosen checkpoint; None when the last one was kept without choice."""
    best_metric: float | None
    choose_metric: str
    """Full name of the choosing metric, such as `sts-dev_spearman_cosine`; empty without choice."""
    train_loss: float
    """Mean over all steps."""
    train_seconds: float
    """Wall time in the loop, over all attempts."""
    cpu_seconds: float
    peak_memory_bytes: int
    """Resident memory of the trainer at its peak; GPU memory is in `hardware`."""
    log: tuple[LogRow, ...]
    exposure: tuple[Exposure, ...] = ()
    """Counted from the batches that were fed."""
    levers: tuple[LeverState, ...] = ()
    hyperparameters: dict[str, object] = {}
    """Every argument of the trainer as it ran."""
    non_default: tuple[str, ...] = ()
    """Names among `hyperparameters` that differ from the library's default."""
    losses: dict[str, dict[str, object]] = {}
    """By data set: class name (`name`), parameters (`parameters`), citation (`citation`)."""
    widget: tuple[tuple[str, ...], ...] = ()
    """Sentences from the data for the card's widget: source first, then others."""
    architecture: str = ""
    """`print(model)` of the finished model."""
    dimension: int = 0
    max_seq_length: int = 0
    similarity: str = "cosine"
    environment: dict[str, str] = {}
    """Versions and hardware (see environment.py)."""
    attempts: int = 1
    """Trainer processes that it took; more than one after a resume."""
    resumed_from: tuple[int, ...] = ()
    """Steps at which later attempts began."""
    stopped_early: bool = False
    findings: tuple[Finding, ...] = ()
    reused: bool = False
    """Found finished; nothing was trained in this run."""


# -------------------------------------------------------------------------------------------------- evaluation


class Interval(Record):
    """A bootstrap percentile interval."""

    low: float
    high: float
    confidence: float
    resamples: int


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
    """Metrics by value of the subset column, `rows` among them."""
    slices: dict[str, dict[str, float]] = {}
    """Primary metric and `rows` by slice of length, score band and overlap, such as `length:long`."""
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


class Difference(Record):
    """A paired comparison of two models on the same rows: second minus first."""

    suite: str
    metric: str
    first: str
    second: str
    rows: int
    difference: float
    interval: Interval | None
    p_value: float | None
    """Two-sided, by permutation of the models within each row."""
    rows_needed: int | None
    """Rows at which a difference of this size would be told from zero with 80 % power; None when it is zero."""


# ------------------------------------------------------------------------------------------- card, release, run


class SeedSummary(Record):
    """Scores of the same recipe under several seeds, of which the best one is the model of the card."""

    suite: str
    metric: str
    scores: dict[int, float]
    """By seed."""
    chosen: int
    """Seed of the model that the card describes."""


class CardRef(Record):
    """A written card."""

    path: Path
    """README.md in the run's card folder; a copy lies in the model folder."""
    facts: Path | None = None
    """facts.json: where every number of the card comes from."""
    figures: tuple[Path, ...] = ()
    sha256: str = ""

    def body(self) -> str:
        """The card without its YAML header, for places that show markdown and would show the header as text."""
        text = self.path.read_text(encoding="utf-8")
        return text.partition("\n---\n")[2].lstrip() if text.startswith("---\n") else text


class RuleOutcome(Record):
    """What one promotion rule says."""

    rule: str
    holds: bool
    reason: str
    numbers: dict[str, float] = {}


class Release(Record):
    """What happened to the model after the card was written."""

    registered_as: str | None = None
    version: str | None = None
    promoted: bool = False
    previous: str | None = None
    """Version that was champion before, when this one took its place."""
    outcomes: tuple[RuleOutcome, ...] = ()
    reason: str = ""
    """One sentence: why it was or was not promoted."""
    exports: dict[str, Path] = {}


class RunRef(Record):
    """Where a run is recorded."""

    name: str
    """Folder name of the run."""
    folder: Path
    recipe_name: str
    recipe_sha256: str
    """Of the resolved recipe."""
    mlflow_run_id: str
    experiment_id: str
    tracking_uri: str
    """Credentials removed."""
    flow_run_id: str = ""
    attempt: int = 1


class RunState(Record):
    """The file run.json: who works on the run, and how it ended."""

    name: str
    recipe_name: str
    recipe_sha256: str
    status: Literal["running", "finished", "failed", "cancelled", "crashed"]
    mlflow_run_id: str
    experiment_id: str
    tracking_uri: str
    flow_run_ids: tuple[str, ...] = ()
    process_id: int
    process_started: float
    """Creation time of that process: a number is used again after a reboot, the pair is not."""
    host: str
    attempt: int = 1
    started: datetime
    ended: datetime | None = None
    reason: str = ""
    training: str | None = None
    """Fingerprint of its training, once known."""
    relayed: int = 0
    """Sequence number of the last event that MLflow has."""
