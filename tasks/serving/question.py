"""What a request for embeddings asks, read from its body and checked; nothing of it is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import orjson

from stsflow.tasks.records.prompts import Side
from stsflow.tasks.serving.limits import Limits
from stsflow.tasks.serving.refusal import RequestRefused

Format = Literal["float", "base64"]
FIELDS = ("model", "input", "encoding_format", "dimensions", "user", "input_type", "truncate")
LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Question:
    """Texts to embed, and how."""

    texts: tuple[str, ...]
    model: str | None = None
    """The model that is asked for; None takes the one that is served."""
    side: Side | None = None
    """Which prompt goes before the texts: `input_type`."""
    form: Format = "float"
    dimensions: int | None = None
    """Keep so many numbers of each embedding, brought to length one again; None keeps them as they are."""
    truncate: bool = True
    """Whether a text that is too long is cut; otherwise the request is refused."""


def read_question(body: bytes, limits: Limits) -> Question:
    """The question in `body`; raises RequestRefused (400) with the field, what was found and what is allowed."""
    fields = _object(body)
    for name in fields.keys() - set(FIELDS):
        raise _wrong(name, f"the field {_shown(name)} is not known; allowed: {', '.join(FIELDS)}")
    form = fields.get("encoding_format")
    if form not in (None, *get_args(Format)):
        raise _wrong("encoding_format", f"found {_shown(form)}; allowed: float, base64")
    side = fields.get("input_type")
    if side not in (None, *get_args(Side)):
        raise _wrong("input_type", f"found {_shown(side)}; allowed: query, document, or leave it out")
    for name in ("model", "user"):
        if not isinstance(fields.get(name), str | None):
            raise _wrong(name, f"found {_shown(fields[name])}; allowed: a string")
    dimensions = fields.get("dimensions")
    if dimensions is not None and (not isinstance(dimensions, int) or isinstance(dimensions, bool) or dimensions < 1):
        raise _wrong("dimensions", f"found {_shown(dimensions)}; allowed: a whole number from 1")
    truncate = fields.get("truncate", True)
    if not isinstance(truncate, bool):
        raise _wrong("truncate", f"found {_shown(truncate)}; allowed: true or false")
    return Question(
        texts=_texts(fields, limits), model=fields.get("model"), side=side, form=cast("Format", form or "float"),
        dimensions=dimensions, truncate=truncate,
    )  # fmt: skip


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise RequestRefused(400, f"the body is {_shown(fields)}; allowed: an object with the field input")
    return fields


def _texts(fields: Mapping[str, Any], limits: Limits) -> tuple[str, ...]:
    given = fields.get("input")
    if given is None:
        raise _wrong("input", "missing; allowed: a string or a list of strings")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise _wrong("input", f"found {_shown(given)}; allowed: a string or a list of strings")
    if not texts:
        raise _wrong("input", "found an empty list; allowed: a string or a list of strings")
    if any(isinstance(text, int | list) and not isinstance(text, bool) for text in texts[:1]):
        raise _wrong("input", "found numbers of tokens; send the texts: tokens of another tokenizer mean others here")
    if len(texts) > limits.inputs:
        raise _wrong("input", f"found {len(texts):,} texts; allowed: {limits.inputs:,} in one request")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise _wrong("input", f"found {_shown(text)} at place {place}; allowed: strings")
        if len(text) > limits.characters:
            raise _wrong(
                "input",
                f"the text at place {place} has {len(text):,} characters; allowed: {limits.characters:,} (of these the "
                "model reads what its longest input holds)",
            )
    return tuple(texts)


def _wrong(field: str, what: str) -> RequestRefused:
    return RequestRefused(400, f"{field[:LONGEST_SHOWN]}: {what}", param=field[:LONGEST_SHOWN])


def _shown(value: object) -> str:
    names = {dict: "an object", list: "a list", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    text = orjson.dumps(value, default=repr).decode()
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
