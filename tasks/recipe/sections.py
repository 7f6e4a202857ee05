"""The whole recipe, typed. A default lives here, next to its type and its meaning, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from stsflow.tasks.ground.family import kinds_of_other_packages
from stsflow.tasks.ground.names import (
    LONGEST_TAG_VALUE,
    Currency,
    ExperimentName,
    Language,
    Licence,
    ModelName,
    Place,
    TagName,
    Word,
)
from stsflow.tasks.ground.schema import LARGEST_SEED, MOST_ROWS, Dimension, Section, Slug
from stsflow.tasks.losses import Loss
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.records.prompts import SuitePrompts
from stsflow.tasks.rules import NotWorse, Rule
from stsflow.tasks.shapes import Roles, Shape
from stsflow.tasks.sources import Source
from stsflow.tasks.suites import Suite

kinds_of_other_packages()  # before the sections below, whose fields take the kinds that are known by then

Policy = Literal["report", "drop", "refuse"]

# Bounds of the numbers below: beyond them a value is a slip of the pen, and would be found out after hours of work.
MOST_EPOCHS = 1_000
MOST_STEPS = 10_000_000
MOST_ROWS_OF_A_BATCH = 1_000_000
MOST_THREADS = 1_024
A_YEAR_IN_SECONDS = 31_536_000
MOST_NEGATIVES = 64
MOST_CANDIDATES = 10_000


class TrainingSet(Section):
    """One training data set: where its rows come from and what they become."""

    source: Source
    """Where the rows come from."""
    shape: Shape
    """What the rows become."""
    limit: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    """Keep this many shaped rows, the first ones; default: all."""
    title: str = ""
    """Name for the card; default: the data set's key in the recipe."""
    language: tuple[Language, ...] = ()
    """Language codes of the texts."""
    license: Licence = ""
    """Licence of the data (SPDX identifier, lower case), such as `cc-by-sa-4.0`."""
    expect_rows: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    """Raw rows that the source must have; another number is refused."""
    allow_empty_fields: bool = True
    """Rows with an empty sentence are dropped and counted; with `false` they are refused."""


class LeakageConfig(Section):
    """What to do about texts that training and evaluation share, and about contradictions inside a set."""

    shared_pairs: Policy = "report"
    """A training pair that is also an evaluation pair (unordered)."""
    shared_sentences: Policy = "report"
    """A training row with a sentence that occurs in an evaluation set."""
    near_duplicates: Literal["off", "report", "drop", "refuse"] = "off"
    """The same for sentences that are nearly equal (MinHash over character n-grams)."""
    near_duplicate_threshold: float = Field(default=0.55, gt=0.5, le=1.0)
    """Jaccard similarity of character bigrams from which two sentences count as nearly equal. A sentence of eight words
    with one of them replaced lies at about 0.7."""
    conflicting_scores: Policy = "report"
    """The same unordered pair with more than one score inside a training set."""
    duplicate_rows: Policy = "report"
    """The same row more than once inside a training set."""
    normalise: bool = True
    """Report the counts also after NFKC, case folding and removal of punctuation and spacing."""


class DataConfig(Section):
    """The data that the model learns from."""

    root: Path | None = None
    """Folder that relative paths of sources start from; default: the recipe's own folder."""
    train: dict[Slug, TrainingSet] = Field(min_length=1)
    """Training sets by name. The name appears in losses, metrics, plots and the card."""
    leakage: LeakageConfig = LeakageConfig()
    """Overlap of training and evaluation data."""
    download_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """Longest silence of a server before a download is tried again."""
    download_retries: int = Field(default=5, ge=0, le=100)
    """Tries after the first one, with growing pauses."""


