"""Is the base model sound? Found out in a child process, before hours are spent on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import RECORD, find_or_make
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import ColumnPrompts

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 900.0
LEAST_MEMORY = 4 * 2**30
NOT_LOADED = ("model.does_not_load", "model.memory", "model.check_died")
LOADED = "loaded"
"""The file that the child leaves as soon as the model is loaded."""
TEXTS_OF_A_COLUMN = 64
WORKER = "stsflow.tasks.models.preflight_worker"


class CheckRequest(Record):
    """What the child process is asked to check."""

    model: BaseModelRef
    texts: tuple[str, ...]
    result: Path
    memory_bytes: int
    """Writable memory that it may take."""


class Checked(Record):
    """What it found."""

    findings: tuple[Finding, ...]


def require_loadable(ref: BaseModelRef, sample_texts: Sequence[str], workspace: Workspace) -> tuple[Finding, ...]:
    """`check_base_model`; raises ModelError at once when the model does not load, as nothing after that makes sense."""
    findings = check_base_model(ref, sample_texts, workspace)
    for finding in findings:
        if finding.code in NOT_LOADED:
            raise ModelError(f"{finding.message} {finding.remedy}".strip())
    return findings


def require_sound(ref: BaseModelRef, sample_texts: Sequence[str], workspace: Workspace) -> None:
    """Raise ModelError with everything that `check_base_model` calls an error; the rest is logged.

    A vocabulary that does not know the data is a reason not to train; a finished model may be measured on any.
    """
    errors = []
    for finding in require_loadable(ref, sample_texts, workspace):
        if finding.severity == "error" and finding.code != "model.unknown_tokens":
            errors.append(f"{finding.message} {finding.remedy}".strip())
        else:
            logger.warning("%s: %s", ref.name, finding.message)
    if errors:
        raise ModelError(f"{ref.name}: {' '.join(errors)}")


def check_base_model(
    ref: BaseModelRef, sample_texts: Sequence[str], workspace: Workspace, *, memory_bytes: int | None = None,
    load_seconds: float | None = None,
) -> tuple[Finding, ...]:  # fmt: skip
    """What is wrong with the base model, errors first; empty when it is sound.

    A child process loads it and checks: buffers that no file holds (positions, rotary frequencies) are sane; embeddings
    are finite, not all alike, and the same alone, in a batch and in another order; saving and loading changes nothing;
    the tokenizer knows the words of `sample_texts` and puts its special tokens. The same question is not answered
    twice; no answer, or one for want of memory, is not kept, as the machine may have more the next time. The child may
    take `memory_bytes`, `load_seconds` until the model is loaded (default: far more of both than a model of that many
    weights needs) and 900 s in all: a configuration can ask for any amount.
    """
    patience = load_seconds or 240.0 + ref.parameters / 10e6
    memory = memory_bytes or memory_limit(ref.parameters)
    key = fingerprint(ref, list(sample_texts), versions(), code_of(WORKER))
    log = workspace.made("preflight", key).with_suffix(".log")

    def make(folder: Path) -> Checked:
        request = CheckRequest(model=ref, texts=tuple(sample_texts), result=folder / RECORD, memory_bytes=memory)
        return _answered_by_a_child(request, log, patience)

    try:
        return find_or_make(workspace, "preflight", key, Checked, make, what="the check of the base model").findings
    except _NotKept as answer:
        return answer.findings


class _NotKept(Exception):
    """An answer that another time may be another."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__()
        self.findings = findings


def _answered_by_a_child(request: CheckRequest, log: Path, patience: float) -> Checked:
    folder = request.result.parent
    log.unlink(missing_ok=True)
    started = time.monotonic()

    def too_long() -> str | None:
        seconds = time.monotonic() - started
        if seconds > patience and not (folder / LOADED).exists():
            return f"its {request.model.parameters:,} weights were not loaded within {patience:.1f} s"
        return f"no answer after {TIMEOUT_SECONDS:.0f} s" if seconds > TIMEOUT_SECONDS else None

    ended = run_child(
        python_module(WORKER, str(request.write(folder / "spec.json"))), log, environment=process_environment(),
        on_tick=too_long, tick_seconds=0.5,
    )  # fmt: skip
    found = Checked.load_or_none(request.result)
    if found is None:
        why = ended.stopped or f"exit code {ended.code}"
        tail = last_lines(log, 3).replace("\n", " | ")
        died = Finding(
            severity="error", code="model.check_died", subject=request.model.name,
            message=f"The process that checks the base model ended without an answer ({why}): {tail}",
            remedy=f"Read {log}. The check may take {request.memory_bytes / 2**30:.1f} GiB of memory; a signal 9 "
            "usually means that the machine has less.",
        )  # fmt: skip
        raise _NotKept(died)
    if any(finding.code == "model.memory" for finding in found.findings):
        raise _NotKept(*found.findings)
    return found


def memory_limit(parameters: int) -> int:
    """Bytes of memory that the check of a model with so many weights may take.

    An import of the libraries takes 2 GiB of address space, three copies of the model in float32 are there at once, and
    long texts need room: far more than that is granted, as long as the machine has it.
    """
    wanted = 2 * LEAST_MEMORY + 12 * 4 * parameters
    return max(LEAST_MEMORY, min(wanted, int(0.9 * psutil.virtual_memory().available)))


def sample_texts(data: PreparedData, prompts: ColumnPrompts | None = None) -> tuple[str, ...]:
    """Distinct texts of the prepared data: up to 64 of each text column, evenly spread, in order; each
    behind its column's prompt where `prompts` are given."""
    import pyarrow as pa

    from stsflow.tasks.sets.rows import read_rows

    texts: dict[str, None] = {}
    given = ColumnPrompts() if prompts is None else prompts
    sides = ((data.train, given.training), (data.evaluation, given.evaluation))
    for prepared, before in ((one, before.get(one.name, {})) for sets, before in sides for one in sets):
        rows = read_rows(prepared)
        step = max(1, rows.num_rows // TEXTS_OF_A_COLUMN)
        chosen = rows.take(pa.array(range(0, rows.num_rows, step)[:TEXTS_OF_A_COLUMN], pa.int64()))
        for column in prepared.roles.texts:
            some = filter(None, chosen[column].to_pylist())  # a passage nobody asks for is empty
            texts.update(dict.fromkeys(before.get(column, "") + text for text in some))
    return tuple(texts)
