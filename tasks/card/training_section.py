"""The card's training details: the data sets, what the model saw of them, hyperparameters, log, time and machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from stsflow.tasks.card.citations import Citation, citations, loss_names
from stsflow.tasks.card.escape import is_plain_url, shorten
from stsflow.tasks.card.facts import Fact, FactSource, Form, Sentence, sentence
from stsflow.tasks.card.samples import SetSamples
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.plan import Exposure, PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.tokens import LengthStatistics, TokenReport
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.sources import Source

_LOSS_PAGE = "https://sbert.net/docs/package_reference/sentence_transformer/losses.html#"
_PRIVATE_ARGUMENTS = frozenset({"output_dir", "logging_dir", "hub_token", "push_to_hub_token", "run_name"})
_VERSION_TITLES = {
    "python": "Python", "sentence-transformers": "Sentence Transformers", "transformers": "Transformers",
    "torch": "PyTorch", "accelerate": "Accelerate", "datasets": "Datasets", "tokenizers": "Tokenizers",
    "numpy": "NumPy", "stsflow": "stsflow", "prefect": "Prefect", "mlflow": "MLflow",
}  # fmt: skip
_ENERGY = "energy_kwh"
_MACHINE_TITLES = {
    "system": "System", "processor": "Processor", "cores": "Cores", "memory_gib": "Memory in GiB", "device": "Device",
    "threads": "CPU threads", "gpu": "GPU", "gpu_peak_memory_gib": "GPU peak memory in GiB", "cuda": "CUDA",
    "precision": "Precision", "code_revision": "Code revision", _ENERGY: "Energy in kWh",
}  # fmt: skip


class TableRow(Record):
    """A labelled row of a table; an empty cell is None."""

    label: str
    cells: tuple[Fact | str | None, ...]


class DataBlock(Record):
    """One training data set."""

    name: str
    title: str
    link: str
    """http(s) address, or empty."""
    source: str
    revision: Fact
    digest: Fact
    rows: Fact
    read: Fact
    dropped: tuple[TableRow, ...]
    notes: tuple[TableRow, ...]
    columns: tuple[str, ...]
    statistics: tuple[TableRow, ...]
    padding: Sentence | None
    samples: tuple[tuple[Fact, ...], ...]
    loss: str
    loss_link: str
    parameters: str
    """JSON; empty when the loss has none."""
    language: tuple[str, ...]
    license: str


class ExposureRow(Record):
    """What the model saw of one training set."""

    title: str
    rows: Fact
    seen: Fact
    seen_share: Fact
    repeats: Fact
    rows_seen: Fact
    per_epoch: Fact
    per_epoch_share: Fact
    batch_size: Fact
    effective_batch_size: Fact
    negatives: Fact


class LogLine(Record):
    """One row of the training log."""

    epoch: Fact
    step: Fact
    loss: Fact | None
    metric: Fact | None
    is_best: bool


class TrainingSection(Record):
    """Training as the card tells it."""

    data: tuple[DataBlock, ...]
    exposure: tuple[ExposureRow, ...]
    exposure_origin: str
    non_default: tuple[TableRow, ...]
    hyperparameters: tuple[TableRow, ...]
    left_out: tuple[str, ...]
    """Arguments that only name folders or secrets of the machine."""
    log: tuple[LogLine, ...]
    metric: str
    facts: tuple[TableRow, ...]
    """Duration, memory, attempts and the like."""
    machine: tuple[TableRow, ...]
    energy_is_measured: bool
    levers: tuple[TableRow, ...]
    versions: tuple[TableRow, ...]
    losses: tuple[str, ...]
    """Class names, each once."""
    citations: tuple[Citation, ...]


def training_section(
    run: RunRef,
    data: PreparedData,
    tokens: TokenReport,
    plan: PlanReport | None,
    trained: TrainedModel,
    samples: Mapping[str, SetSamples],
) -> TrainingSection:
    """The section from the records of data, tokens, plan and training; exposure as counted by the trainer, else as
    planned."""
    source = FactSource(record="TrainedModel", mlflow_run_id=run.mlflow_run_id, model_digest=trained.model_digest)
    counted = trained.exposure or (plan.exposure if plan else ())
    arguments = {name: value for name, value in trained.hyperparameters.items() if name not in _PRIVATE_ARGUMENTS}
    return TrainingSection(
        data=tuple(_data_block(run, item, tokens, trained, samples[item.name]) for item in data.train),
        exposure=tuple(_exposure_row(run, item, data) for item in counted),
        exposure_origin="counted from the batches that were fed" if trained.exposure else "planned, not counted",
        non_default=tuple(
            _argument(source, name, arguments[name]) for name in trained.non_default if name in arguments
        ),
        hyperparameters=tuple(_argument(source, name, value) for name, value in arguments.items()),
        left_out=tuple(sorted(_PRIVATE_ARGUMENTS & trained.hyperparameters.keys())),
        log=tuple(_log_lines(source, trained)),
        metric=trained.choose_metric,
        facts=_training_facts(source, trained),
        machine=_machine(source, trained),
        energy_is_measured=_ENERGY in trained.environment,
        levers=tuple(
            TableRow(
                label=lever.name,
                cells=(lever.asked, lever.chosen, lever.reason, _proof(source, lever.name, lever.proof)),
            )
            for lever in trained.levers
        ),
        versions=_versions(source, trained),
        losses=loss_names(trained.losses),
        citations=citations(trained.losses),
    )


def _data_block(
    run: RunRef, prepared: PreparedSet, tokens: TokenReport, trained: TrainedModel, samples: SetSamples
) -> DataBlock:
    source = FactSource(
        record="PreparedSet", mlflow_run_id=run.mlflow_run_id, data_set=prepared.name, rows=prepared.rows,
        data_digest=prepared.digest,
    )  # fmt: skip
    loss = trained.losses.get(prepared.name, {})
    loss_name, parameters = str(loss.get("name", "")), loss.get("parameters")
    name = f"data.{prepared.name}"
    return DataBlock(
        name=prepared.name,
        title=prepared.title or prepared.name,
        link=_link(prepared),
        source=prepared.source.uri or prepared.source.name,
        revision=source.fact(f"{name}.revision", prepared.source.revision),
        digest=source.fact(f"{name}.digest", prepared.digest),
        rows=source.fact(f"{name}.rows", prepared.rows, "count"),
        read=source.fact(f"{name}.read", prepared.counts.read, "count"),
        dropped=_counts(source, f"{name}.dropped", prepared.counts.dropped),
        notes=_counts(source, f"{name}.note", prepared.counts.notes),
        columns=prepared.columns,
        statistics=_statistics(source, prepared, tokens, samples),
        padding=_padding(source, prepared, tokens),
        samples=_sample_rows(source, prepared, samples),
        loss=loss_name,
        loss_link=_LOSS_PAGE + loss_name.lower() if loss_name.isidentifier() else "",
        parameters=json.dumps(parameters, indent=4, ensure_ascii=False, default=str) if parameters else "",
        language=prepared.language,
        license=prepared.license,
    )


def _link(prepared: PreparedSet) -> str:
    page = Source.of(prepared.source.kind).page(prepared.source)
    return page if is_plain_url(page) else ""


def _counts(source: FactSource, name: str, counts: Mapping[str, int]) -> tuple[TableRow, ...]:
    return tuple(
        TableRow(label=reason, cells=(source.fact(f"{name}.{reason}", count, "count"),))
        for reason, count in counts.items()
    )


def _statistics(
    source: FactSource, prepared: PreparedSet, tokens: TokenReport, samples: SetSamples
) -> tuple[TableRow, ...]:
    measured = _tokens_of(prepared, tokens)
    here = source.model_copy(update={"record": "TokenReport"})
    labels: tuple[tuple[str, str], ...] = (
        ("min tokens", "minimum"), ("mean tokens", "mean"), ("median tokens", "median"), ("p95 tokens", "p95"),
        ("p99 tokens", "p99"), ("max tokens", "maximum"), ("distinct texts", "distinct"),
        ("cut rows", "truncated_rows"), ("cut share", "truncated_share"), ("unknown-token share", "unknown_share"),
    )  # fmt: skip
    score = prepared.roles.score
    types = TableRow(label="type", cells=tuple("float" if name == score else "string" for name in prepared.columns))
    rows = [types]
    for label, field in labels:
        cells = tuple(
            here.fact(f"tokens.{prepared.name}.{column}.{field}", getattr(measured[column], field), _form(field))
            if column in measured
            else None
            for column in prepared.columns
        )
        if any(cells):
            rows.append(TableRow(label=label, cells=cells))
    return (*rows, *_score_rows(source, prepared, samples))


def _score_rows(source: FactSource, prepared: PreparedSet, samples: SetSamples) -> tuple[TableRow, ...]:
    if samples.score is None:
        return ()
    score = prepared.roles.score
    values = {"min": samples.score.minimum, "mean": samples.score.mean, "max": samples.score.maximum}
    return tuple(
        TableRow(
            label=f"{label} value",
            cells=tuple(
                source.fact(f"data.{prepared.name}.score.{label}", value, "decimal") if column == score else None
                for column in prepared.columns
            ),
        )
        for label, value in values.items()
    )


def _form(field: str) -> Form:
    if field.endswith("_share"):
        return "share"
    return "decimal" if field in ("mean", "median", "p95", "p99") else "count"


def _tokens_of(prepared: PreparedSet, tokens: TokenReport) -> Mapping[str, LengthStatistics]:
    return next((item.columns for item in tokens.sets if (item.name, item.role) == (prepared.name, "train")), {})


def _padding(source: FactSource, prepared: PreparedSet, tokens: TokenReport) -> Sentence | None:
    measured = next((item for item in tokens.sets if (item.name, item.role) == (prepared.name, "train")), None)
    if measured is None:
        return None
    here = source.model_copy(update={"record": "TokenReport"})
    return sentence(
        "Padding expected in random batches of ",
        here.fact(f"tokens.{prepared.name}.batch_size", measured.batch_size, "count"), " rows: ",
        here.fact(f"tokens.{prepared.name}.padding_share", measured.padding_share, "share"), " of all tokens.",
    )  # fmt: skip


def _sample_rows(source: FactSource, prepared: PreparedSet, samples: SetSamples) -> tuple[tuple[Fact, ...], ...]:
    return tuple(
        tuple(
            source.fact(
                f"sample.{prepared.name}.{number}.{column}",
                shorten(f"{value:g}" if isinstance(value, float) else value),
            )
            for column, value in zip(prepared.columns, row, strict=True)
        )
        for number, row in enumerate(samples.rows)
    )


def _exposure_row(run: RunRef, item: Exposure, data: PreparedData) -> ExposureRow:
    prepared = data.training_set(item.name)
    source = FactSource(
        record="Exposure", mlflow_run_id=run.mlflow_run_id, data_set=item.name, rows=item.rows,
        data_digest=prepared.digest,
    )  # fmt: skip
    name = f"exposure.{item.name}"
    return ExposureRow(
        title=prepared.title or prepared.name,
        rows=source.fact(f"{name}.rows", item.rows, "count"),
        seen=source.fact(f"{name}.unique_rows_seen", item.unique_rows_seen, "count"),
        seen_share=source.fact(f"{name}.seen_share", item.seen_share, "share"),
        repeats=source.fact(f"{name}.repeats", item.repeats, "count"),
        rows_seen=source.fact(f"{name}.rows_seen", item.rows_seen, "count"),
        per_epoch=source.fact(f"{name}.rows_seen_per_epoch", item.rows_seen_per_epoch, "count"),
        per_epoch_share=source.fact(f"{name}.seen_share_per_epoch", item.seen_share_per_epoch, "share"),
        batch_size=source.fact(f"{name}.batch_size", item.batch_size, "count"),
        effective_batch_size=source.fact(f"{name}.effective_batch_size", item.effective_batch_size, "count"),
        negatives=source.fact(f"{name}.in_batch_negatives", item.in_batch_negatives, "decimal"),
    )


def _argument(source: FactSource, name: str, value: object) -> TableRow:
    return TableRow(label=name, cells=(source.fact(f"argument.{name}", shorten(str(_without_folders(value)))),))


def _without_folders(value: object) -> object:
    """Absolute paths are the machine's own business; their last part is shown."""
    if isinstance(value, str) and PurePath(value).is_absolute():
        return PurePath(value).name
    return value