class ModelConfig(Section):
    """A model: the one to start from, or one that helps to train it."""

    source: ModelSource
    """Where the model comes from."""
    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Expected SHA-256 of `model.safetensors`; another one is refused."""
    max_seq_length: int | None = Field(default=None, ge=2, le=2**20)
    """Longest input in tokens; longer texts are cut. Default: what the model says."""
    pooling: Literal["keep", "mean", "cls", "max", "lasttoken"] = "keep"
    """`keep` takes the model's own pooling (mean for a plain encoder); anything else takes its place, and whatever
    else the model has stays: prompts, similarity, layers behind the pooling."""
    trust_remote_code: bool = False
    """Run code that the model's repository carries. Needs a hub source, pinned to a full commit hash."""
    language: tuple[Language, ...] = ()
    """Language codes of the model, for the card."""
    license: Licence = ""
    """Licence of the model (SPDX identifier, lower case), for the card."""


class PromptsConfig(Section):
    """Texts that are put before every text that the model reads: in training, in every count of tokens, in evaluation,
    and, as the tuned model keeps them, in use."""

    query: str | None = None
    """Text before queries, and before each text where a row's texts are all alike, as those of scored pairs are; empty:
    none. Default: the base model's own; where that has a default prompt, texts that are alike have that one."""
    document: str | None = None
    """Text before what is not a query: positives and negatives of pairs and triplets, passages; empty: none. Default:
    the base model's own."""
    named: dict[Word, str] = {}
    """Further prompts by name, beside the base model's own."""
    columns: dict[Slug, dict[str, str]] = {}
    """By training set and column, the name of another prompt; empty: none."""
    suites: dict[Slug, SuitePrompts] = {}
    """By suite, the names of other prompts."""


