"""Lengths of texts in tokens."""

from __future__ import annotations

from typing import Literal

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.findings import Finding


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