def _log_lines(source: FactSource, trained: TrainedModel) -> Sequence[LogLine]:
    return [
        LogLine(
            epoch=source.fact(f"log.{number}.epoch", row.epoch, "score"),
            step=source.fact(f"log.{number}.step", row.step, "text"),
            loss=source.fact(f"log.{number}.loss", row.loss, "score") if row.loss is not None else None,
            metric=source.fact(f"log.{number}.metric", row.metric, "score") if row.metric is not None else None,
            is_best=row.step == trained.best_step and row.metric is not None,
        )
        for number, row in enumerate(trained.log)
    ]


def _training_facts(source: FactSource, trained: TrainedModel) -> tuple[TableRow, ...]:
    rows = [
        ("Optimiser steps", source.fact("training.steps", trained.steps, "count")),
        ("Epochs", source.fact("training.epochs", trained.epochs, "score")),
        ("Mean training loss", source.fact("training.loss", trained.train_loss, "score")),
        ("Wall time in the training loop", source.fact("training.seconds", trained.train_seconds, "duration")),
        ("CPU time", source.fact("training.cpu_seconds", trained.cpu_seconds, "duration")),
        ("Peak resident memory", source.fact("training.memory", trained.peak_memory_bytes, "bytes")),
        ("Trainer processes that it took", source.fact("training.attempts", trained.attempts, "count")),
    ]
    if trained.resumed_from:
        steps = ", ".join(str(step) for step in trained.resumed_from)
        rows.append(("Resumed after step", source.fact("training.resumed_from", steps)))
    return tuple(TableRow(label=label, cells=(fact,)) for label, fact in rows)


def _machine(source: FactSource, trained: TrainedModel) -> tuple[TableRow, ...]:
    return tuple(
        TableRow(
            label=_MACHINE_TITLES.get(name, name.replace("_", " ").capitalize()),
            cells=(source.fact(f"machine.{name}", shorten(value)),),
        )
        for name, value in trained.environment.items()
        if name not in _VERSION_TITLES and value
    )


def _versions(source: FactSource, trained: TrainedModel) -> tuple[TableRow, ...]:
    return tuple(
        TableRow(label=title, cells=(source.fact(f"version.{name}", trained.environment[name]),))
        for name, title in _VERSION_TITLES.items()
        if name in trained.environment
    )


def _proof(source: FactSource, lever: str, proof: Mapping[str, float]) -> Fact | None:
    text = ", ".join(f"{name} {value:,.4g}" for name, value in proof.items())
    return source.fact(f"lever.{lever}.proof", text) if text else None
