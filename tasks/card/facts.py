"""Facts: a value, the text that the card shows for it, and where it comes from.

The card's content holds facts where a number, a digest or a sample from the data is meant, never bare numbers, and the
template shows facts; so no number can reach the card without a source, and facts.json lists every one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, JsonValue

from stsflow.tasks.ground.schema import Record

Form = Literal[
    "text", "count", "score", "change", "share", "percent", "decimal", "rate", "p_value", "duration", "bytes", "energy"
]
"""How a value is written; see `shown`."""


class FactSource(Record):
    """Where a fact comes from. Fields that do not apply are empty."""

    record: str
    """Record and field, such as `SuiteScores.metrics`."""
    mlflow_run_id: str = ""
    suite: str = ""
    data_set: str = ""
    split: str = ""
    rows: int | None = None
    """Rows that the value was measured on."""
    data_digest: str = ""
    model_digest: str = ""

    def fact(self, identity: str, value: JsonValue, form: Form = "text") -> Fact:
        """The fact `identity` with this source; the text follows from value and form."""
        kept = None if isinstance(value, float) and not math.isfinite(value) else value
        return Fact(id=identity, value=kept, form=form, text=shown(value, form), source=self)

    def known(self, identity: str, value: JsonValue, form: Form = "text") -> Fact | None:
        """The fact; None where there is no value."""
        return None if value is None else self.fact(identity, value, form)


class Fact(Record):
    """One value of the card."""

    id: str
    """Stable name, such as `tuned.sts-test.spearman_cosine`."""
    value: JsonValue
    """Full precision; null for a value that is not defined."""
    form: Form
    text: str
    """As the card shows it."""
    source: FactSource

    @property
    def number(self) -> float | None:
        """The value as a number, or None when it is none."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return None
        return float(self.value)


class Sentence(Record):
    """Running text in which every number is a fact."""

    parts: tuple[Fact | str, ...]

    @property
    def text(self) -> str:
        """The sentence without marks."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


def sentence(*parts: Fact | str) -> Sentence:
    """The sentence of these parts, in order, joined without spaces."""
    return Sentence(parts=parts)


def shown(value: JsonValue, form: Form) -> str:
    """The text of a value.

    `count` 1,234; `score` 0.8512; `change` +0.0123; `share` (of 1) 12.34 %; `percent` (of 1) 95 %; `decimal` 19.70;
    `rate` 5e-05; `p_value` 0.0123 or below 0.0001; `duration` (seconds) 1 h 02 min; `bytes` 1.5 GiB;
    `energy` (joules) 1.23 kWh; `text` as it is.
    A value that is missing or not finite is "not defined".
    """
    if form == "text":
        return str(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "not defined"
    if form == "p_value":
        return "below 0.0001" if value < 1e-4 else f"{value:.4f}"
    if form == "duration":
        return _duration(value)
    if form == "bytes":
        return _bytes(value)
    if form == "energy":
        return _energy(value)
    patterns: dict[str, str] = {
        "count": f"{value:,}",
        "score": f"{value:.4f}",
        "change": f"{value:+.4f}",
        "share": f"{100 * value:.2f} %",
        "percent": f"{100 * value:.4g} %",
        "decimal": f"{value:,.2f}",
        "rate": f"{value:.4g}",
    }
    return patterns[form]


def facts_in(content: object) -> dict[str, Fact]:
    """Every fact inside `content` (a record or a collection of records), by id.

    Raises ValueError when one id stands for two values.
    """
    found: dict[str, Fact] = {}
    for fact in _walk(content):
        if found.setdefault(fact.id, fact).value != fact.value:
            raise ValueError(f"The fact {fact.id} has two values: {found[fact.id].value!r} and {fact.value!r}.")
    return found


def _walk(value: object) -> Iterator[Fact]:
    if isinstance(value, Fact):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _energy(joules: float) -> str:
    hours = joules / 3600  # watt-hours
    return f"{hours / 1000:.3g} kWh" if hours >= 1000 else f"{hours:.3g} Wh"


def _bytes(count: float) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"
