"""The card's training details: the data sets, what the model saw of them, hyperparameters, log, time and machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from stsflow.tasks.card.citations import Citation, citations, loss_names
from stsflow.tasks.card.escape import is_plain_url, shorten
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, FactSource, Form, Sentence, sentence
from stsflow.tasks.card.samples import ScoreStatistics, SetSamples
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.plan import Exposure
from stsflow.tasks.records.teaching import Teaching
from stsflow.tasks.records.tokens import SetTokens
from stsflow.tasks.records.training import MeasuredEnergy, TrainedModel
from stsflow.tasks.sources import Source

_LOSS_PAGE = "https://sbert.net/docs/package_reference/sentence_transformer/losses.html#"
_PRIVATE_ARGUMENTS = frozenset({"output_dir", "logging_dir", "hub_token", "push_to_hub_token", "run_name"})
_VERSION_TITLES = {
    "python": "Python", "sentence-transformers": "Sentence Transformers", "transformers": "Transformers",
    "torch": "PyTorch", "accelerate": "Accelerate", "datasets": "Datasets", "tokenizers": "Tokenizers",
    "numpy": "NumPy", "peft": "PEFT", "stsflow": "stsflow", "prefect": "Prefect", "mlflow": "MLflow",
}  # fmt: skip
_SAMPLE_NUMBERS = 4
"""Numbers that a sample row shows of a list."""
_MACHINE_TITLES = {
    "system": "System", "processor": "Processor", "cores": "Cores", "memory_gib": "Memory in GiB", "device": "Device",
    "threads": "CPU threads", "gpu": "GPU", "gpu_peak_memory_gib": "GPU peak memory in GiB", "cuda": "CUDA",
    "precision": "Precision", "code_revision": "Code revision",
}  # fmt: skip


class TableRow(Record):
    """A labelled row of a table; an empty cell is None."""

    label: str
    cells: tuple[Fact | str | None, ...]


class DataBlock(Record):
    """One training data set."""

    set: PreparedSet
    link: str
    """http(s) address, or empty."""
    revision: Fact
    digest: Fact
    rows: Fact
    read: Fact
    dropped: dict[str, Fact]
    notes: dict[str, Fact]
    """Counts by reason, both."""
    statistics: tuple[TableRow, ...]
    padding: Sentence | None
    taught: Sentence | None
    """What a teacher said of the rows."""
    samples: tuple[tuple[Fact, ...], ...]
    loss: str
    loss_link: str
    parameters: str
    """JSON; empty when the loss has none."""


_EXPOSURE: tuple[tuple[str, Form], ...] = (
    ("rows", "count"), ("unique_rows_seen", "count"), ("seen_share", "share"), ("repeats", "count"),
    ("rows_seen", "count"), ("rows_seen_per_epoch", "count"), ("seen_share_per_epoch", "share"),
    ("batch_size", "count"), ("effective_batch_size", "count"), ("in_batch_negatives", "decimal"),
)  # fmt: skip


class ExposureRow(Record):
    """What the model saw of one training set."""

    title: str
    counted: dict[str, Fact]
    """By field of Exposure."""


class LogLine(Record):
    """One row of the training log."""

    epoch: Fact
    step: Fact
    loss: Fact | None
    metric: Fact | None
    is_best: bool


class EnergyLine(Record):
    """Energy of one part of the machine."""

    part: str
    used: Fact | None
    """None where it was not measured."""
    how: str


class TrainingSection(Record):
    """Training as the card tells it."""

    data: tuple[DataBlock, ...]
    exposure: tuple[ExposureRow, ...]
    exposure_origin: str
    non_default: dict[str, Fact]
    hyperparameters: dict[str, Fact]
    left_out: tuple[str, ...]
    """Arguments that only name folders or secrets of the machine."""
    log: tuple[LogLine, ...]
    metric: str
    facts: dict[str, Fact]
    """Duration, memory, attempts and the like, by their labels; so are those of machine and versions."""
    machine: dict[str, Fact]
    energy: tuple[EnergyLine, ...]
    levers: tuple[TableRow, ...]
    versions: dict[str, Fact]
    losses: tuple[str, ...]
    """Class names, each once."""
    citations: tuple[Citation, ...]


def training_section(evidence: Evidence) -> TrainingSection:
    """The section from the records of data, tokens, plan and training; exposure as counted by the trainer, else as
    planned."""
    source, trained, plan = evidence.training_source, evidence.trained, evidence.plan
    counted = trained.exposure or (plan.exposure if plan else ())
    arguments = {
        name: source.fact(f"argument.{name}", shorten(str(value)))
        for name, value in trained.hyperparameters.items()
        if name not in _PRIVATE_ARGUMENTS
    }
    return TrainingSection(
        data=tuple(_data_block(evidence, item) for item in evidence.data.train),
        exposure=tuple(_exposure_row(evidence, item) for item in counted),
        exposure_origin="counted from the batches that were fed" if trained.exposure else "planned, not counted",
        non_default={name: arguments[name] for name in trained.non_default if name in arguments},
        hyperparameters=arguments,
        left_out=tuple(sorted(_PRIVATE_ARGUMENTS & trained.hyperparameters.keys())),
        log=tuple(_log_lines(source, trained)),
        metric=trained.choose_metric,
        facts=_training_facts(source, trained),
        machine=_machine(source, trained.environment),
        energy=tuple(_energy(source, item) for item in trained.energy),
        levers=tuple(_lever(source, lever) for lever in trained.levers),
        versions=_versions(source, trained.environment),
        losses=loss_names(trained.losses),
        citations=citations(trained.losses),
    )


def _data_block(evidence: Evidence, prepared: PreparedSet) -> DataBlock:
    source = evidence.source("PreparedSet", data_set=prepared.name, rows=prepared.rows, data_digest=prepared.digest)
    loss, samples = evidence.trained.losses.get(prepared.name, {}), evidence.samples[prepared.name]
    measured = next((m for m in evidence.tokens.sets if (m.name, m.role) == (prepared.name, "train")), None)
    loss_name, parameters = str(loss.get("name", "")), loss.get("parameters")
    name, page = f"data.{prepared.name}", Source.of(prepared.source.kind).page(prepared.source)
    return DataBlock(
        set=prepared,
        link=page if is_plain_url(page) else "",
        revision=source.fact(f"{name}.revision", prepared.source.revision),
        digest=source.fact(f"{name}.digest", prepared.digest),
        rows=source.fact(f"{name}.rows", prepared.rows, "count"),
        read=source.fact(f"{name}.read", prepared.counts.read, "count"),
        dropped=_counts(source, f"{name}.dropped", prepared.counts.dropped),
        notes=_counts(source, f"{name}.note", prepared.counts.notes),
        statistics=(*_statistics(source, prepared, measured), *_score_rows(source, prepared, samples.score)),
        padding=_padding(source, measured) if measured else None,
        taught=_taught(source, prepared.name, prepared.teaching) if prepared.teaching else None,
        samples=tuple(_sample_rows(source, prepared, samples)),
        loss=loss_name,
        loss_link=_LOSS_PAGE + loss_name.lower() if loss_name.isidentifier() else "",
        parameters=json.dumps(parameters, indent=4, ensure_ascii=False, default=str) if parameters else "",
    )


def _counts(source: FactSource, name: str, counts: Mapping[str, int]) -> dict[str, Fact]:
    return {reason: source.fact(f"{name}.{reason}", count, "count") for reason, count in counts.items()}


_STATISTICS: tuple[tuple[str, str, Form], ...] = (
    ("min tokens", "minimum", "count"), ("mean tokens", "mean", "decimal"), ("median tokens", "median", "decimal"),
    ("p95 tokens", "p95", "decimal"), ("p99 tokens", "p99", "decimal"), ("max tokens", "maximum", "count"),
    ("distinct texts", "distinct", "count"), ("cut rows", "truncated_rows", "count"),
    ("cut share", "truncated_share", "share"), ("unknown-token share", "unknown_share", "share"),
)  # fmt: skip


def _statistics(source: FactSource, prepared: PreparedSet, measured: SetTokens | None) -> Iterator[TableRow]:
    columns, roles = measured.columns if measured else {}, prepared.roles
    numbers = {roles.score: "int" if roles.of_two_values else "float", roles.taught: "list of float"}
    yield TableRow(label="type", cells=tuple(numbers.get(name, "string") for name in prepared.columns))
    here = source.model_copy(update={"record": "TokenReport"})
    for label, field, form in _STATISTICS if columns else ():
        cells = (
            here.fact(f"tokens.{prepared.name}.{name}.{field}", getattr(columns[name], field), form)
            if name in columns
            else None
            for name in prepared.columns
        )
        yield TableRow(label=label, cells=tuple(cells))


def _score_rows(source: FactSource, prepared: PreparedSet, score: ScoreStatistics | None) -> Iterator[TableRow]:
    values = {"min": score.minimum, "mean": score.mean, "max": score.maximum} if score else {}
    for label, value in values.items():
        fact = source.fact(f"data.{prepared.name}.score.{label}", value, "decimal")
        cells = tuple(fact if column == prepared.roles.score else None for column in prepared.columns)
        yield TableRow(label=f"{label} value", cells=cells)


def _taught(source: FactSource, name: str, said: Teaching) -> Sentence:
    here, stem = source.model_copy(update={"record": "Teaching"}), f"teaching.{name}"
    parts: list[Fact | str] = [
        f"Labelled by the teacher {said.teacher.name}: ", here.fact(f"{stem}.numbers", said.numbers, "count"),
        f" {'scores' if said.gives == 'scores' else 'numbers of an embedding'} a row, from ",
        here.fact(f"{stem}.minimum", said.minimum, "score"), " to ",
        here.fact(f"{stem}.maximum", said.maximum, "score"), ", mean ", here.fact(f"{stem}.mean", said.mean, "score"),
    ]  # fmt: skip
    if said.disagrees is not None:
        parts += [
            "; in ", here.fact(f"{stem}.disagrees", said.disagrees, "count"),
            " rows it scores a negative at least as high as the positive",
        ]  # fmt: skip
    return sentence(*parts, ".")


def _padding(source: FactSource, measured: SetTokens) -> Sentence:
    here = source.model_copy(update={"record": "TokenReport"})
    return sentence(
        "Padding expected in random batches of ",
        here.fact(f"tokens.{measured.name}.batch_size", measured.batch_size, "count"), " rows: ",
        here.fact(f"tokens.{measured.name}.padding_share", measured.padding_share, "share"), " of all tokens.",
    )  # fmt: skip


def _sample_rows(source: FactSource, prepared: PreparedSet, samples: SetSamples) -> Iterator[tuple[Fact, ...]]:
    for number, row in enumerate(samples.rows):
        texts = map(_as_written, row)
        yield tuple(
            source.fact(f"sample.{prepared.name}.{number}.{column}", text)
            for column, text in zip(prepared.columns, texts, strict=True)
        )


def _as_written(value: str | float | tuple[float, ...]) -> str:
    """A value of a sample row: a text cut, a number short, of many numbers the first."""
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, tuple):
        more = ["…"] if len(value) > _SAMPLE_NUMBERS else []
        return ", ".join([*(f"{number:.4g}" for number in value[:_SAMPLE_NUMBERS]), *more])
    return f"{value:g}"


def _exposure_row(evidence: Evidence, item: Exposure) -> ExposureRow:
    prepared = evidence.data.training_set(item.name)
    source = evidence.source("Exposure", data_set=item.name, rows=item.rows, data_digest=prepared.digest)
    counted = {
        field: source.fact(f"exposure.{item.name}.{field}", getattr(item, field), form) for field, form in _EXPOSURE
    }
    return ExposureRow(title=prepared.title, counted=counted)


def _log_lines(source: FactSource, trained: TrainedModel) -> Iterator[LogLine]:
    for number, row in enumerate(trained.log):
        yield LogLine(
            epoch=source.fact(f"log.{number}.epoch", row.epoch, "score"),
            step=source.fact(f"log.{number}.step", row.step, "text"),
            loss=source.known(f"log.{number}.loss", row.loss, "score"),
            metric=source.known(f"log.{number}.metric", row.metric, "score"),
            is_best=row.step == trained.best_step and row.metric is not None,
        )


def _training_facts(source: FactSource, trained: TrainedModel) -> dict[str, Fact]:
    facts = {
        "Optimiser steps": source.fact("training.steps", trained.steps, "count"),
        "Epochs": source.fact("training.epochs", trained.epochs, "score"),
        "Mean training loss": source.fact("training.loss", trained.train_loss, "score"),
        "Wall time in the training loop": source.fact("training.seconds", trained.train_seconds, "duration"),
        "CPU time": source.fact("training.cpu_seconds", trained.cpu_seconds, "duration"),
        "Peak resident memory": source.fact("training.memory", trained.peak_memory_bytes, "bytes"),
        "Trainer processes that it took": source.fact("training.attempts", trained.attempts, "count"),
    }
    if (adapter := trained.adapter) is not None:
        facts |= {
            "Parameters trained (adapter)": source.fact("training.adapter.trained", adapter.trained, "count"),
            "Parameters of the model with it": source.fact("training.adapter.parameters", adapter.parameters, "count"),
            "Layers with an adapter": source.fact("training.adapter.layers", ", ".join(adapter.layers)),
            "Largest change of an embedding by merging the adapter into the weights": source.fact(
                "training.adapter.difference", adapter.difference, "rate"
            ),
            "Texts that this was measured on": source.fact("training.adapter.texts", adapter.texts, "count"),
        }
    if trained.resumed_from:
        steps = ", ".join(str(step) for step in trained.resumed_from)
        facts["Resumed after step"] = source.fact("training.resumed_from", steps)
    return facts


def _machine(source: FactSource, environment: Mapping[str, str]) -> dict[str, Fact]:
    return {
        _MACHINE_TITLES.get(name, name.replace("_", " ").capitalize()): source.fact(f"machine.{name}", shorten(value))
        for name, value in environment.items()
        if name not in _VERSION_TITLES and value
    }


def _energy(source: FactSource, item: MeasuredEnergy) -> EnergyLine:
    used = source.known(f"training.energy.{item.part}", item.joules, "energy")
    return EnergyLine(part={"gpu": "GPU"}.get(item.part, item.part), used=used, how=item.how)


def _versions(source: FactSource, environment: Mapping[str, str]) -> dict[str, Fact]:
    return {
        title: source.fact(f"version.{name}", environment[name])
        for name, title in _VERSION_TITLES.items()
        if name in environment
    }


def _lever(source: FactSource, lever: LeverState) -> TableRow:
    text = ", ".join(f"{name} {value:,.4g}" for name, value in lever.proof.items())
    proof = source.fact(f"lever.{lever.name}.proof", text) if text else None
    return TableRow(label=lever.name, cells=(lever.asked, lever.chosen, lever.reason, proof))
