"""`training`: fine-tuning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from stsflow.tasks.ground.names import Word
from stsflow.tasks.ground.schema import LARGEST_SEED, Section, Slug
from stsflow.tasks.losses import Loss
from stsflow.tasks.recipe.sections.bounds import (
    A_YEAR_IN_SECONDS,
    MOST_EPOCHS,
    MOST_ROWS_OF_A_BATCH,
    MOST_STEPS,
    MOST_THREADS,
)
from stsflow.tasks.recipe.sections.model import ModelConfig


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


class HostsConfig(Section):
    """Hosts that train one model together: `stsflow run` on the first, `stsflow join RENDEZVOUS` on each other one.

    They share the workspace, under the same path. Each starts `training.processes` processes.
    """

    count: int = Field(ge=2, le=4_096)
    """Hosts, this one among them."""
    rendezvous: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5}$")]
    """Address and port of the first host at which all meet, such as `10.0.0.1:29500`; it listens there alone."""


class TrainingConfig(Section):
    """Fine-tuning: the typed core of what people change, and `arguments` for everything else of the trainer."""

    epochs: float = Field(default=1.0, gt=0, le=MOST_EPOCHS)
    """Passes over the data, as the multi-data-set sampler counts them."""
    max_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    """Stop after this many optimiser steps, whatever `epochs` says."""
    batch_size: int = Field(default=8, ge=1, le=MOST_ROWS_OF_A_BATCH)
    """Rows in a batch on each device; several processes share batches of so many rows each."""
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
    processes: Annotated[int, Field(ge=1, le=MOST_THREADS)] | Literal["auto"] = 1
    """Trainer processes on each host (data parallel), which share every batch; `auto`: one for each GPU, else one."""
    hosts: HostsConfig | None = None
    """Train on several hosts together."""
    max_restarts: int = Field(default=3, ge=0, le=1_000)
    """How often a training of several processes goes on by itself from its last checkpoint when one of them ends or
    hangs; a trial of a sweep on Ray when its node is gone."""
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
