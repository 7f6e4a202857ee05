"""A speed lever as it was chosen. The standard library alone: a GPU box that benchmarks has nothing else of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class LeverState:
    """One speed lever: what was asked, what was chosen, why, and the proof that it was on."""

    # Records hold these; as in every record, a field that is not known is an error, and NaN is written as "NaN".
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid", "ser_json_inf_nan": "strings"}

    name: str
    asked: str
    chosen: str
    reason: str
    proof: dict[str, float] = field(default_factory=dict)
    """Counters from the run itself, such as `flattened_batches`."""
