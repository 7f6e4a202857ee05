"""Token statistics over every row of every set: lengths, truncation, unknown tokens, padding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.recipe.sections import TokensConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import ColumnPrompts
from stsflow.tasks.records.tokens import LengthStatistics, SetTokens, TokenReport
from stsflow.tasks.sets.rows import read_rows
from stsflow.tasks.sets.texts import numbered_texts
from stsflow.tasks.tokens.counting import TokenCounter, counter_of, tokenizer_file
from stsflow.tasks.tokens.lengths import Remembered, count_texts, lengths_file
from stsflow.tasks.tokens.padding import expected_padding_share

EVALUATION_BATCH_SIZE = 32
"""Batch size that padding is stated for where a set has none of its own."""
SLOW_TOKENIZER_FILES = ("vocab.txt", "vocab.json", "*.model", "tokenizer_config.json")


class TokenRequest(Record):
    """What is to be measured; the child that runs a slow tokenizer reads it."""

    fingerprint: str
    sets: tuple[PreparedSet, ...]
    base: BaseModelRef
    batch_sizes: dict[str, int]
    maximum_truncated_share: float
    prompts: ColumnPrompts


def measure_tokens(
    data: PreparedData,
    base: BaseModelRef,
    batch_sizes: Mapping[str, int],
    workspace: Workspace,
    config: TokensConfig,
    *,
    maximum_truncated_share: float,
    prompts: ColumnPrompts | None = None,
    fresh: bool = False,
) -> TokenReport:
    """Token statistics of all sets under the base model's tokenizer, exact over every row; found again by content.

    `batch_sizes` are by training set; evaluation sets are stated for 32 rows. `prompts` are what goes
    before the texts of a column (see `recipe.prompts`); they count as part of each text. A column of which more
    than `maximum_truncated_share` of the rows is cut gives a finding. Writes the report into the workspace, and beside
    it the lengths of every training text (see `lengths.stored_lengths`); `fresh` measures again. Raises ModelError when
    the folder has no tokenizer that can be read.
    """
    prompts = prompts or ColumnPrompts()
    sets = (*data.train, *data.evaluation)
    file = tokenizer_file(base.path)
    key = fingerprint(
        [(item.name, item.role, item.digest, item.columns) for item in sets], sha256_of_file(file) if file else None,
        base.digest, base.max_seq_length, base.position_limit, dict(batch_sizes), maximum_truncated_share, prompts,
        code_of(__name__),
    )  # fmt: skip
    request = TokenRequest(
        fingerprint=key, sets=sets, base=base, batch_sizes=dict(batch_sizes),
        maximum_truncated_share=maximum_truncated_share, prompts=prompts,
    )  # fmt: skip

    def make(folder: Path) -> TokenReport:
        if file is not None:
            return measure(request, counter_of(base.path, config.workers), folder)
        return _measured_by_a_child(request, folder)

    return find_or_make(workspace, "tokens", key, TokenReport, make, what="the token report", fresh=fresh)


def _measured_by_a_child(request: TokenRequest, folder: Path) -> TokenReport:
    """The report from a process that may import transformers: only it reads tokenizers without a tokenizer.json."""
    if not any(path for pattern in SLOW_TOKENIZER_FILES for path in request.base.path.rglob(pattern)):
        raise ModelError(
            f"{request.base.path} holds no tokenizer: neither tokenizer.json nor {', '.join(SLOW_TOKENIZER_FILES)}."
        )
    spec, result, log = (folder / name for name in ("spec.json", "result.json", "worker.log"))
    request.write(spec)
    ended = run_child(python_module("stsflow.tasks.tokens.worker", str(spec), str(result)), log)
    if ended.code != 0 or not result.is_file():
        raise ModelError(f"The tokenizer in {request.base.path} cannot be used: {last_lines(log, 3)}")
    return TokenReport.load(result)


def measure(request: TokenRequest, counter: TokenCounter, folder: Path) -> TokenReport:
    """Count every set with `counter`; the lengths of training sets are written below `folder`."""
    remembered = Remembered(counter)
    sets = tuple(_measure_set(item, request, remembered, folder) for item in request.sets)
    return TokenReport(
        fingerprint=request.fingerprint, tokenizer=counter.name, vocabulary=counter.vocabulary,
        max_seq_length=request.base.max_seq_length, sets=sets, findings=_findings(request, sets),
    )  # fmt: skip


def _measure_set(data: PreparedSet, request: TokenRequest, remembered: Remembered, folder: Path) -> SetTokens:
    training = data.role == "train"
    prompts = request.prompts.training if training else request.prompts.evaluation
    counted = count_texts(data, remembered, prompts.get(data.name, {}))
    if training:
        path = lengths_file(folder, data.name)
        path.parent.mkdir(exist_ok=True)
        np.save(path, counted.lengths)
    rows = read_rows(data)
    statistics = {
        name: summarise(
            np.bincount(counted.lengths[:, number]), int(counted.unknown[number]),
            len(numbered_texts(rows, [name])[1]), request.base.max_seq_length, remembered.counter.special_tokens,
        )
        for number, name in enumerate(data.roles.texts)
    }  # fmt: skip
    batch_size = request.batch_sizes.get(data.name, EVALUATION_BATCH_SIZE) if training else EVALUATION_BATCH_SIZE
    return SetTokens(
        name=data.name, role=data.role, columns=statistics, batch_size=batch_size,
        padding_share=expected_padding_share(
            {name: item.histogram for name, item in statistics.items()}, batch_size, request.base.max_seq_length
        ),
    )  # fmt: skip


def summarise(
    histogram: NDArray[np.int64], unknown: int, distinct: int, max_seq_length: int, special_tokens: int
) -> LengthStatistics:
    """Statistics of a column from its histogram (rows by token count, index = tokens)."""
    rows = int(histogram.sum())
    present = np.flatnonzero(histogram)
    if not rows:
        present = np.zeros(1, np.int64)
    tokens = int((np.arange(len(histogram)) * histogram).sum())
    truncated = int(histogram[max_seq_length + 1 :].sum())
    median, p95, p99 = (quantile(histogram, share) for share in (0.5, 0.95, 0.99))
    return LengthStatistics(
        rows=rows,
        distinct=distinct,
        minimum=int(present[0]),
        mean=tokens / max(1, rows),
        median=median,
        p95=p95,
        p99=p99,
        maximum=int(present[-1]),
        tokens=tokens,
        truncated_rows=truncated,
        truncated_share=truncated / max(1, rows),
        unknown_tokens=unknown,
        unknown_share=unknown / max(1, tokens - special_tokens * rows),
        histogram={int(length): int(histogram[length]) for length in np.flatnonzero(histogram)},
    )


def quantile(histogram: NDArray[np.int64], share: float) -> float:
    """The quantile of the rows that the histogram counts, by linear interpolation (numpy's default definition)."""
    ends = np.cumsum(histogram)
    if not len(ends) or not ends[-1]:
        return 0.0
    position = share * (int(ends[-1]) - 1)
    low, high = (int(np.searchsorted(ends, place, side="right")) for place in (np.floor(position), np.ceil(position)))
    return low + (high - low) * float(position - np.floor(position))


# ------------------------------------------------------------------------------------------------------ findings


def _findings(request: TokenRequest, sets: tuple[SetTokens, ...]) -> tuple[Finding, ...]:
    """One warning for one cause, which is the length limit, however many columns it cuts."""
    cut = {
        f"{item.name}.{name}": column
        for item in sets
        for name, column in item.columns.items()
        if column.truncated_share > request.maximum_truncated_share
    }
    if not cut:
        return ()
    listed = ", ".join(
        f"{name} {column.truncated_rows:,} of {column.rows:,} ({column.truncated_share:.1%})"
        for name, column in cut.items()
    )
    longest = max(column.maximum for column in cut.values())
    return (
        Finding(
            severity="warning",
            code="tokens.truncated",
            subject=", ".join(dict.fromkeys(name.partition(".")[0] for name in cut)),
            message=(
                f"Texts longer than max_seq_length {request.base.max_seq_length} are cut, the longest of {longest:,} "
                f"tokens: {listed}."
            ),
            remedy=_longer(request, max(int(np.ceil(column.p99)) for column in cut.values())),
            numbers={
                f"{name}/{key}": float(value)
                for name, column in cut.items()
                for key, value in (
                    ("truncated_rows", column.truncated_rows), ("truncated_share", column.truncated_share),
                )
            },
        ),
    )  # fmt: skip


def _longer(request: TokenRequest, wanted: int) -> str:
    limit = request.base.position_limit
    if limit is None or wanted <= limit:
        return f"Set model.max_seq_length: {wanted} to keep 99 % of each column whole, or accept the cut."
    if request.base.max_seq_length < limit:
        return f"Set model.max_seq_length: {limit}, the most this model takes, split the texts, or use a longer model."
    return f"Split the texts, or use a base model that takes more than {limit} tokens."
