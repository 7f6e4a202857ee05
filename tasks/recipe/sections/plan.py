"""`tokens` and `plan`: what is counted and worked out before training."""

from __future__ import annotations

from pydantic import Field

from stsflow.tasks.ground.names import Currency
from stsflow.tasks.ground.schema import Section
from stsflow.tasks.recipe.sections.bounds import MOST_THREADS


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
