"""What is wrong with a recipe, in words: file, field, what was found, what is allowed, the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stsflow.tasks.ground.addresses import fit_to_show
from stsflow.tasks.ground.family import Kind
from stsflow.tasks.ground.schema import leaf_types

LONGEST_SHOWN = 80
MOVED = dict.fromkeys(
    ("query_prompt", "passage_prompt"),
    "prompts are said once for everything: their texts at the top of the recipe "
    "(`prompts: {query: ..., document: ...}`), and by name for a single suite (`prompts.suites`)",
)
"""Keys of earlier recipes, and where what they said is said now."""
LONGEST_SENTENCE = 1_200  # of which most is the names that are allowed


def explain(error: ValidationError, kind: type[BaseModel], where: str) -> str:
    """One line for each fault: file, dotted field, what was found, what is allowed, the nearest right name."""
    faults = error.errors(include_url=False)
    lines = [f"{where}: {cut(_sentence(fault, kind), LONGEST_SENTENCE)}" for fault in faults[:10]]
    if len(faults) > len(lines):
        lines.append(f"{where}: and {len(faults) - len(lines)} more")
    return str(fit_to_show("\n".join(lines)))


def _sentence(fault: ErrorDetails, kind: type[BaseModel]) -> str:
    location = [str(part) for part in fault["loc"] if part != "[key]"]
    section = _model_at(kind, fault["loc"][:-1])
    field = _dotted(kind, fault["loc"])
    if fault["type"] == "extra_forbidden":
        if moved := MOVED.get(location[-1]):
            return f"{field}: {moved}"
        names = list(section.model_fields) if section else []
        return f"{field}: unknown key{nearest(location[-1], names)}; allowed here: {', '.join(names)}"
    if fault["type"] == "missing":
        return f"{field}: missing; it must be given"
    if fault["type"] in ("union_tag_not_found", "union_tag_invalid"):
        context = fault.get("ctx", {})
        found = context.get("tag", "nothing")
        names = (
            [name.strip(" '") for name in str(context.get("expected_tags", "")).split(",")]
            if context.get("expected_tags")
            else _kinds_at(kind, fault["loc"])
        )
        return f"{field}.kind: found {shown(found)}; allowed: {', '.join(names)}{nearest(str(found), names)}"
    found = shown(fault["input"])
    allowed = _literals_at(kind, fault["loc"])
    if fault["type"] == "literal_error" and allowed:
        listed = ", ".join(name or "''" for name in allowed)
        return f"{field}: found {found}; allowed: {listed}{nearest(str(fault['input']), allowed)}"
    return f"{field}: found {found}; {fault['msg'][0].lower()}{fault['msg'][1:]}"


def nearest(name: str, names: Sequence[str]) -> str:
    """The nearest of `names`, as a question in brackets; empty when none is near."""
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def shown(value: Any) -> str:
    """The value as a message shows it: fit to be seen, and short."""
    # Made fit to show before it is cut: a cut address may no longer look like one.
    return cut(repr(fit_to_show(value)), LONGEST_SHOWN)


def cut(text: str, longest: int) -> str:
    """The text, at most `longest` characters of it."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def types_at(kind: type[BaseModel], key: str) -> set[Any]:
    """The plain types that the field of a dotted key may hold; {None} where none is known."""
    return leaf_types(_steps(kind, key.split("."))[-1][1])


def _steps(kind: type[BaseModel], location: Sequence[int | str]) -> list[tuple[int | str, Any, bool]]:
    """Walk the types along an error's location: (part, annotation after it, whether it is only a union's tag)."""
    steps: list[tuple[int | str, Any, bool]] = []
    current: Any = kind
    for part in location:
        options = _options(current)
        tagged = [option for option in options if _kind_of(option) == part]
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        if tagged and len(models) > 1:
            current = tagged[0]
            steps.append((part, current, True))
            continue
        if not models and not any(get_origin(option) in (dict, Mapping, tuple, list) for option in options):
            steps.append((part, current, True))  # which member of a union of plain types it would be
            continue
        found: Any = None
        for option in options:
            if isinstance(option, type) and issubclass(option, BaseModel) and part in option.model_fields:
                found = option.model_fields[str(part)].annotation
            elif get_origin(option) in (dict, Mapping):
                found = get_args(option)[1]
            elif get_origin(option) in (tuple, list):
                found = get_args(option)[0]
        current = found
        steps.append((part, current, False))
    return steps


def _dotted(kind: type[BaseModel], location: Sequence[int | str]) -> str:
    text = ""
    for part, _, is_tag in _steps(kind, location):
        if is_tag or part == "[key]":
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the recipe"


def _model_at(kind: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    current: Any = _steps(kind, location)[-1][1] if location else kind
    models = [option for option in _options(current) if isinstance(option, type) and issubclass(option, BaseModel)]
    return models[0] if len(models) == 1 else None


def _kinds_at(kind: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    current: Any = _steps(kind, location)[-1][1] if location else kind
    return [str(name) for option in _options(current) if (name := _kind_of(option))]


def _literals_at(kind: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    current: Any = _steps(kind, location)[-1][1] if location else kind
    return [str(v) for option in _options(current) if get_origin(option) is Literal for v in get_args(option)]


def _options(annotation: Any) -> list[Any]:
    """The members of a union or of a family, through Annotated; anything else alone."""
    if isinstance(annotation, type) and issubclass(annotation, Kind) and annotation.is_family():
        return list(annotation.members())
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [option for member in get_args(annotation) for option in _options(member)]
    return [annotation]


def _kind_of(option: Any) -> str | None:
    if isinstance(option, type) and issubclass(option, BaseModel) and "kind" in option.model_fields:
        return str(option.model_fields["kind"].default)
    return None