class TeacherConfig(ModelConfig):
    """A model that labels rows of training sets before training, for losses that learn from what it says."""

    sets: tuple[Slug, ...] | None = None
    """Training sets that it labels; default: those whose loss needs a teacher and whose rows bring none."""
    gives: Literal["scores", "embedding"] | None = None
    """A score for each text beside the anchor, or the embedding of the anchor; default: what the set's loss needs."""
    dimension: Dimension | None = None
    """Keep the first so many numbers of its embeddings, for a model with smaller ones; default: all."""
    batch_size: int = Field(default=64, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Pairs or texts that it reads at a time."""


class CorpusFile(Section):
    """Texts to mine negatives from that are no training set."""

    source: Source
    """Where the texts come from."""
    column: str = "text"
    """Column of the text."""


class MiningConfig(Section):
    """Negatives for the rows of one training set of anchors and positives, mined before training."""

    negatives: int = Field(default=1, ge=1, le=MOST_NEGATIVES)
    """Mined for each row."""
    candidates: tuple[Literal["dense", "bm25"], ...] = Field(default=("dense",), min_length=1)
    """Who finds candidates: `dense` by the similarity of embeddings, `bm25` by words that texts share. Of two each
    finds its own, and they are taken in turns."""
    model: ModelConfig | None = None
    """The model whose embeddings are searched, and judged by where there is no guide; default: the base model."""
    guide: ModelConfig | None = None
    """Another model, whose scores the filters and the audit go by in place of the first one's."""
    corpus: Literal["set", "sets"] = "set"
    """Texts that are searched: the positives of this `set`, or those of all training `sets`."""
    corpus_file: CorpusFile | None = None
    """Texts of a source that are searched instead."""
    depth: int = Field(default=100, ge=1, le=MOST_CANDIDATES)
    """Candidates that each finder gives for an anchor, known positives not counted."""
    skip: int = Field(default=0, ge=0, le=MOST_CANDIDATES)
    """Leave out this many of the nearest that the filters leave."""
    max_score: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Reject candidates with a higher score."""
    min_score: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Reject candidates with a lower score."""
    absolute_margin: float | None = Field(default=None, ge=0, le=1e6)
    """Reject candidates whose score is not at least this much below that of the anchor's positive, of several the one
    with the lowest score."""
    relative_margin: float | None = Field(default=None, ge=0, le=1)
    """The same as a share of that score: 0.05 rejects what lies above 95 % of it."""
    sampling: Literal["top", "random"] = "top"
    """Take the nearest of what is left, or draw from it."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Seed of what is drawn."""
    fewer: Literal["drop", "keep"] = "drop"
    """Rows for which fewer are left: `drop` them, or `keep` them with texts of the corpus drawn at random in the empty
    places, which no filter has seen; known positives are never drawn."""
    replace: bool = False
    """Negatives that the rows have already are replaced; else they stay, and the mined ones follow."""
    exact_up_to: int = Field(default=1_000_000, ge=0, le=MOST_ROWS)
    """A larger corpus is searched through an index (extra `search`), which finds nearly all of the nearest."""
    batch_size: int = Field(default=64, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Texts encoded at a time."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.skip + self.negatives > self.depth * len(set(self.candidates)):
            raise ValueError(
                f"depth: {self.depth} candidates of each finder cannot leave {self.negatives} after skip: {self.skip}"
            )
        return self


class TokensConfig(Section):
    """Token statistics of the data under the base model's tokenizer."""

    workers: int = Field(default=0, ge=0, le=MOST_THREADS)
    """Threads; 0 takes every core."""


class PlanConfig(Section):
    """What is worked out before the trainer starts, and when it warns."""

    minimum_seen_share: float = Field(default=0.5, ge=0, le=1)
    """Warn when less than this share of a training set will be seen in the whole run."""
    maximum_truncated_share: float = Field(default=0.05, ge=0, le=1)
    """Warn when more than this share of a column's texts is cut at max_seq_length."""
    probe_steps: int = Field(default=24, ge=0, le=100_000)
    """Steps of the real trainer that `stsflow plan` runs to forecast time and memory; 0 runs none."""
    probe_in_run: bool = False
    """Also probe in `stsflow run`."""
    price_per_hour: float | None = Field(default=None, ge=0, le=1e6)
    """Price of the machine per hour, for a cost forecast."""
    currency: Currency = "USD"
    """Currency of the price."""


class AdapterConfig(Section):
    """Train small matrices beside the frozen weights in place of the weights themselves."""

    kind: Literal["lora"] = "lora"
    """Low-rank adaptation (arXiv 2106.09685)."""
    target_modules: Literal["auto"] | tuple[Word, ...] = "auto"
    """Linear layers of the encoder that get one, by the last part of their names, such as `query`; `auto`: all."""
    rank: int = Field(default=16, ge=1, le=4_096)
    """Rank of the matrices."""
    alpha: float | None = Field(default=None, gt=0, le=1e6)
    """The product of the matrices counts `alpha / rank` times; default: twice the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before the matrices."""
    dora: bool = False
    """Train the lengths of the weights apart from their directions (DoRA, arXiv 2402.09353); slower."""
    quantise: Literal["off", "4bit"] = "off"
    """`4bit` (QLoRA) is refused: see docs/adapters.md."""


class TrainingConfig(Section):
    """Fine-tuning: the typed core of what people change, and `arguments` for everything else of the trainer."""

    epochs: float = Field(default=1.0, gt=0, le=MOST_EPOCHS)
    """Passes over the data, as the multi-data-set sampler counts them."""
    max_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    """Stop after this many optimiser steps, whatever `epochs` says."""
    batch_size: int = Field(default=8, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Rows in a batch on each device."""
    batch_sizes: dict[Slug, Annotated[int, Field(ge=1, le=MOST_ROWS_OF_A_BATCH)]] = {}
    """Batch size of single data sets, by name."""
    batch_tokens: int | None = Field(default=None, ge=16, le=10_000_000)
    """Instead of a fixed number of rows, fill batches up to about this many tokens, never more than batch_size rows."""
    losses: dict[Slug, Loss] = {}
    """Loss of each data set, by name. Default: that of its shape, such as multiple_negatives_ranking for triplets and
    pairs, cosine_similarity for scored pairs."""
    guide: ModelConfig | None = None
    """Model that looks at the batches of losses that need one, such as `gist`: never trained, and not part of what is
    saved. It reads the texts as the model's tokenizer gives them back."""
    batch_sampler: Literal["auto", "batch_sampler", "no_duplicates"] = "auto"
    """`no_duplicates` keeps equal texts out of one batch, where they would be false negatives, and leaves rows out that
    have no place; `batch_sampler` draws every row. `auto`: what the loss of each set needs."""
    batch_samplers: dict[Slug, Literal["batch_sampler", "no_duplicates"]] = {}
    """Sampler of single data sets, by name."""
    normalise_duplicates: bool = False
    """no_duplicates compares texts after case folding and removal of outer space."""
    multi_dataset_batch_sampler: Literal["round_robin", "proportional"] = "proportional"
    """`round_robin` takes batches in turn and ends an epoch with the smallest set; `proportional` uses all batches."""
    adapter: AdapterConfig | None = None
    """Train an adapter (extra `lora`) and not the weights themselves. Needs a learning rate several times as high."""
    learning_rate: float = Field(default=5e-5, gt=0, le=10)
    """Peak learning rate."""
    lr_scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"] = (
        "linear"
    )
    """Schedule of the learning rate after warm-up."""
    warmup: float = Field(default=0.0, ge=0, le=MOST_STEPS)
    """Warm-up steps; a number below 1 is a share of all steps."""
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    """Decoupled weight decay (not on biases and layer norms)."""
    max_grad_norm: float = Field(default=1.0, ge=0, le=1e6)
    """Clip the gradient to this norm; 0 does not clip."""
    gradient_accumulation_steps: int = Field(default=1, ge=1, le=65_536)
    """Batches whose gradients are added up before a step."""
    optimizer: str = "adamw_torch_fused"
    """Name of the optimiser, as transformers knows it."""
    seed: int = Field(default=42, ge=0, le=LARGEST_SEED)
    """Seed of data order, dropout and fresh weights."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 where the hardware multiplies it natively (GPU, AMX, AVX512-BF16), else float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU when there is one. Evaluation runs there too."""
    processes: int = Field(default=1, ge=1, le=MOST_THREADS)
    """Trainer processes on this host (data parallel); several meet through a file in the training's folder."""
    threads: int = Field(default=0, ge=0, le=MOST_THREADS)
    """CPU threads of each trainer process; 0 takes the physical cores."""
    padding_free: Literal["auto", "on", "off"] = "auto"
    """Run batches without padding where the architecture allows it exactly; `on` refuses where it does not."""
    merge_columns: Literal["auto", "on", "off"] = "auto"
    """Encode all columns of a batch in one forward pass."""
    word_dropout: Literal["auto", "on", "off"] = "auto"
    """On a CPU, cut dropout masks from machine words, which costs a third of drawing each element."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    logging_steps: int = Field(default=10, ge=1, le=MOST_STEPS)
    """Steps between two points of the training loss."""
    eval_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    """Steps between two evaluations on the choosing suite, each with a checkpoint; default: ten in the run."""
    checkpoint_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    """Steps between two checkpoints for resuming; default: `eval_steps`."""
    keep_checkpoints: int = Field(default=2, ge=1, le=10_000)
    """Checkpoints kept besides the best one."""
    early_stopping_patience: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    """Stop when the choosing metric has not risen for this many evaluations."""
    early_stopping_threshold: float = Field(default=0.0, ge=0, le=1)
    """A rise smaller than this does not count."""
    on_out_of_memory: Literal["fail", "halve"] = "halve"
    """`halve`: start again from the last checkpoint with half the micro-batch and twice the accumulation, where the
    loss allows that without a change of meaning."""
    concurrency_limit: Word | Literal[""] = "gpu"
    """Prefect concurrency limit of which a slot is held while training; made with one slot when it is missing. Empty:
    none, trainings may share the machine."""
    hang_timeout_seconds: float = Field(default=1800.0, gt=0, le=A_YEAR_IN_SECONDS)
    """End the trainer when it has written no event for this long."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=A_YEAR_IN_SECONDS)
    """End the trainer after this time; the last checkpoint stays."""
    arguments: dict[str, JsonValue] = {}
    """Any other argument of SentenceTransformerTrainingArguments, checked by name and type before work begins."""


class GuardedSuite(Section):
    """How much of a guard suite the model may lose."""

    margin: float = Field(default=0.01, gt=0, le=100)
    """Largest loss against the base model that is accepted, in the suite's primary metric: the worse end of the paired
    interval must not lie beyond it."""


class EvaluationConfig(Section):
    """What base and tuned model are measured on."""

    suites: dict[Slug, Suite] = Field(min_length=1)
    """Suites by name."""
    choose_on: Slug | None = None
    """Suite that chooses the checkpoint, of a kind that can (all but `mteb`); default: the first such with the split
    `dev`, else none, and the last step is kept."""
    choose_metric: str | None = None
    """Metric of that suite, one of which more is better; default: the one that the suite is judged by."""
    report_on: Slug | None = None
    """Suite whose score is the headline; default: the first whose split is `test`, else the last suite."""
    guard: dict[Slug, GuardedSuite] = {}
    """Guard against forgetting: suites that the model must not lose, such as one of the base model's home task or of
    another language. No model is promoted that is worse on one of them than its base model by more than the margin."""
    explained_overlap: dict[Slug, Annotated[str, Field(min_length=10, max_length=1_000)]] = {}
    """By suite: why it may hold pairs of the suite that chooses the checkpoint. The card repeats it."""
    batch_size: int = Field(default=64, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Sentences encoded at a time."""
    resamples: int = Field(default=10_000, ge=0, le=1_000_000)
    """Bootstrap resamples of each interval; 0 gives no intervals."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the intervals."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Seed of the bootstrap."""


class CardConfig(Section):
    """What the model card says that no measurement can know."""

    model_name: str = ""
    """Title of the card; default: SentenceTransformer based on the base model."""
    model_id: Place = ""
    """Where the model will be found, such as a hub id; default: the card's code loads the folder that it lies in."""
    language: tuple[Language, ...] = ()
    """Language codes; default: those of the training data."""
    license: Licence = ""
    """Licence of the model; default: worked out from base model and data, or `other` with the reason."""
    authors: tuple[str, ...] = ()
    """Who made the model."""
    contact: str = ""
    """Where questions go."""
    description: str = ""
    """One paragraph on what the model is for."""
    out_of_scope: str = ""
    """Uses that the model is not meant for; a general statement is written when empty."""
    risks: str = ""
    """Known risks and limits beyond what was measured."""
    recommendations: str = ""
    """What users should do about them."""


class TrackingConfig(Section):
    """Where the record goes."""

    experiment: ExperimentName = "stsflow"
    """MLflow experiment."""
    log_model: bool = True
    """Log the tuned model to MLflow (sentence-transformers flavour)."""
    tags: dict[TagName, Annotated[str, Field(max_length=LONGEST_TAG_VALUE)]] = Field(default={}, max_length=100)
    """Further tags of the MLflow run."""


class MergeConfig(Section):
    """Average the tuned model's weights with those of its base: a remedy for forgetting (arXiv 2109.01903)."""

    weights: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.25, 0.5, 0.75), max_length=20)
    """Shares of the tuned model to try, in hundredths. The base model (0) and the tuned one (1) always belong to the
    curve; the base model is never chosen."""
    choose_on: Slug | None = None
    """Suite that chooses the weight, among those that keep every suite of `evaluation.guard`; default: the one that
    chooses the checkpoint."""

    @model_validator(mode="after")
    def _in_hundredths(self) -> Self:
        for weight in self.weights:
            if abs(100 * weight - round(100 * weight)) > 1e-9:
                raise ValueError(f"found the weight {weight:g}; at most two decimals are allowed")
        return self


class ReleaseConfig(Section):
    """What happens to the tuned model."""

    register_as: ModelName | None = None
    """Name of the registered model in MLflow; default: none is registered."""
    merge: MergeConfig | None = None
    """Average tuned and base model before anything is evaluated and released; default: the tuned model stays."""
    rules: tuple[Rule, ...] = ()
    """All must hold for the alias `champion` to move. Without rules nothing is promoted."""


class RunConfig(Section):
    """One recipe. It states only how a run differs from the defaults."""

    name: Slug
    """Short name: of the run, its folder and its Prefect flow run."""
    description: str = ""
    """One sentence on what the recipe trains; shown in MLflow and Prefect."""
    data: DataConfig
    """The data that the model learns from."""
    model: ModelConfig
    """The model to start from."""
    prompts: PromptsConfig = PromptsConfig()
    """What goes before the texts."""
    mining: dict[Slug, MiningConfig] = {}
    """Training sets, by name, for whose rows negatives are mined before training."""
    tokens: TokensConfig = TokensConfig()
    """Token statistics."""
    plan: PlanConfig = PlanConfig()
    """What is worked out before training, and when it warns."""
    teacher: TeacherConfig | None = None
    """A model that labels training rows for losses that learn from it."""
    training: TrainingConfig = TrainingConfig()
    """Fine-tuning."""
    evaluation: EvaluationConfig
    """What the models are measured on."""
    card: CardConfig = CardConfig()
    """What the card says that no measurement can know."""
    release: ReleaseConfig = ReleaseConfig()
    """Registration and promotion."""
    tracking: TrackingConfig = TrackingConfig()
    """Where the record goes."""

    @classmethod
    def from_recipe(cls, path: Path, overrides: tuple[str, ...] = ()) -> Self:
        """The recipe in the YAML file `path`, with `dotted.key=value` overrides; raises RecipeError with a sentence."""
        from stsflow.tasks.recipe.reading import load_recipe

        return load_recipe(cls, path, overrides)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        from stsflow.tasks.recipe.checks import check_parts_fit

        check_parts_fit(self)
        return self

    def roles_of(self, name: str) -> Roles:
        """What each column of training set `name` is for when training begins."""
        return self._taught_roles(name) or self._roles_untaught(name)

    @property
    def taught(self) -> dict[str, Roles]:
        """The roles of the training sets that the teacher labels, by name."""
        return {name: roles for name in self.data.train if (roles := self._taught_roles(name)) is not None}

    def _taught_roles(self, name: str) -> Roles | None:
        from stsflow.tasks.recipe.taught import taught_roles

        return taught_roles(self.teacher, name, self._roles_untaught(name), self.loss_of(name))

    def _roles_untaught(self, name: str) -> Roles:
        roles = self.data.train[name].shape.roles
        mining = self.mining.get(name)
        return roles.mined(mining.negatives, mining.replace) if mining else roles

    def loss_of(self, name: str) -> Loss:
        """The loss of training set `name`: the recipe's, or the default for its shape."""
        if name in self.training.losses:
            return self.training.losses[name]
        return Loss.of(self.data.train[name].shape.default_loss).model_validate({})

    @property
    def guards(self) -> dict[str, Rule]:
        """The rule by which each guard suite is judged."""
        guard = self.evaluation.guard
        return {name: NotWorse(suites=(name,), margin=how.margin, against="base") for name, how in guard.items()}

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Rows in a batch of each training set."""
        return {name: self.training.batch_sizes.get(name, self.training.batch_size) for name in self.data.train}

    @property
    def choosing_suite(self) -> str | None:
        """Name of the suite that chooses the checkpoint, or None."""
        if self.evaluation.choose_on:
            return self.evaluation.choose_on
        suites = self.evaluation.suites
        return next((name for name, suite in suites.items() if suite.split == "dev" and suite.chooses_by), None)

    @property
    def choosing_metric(self) -> str:
        """The metric of that suite which chooses; empty without one."""
        if (suite := self.choosing_suite) is None:
            return ""
        return self.evaluation.choose_metric or self.evaluation.suites[suite].primary

    @property
    def merging_choice(self) -> tuple[str, str]:
        """Suite and metric that choose the weight of `release.merge`; the suite is empty where there is none."""
        suite = (self.release.merge and self.release.merge.choose_on) or self.choosing_suite or ""
        if not suite or suite == self.choosing_suite:
            return suite, self.choosing_metric
        return suite, self.evaluation.suites[suite].primary

    @property
    def headline_suite(self) -> str:
        """Name of the suite whose score is the headline."""
        if self.evaluation.report_on:
            return self.evaluation.report_on
        tests = [name for name, suite in self.evaluation.suites.items() if suite.split == "test"]
        return tests[0] if tests else list(self.evaluation.suites)[-1]
