"""Is the base model sound? Found out in a child process, before hours are spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.child import last_lines, python_module, run_child
from tasks.environment import versions
from tasks.fingerprint import code_of, fingerprint
from tasks.models.process_environment import process_environment
from tasks.records import BaseModelRef, Finding, PreparedData
from tasks.schema import Record

TIMEOUT_SECONDS = 900.0
TEXTS_OF_A_COLUMN = 64
CODE = ("models",)
CHECKS = ("soundness", "preflight_worker", "loading", "loading_report")
"""The modules that decide: an answer that older ones gave does not count."""


class CheckRequest(Record):
    """What the child process is asked to check."""

    model: BaseModelRef
    texts: tuple[str, ...]
    key: str
    result: Path


class Checked(Record):
    """What it found."""

    key: str
    findings: tuple[Finding, ...]


def check_base_model(ref: BaseModelRef, sample_texts: Sequence[str], folder: Path) -> tuple[Finding, ...]:
    """What is wrong with the base model, errors first; empty when it is sound.

    A child process loads it and checks: buffers that no file holds (positions, rotary frequencies) are sane; embeddings
    are finite, not all alike, and the same alone, in a batch and in another order; saving and loading changes nothing;
    the tokenizer knows the words of `sample_texts` and puts its special tokens. Log and result stay in `folder`; the
    same question is not answered twice.
    """
    key = fingerprint(ref, list(sample_texts), versions(), code_of(*CODE))
    result = folder / "findings.json"
    known = _read(result, key)
    if known is not None:
        return known
    log = folder / "preflight.log"
    log.unlink(missing_ok=True)
    spec_file = CheckRequest(model=ref, texts=tuple(sample_texts), key=key, result=result).write(folder / "spec.json")
    seconds = 0.0

    def too_long() -> str | None:
        nonlocal seconds
        seconds += 0.5
        return f"no answer after {TIMEOUT_SECONDS:.0f} s" if seconds > TIMEOUT_SECONDS else None

    ended = run_child(
        python_module("tasks.models.preflight_worker", str(spec_file)), log,
        environment=process_environment(), on_tick=too_long, tick_seconds=0.5,
    )  # fmt: skip
    found = _read(result, key)
    if found is not None:
        return found
    why = ended.stopped or f"exit code {ended.code}"
    tail = last_lines(log, 3).replace("\n", " | ")
    return (
        Finding(
            severity="error", code="model.check_died", subject=ref.name,
            message=f"The process that checks the base model ended without an answer ({why}): {tail}",
            remedy=f"Read {log}; a signal 9 there usually means that the machine has too little memory.",
        ),
    )  # fmt: skip


def sample_texts(data: PreparedData) -> tuple[str, ...]:
    """Distinct texts of the prepared data: up to 64 of each text column, evenly spread, in order."""
    from datasets import load_from_disk

    texts: dict[str, None] = {}
    for prepared in (*data.train, *data.evaluation):
        rows = load_from_disk(str(prepared.path))
        step = max(1, len(rows) // TEXTS_OF_A_COLUMN)
        chosen = rows[: step * TEXTS_OF_A_COLUMN : step]
        for column in ("anchor", "positive", "negative", "sentence1", "sentence2"):
            texts.update(dict.fromkeys(chosen.get(column, ())))
    return tuple(texts)


def _read(result: Path, key: str) -> tuple[Finding, ...] | None:
    """The findings in `result` when they answer the question `key`."""
    stored = Checked.load_or_none(result)
    return stored.findings if stored is not None and stored.key == key else None
