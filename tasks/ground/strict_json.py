"""JSON of strangers, read within bounds: UTF-8, a limited size and depth, and of the type that is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.errors import StsflowError

MAXIMUM_BYTES = 128 * 2**20
MAXIMUM_DEPTH = 64


def read_json_object(path: Path, error: type[StsflowError]) -> dict[str, Any]:
    """The JSON object in the file; raises `error` with one sentence when it is anything else."""
    found = read_json(path, error)
    if not isinstance(found, dict):
        raise error(f"{path} must hold a JSON object, not {_kind(found)}.")
    return found


def read_json_list(path: Path, error: type[StsflowError]) -> list[Any]:
    """The JSON list in the file; raises `error` with one sentence when it is anything else."""
    found = read_json(path, error)
    if not isinstance(found, list):
        raise error(f"{path} must hold a JSON list, not {_kind(found)}.")
    return found


def read_json(path: Path, error: type[StsflowError]) -> Any:
    """What the file holds; raises `error` when it cannot be read, is no JSON, too large or too deeply nested."""
    too_deep = f"{path} is nested more than {MAXIMUM_DEPTH} deep, which no such file needs."
    try:
        with path.open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror}.") from None
    if len(content) > MAXIMUM_BYTES:
        raise error(f"{path} has more than {MAXIMUM_BYTES // 2**20} MiB, which no such file needs.")
    try:
        found = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise error(too_deep) from None
    except ValueError as cause:  # not UTF-8, no JSON, or a number of thousands of digits
        raise error(f"{path} cannot be read as JSON: {str(cause)[:200]}.") from None
    if _depth(found) > MAXIMUM_DEPTH:
        raise error(too_deep)
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        depth += 1
        level = [item for item in inner if isinstance(item, dict | list)]
    return depth


def _kind(value: Any) -> str:
    names = {
        type(None): "null", dict: "an object", list: "a list", str: "a text", bool: "true or false",
        int: "a number", float: "a number",
    }  # fmt: skip
    return names[type(value)]
