"""Reading a recipe: YAML and overrides in, a validated recipe or one clear sentence out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, JsonValue, ValidationError

from stsflow.tasks.ground.addresses import fit_to_show
from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.ground.yaml_text import DEEPEST, LARGEST_TEXT, load_yaml
from stsflow.tasks.recipe.messages import LONGEST_SHOWN, cut, explain, shown

T = TypeVar("T", bound=BaseModel)

# Paths given on the command line start from the working directory; in the file, from the file's own folder.
PATH_FIELDS = (
    ("data", "root"),
    ("model", "source", "path"),
    ("training", "guide", "source", "path"),
    ("teacher", "source", "path"),
    ("mining", "*", "model", "source", "path"),
    ("mining", "*", "guide", "source", "path"),
    ("evaluation", "suites", "*", "folder"),
    ("release", "sign", "key"),
)


def load_recipe(kind: type[T], path: Path, overrides: Iterable[str] = ()) -> T:
    """The recipe in YAML file `path`, with `dotted.key=value` overrides, as a `kind` (RunConfig).

    Relative paths in the file start from the file's folder, those in overrides from the working directory; `data.root`
    defaults to the file's folder. Raises RecipeError naming the file, the field, what was found and what is allowed.
    """
    values = read_mapping(path, "recipe", "sections such as data, model and training")
    folder = path.resolve().parent
    anchor_paths(values, folder)
    for override in overrides:
        _apply(values, override)
    anchor_paths(values, Path.cwd())
    if isinstance(data := values.get("data"), dict):
        data.setdefault("root", str(folder))
    return _validated(kind, values, str(path))


def with_settings(recipe: T, settings: Mapping[str, JsonValue], where: str) -> T:
    """The recipe with other values by dotted key, checked as a whole; raises RecipeError that begins with `where`."""
    values = recipe.model_dump(mode="json")
    for key, value in settings.items():
        _put(values, key.split("."), value, where)
    return _validated(type(recipe), values, where)


def _validated(kind: type[T], values: dict[str, Any], where: str) -> T:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RecipeError(explain(error, kind, where)) from None
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def read_mapping(path: Path, what: str, entries: str) -> dict[str, Any]:
    """The YAML mapping in the file `path`; raises RecipeError in the words for `what` it is and for its `entries`."""
    try:
        if path.exists() and not path.is_file():  # a pipe nobody writes to would be waited for, without end
            raise RecipeError(f"{path}: the {what} is not a file")
        if path.stat().st_size > 4 * LARGEST_TEXT:
            raise RecipeError(
                f"{path}: {path.stat().st_size:,} bytes; a {what} has at most {LARGEST_TEXT:,} characters"
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(item.name for item in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; {path.parent} has: {', '.join(near)}" if near else ""
        raise RecipeError(f"{path}: there is no such {what}{hint}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: the {what} cannot be read: {error}") from None
    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: not valid YAML: {_problem(error)}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a {what} is a mapping of {entries}; found {shown(values)}")
    return values


def _problem(error: yaml.YAMLError) -> str:
    return str(fit_to_show(getattr(error, "problem", None) or " ".join(str(error).split())))


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    override = fit_to_show(override)
    parts = key.strip().split(".")
    where = f"--set {cut(override, LONGEST_SHOWN)}"
    if not equals or not all(parts) or len(parts) > DEEPEST:
        raise RecipeError(f"{where}: write --set dotted.key=value, such as --set training.epochs=2")
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: the value is not valid YAML: {_problem(error)}") from None
    _put(values, parts, value, where)


def _put(values: dict[str, Any], parts: Sequence[str], value: Any, where: str) -> None:
    target: Any = values
    for depth, part in enumerate(parts[:-1]):
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise RecipeError(f"{where}: {'.'.join(parts[: depth + 1])} is a value, not a section")
    target[parts[-1]] = value


def anchor_paths(values: dict[str, Any], folder: Path) -> None:
    """Make the relative paths among a recipe's values, as they come from YAML, start from `folder`; in place."""
    for *names, field in PATH_FIELDS:
        sections: list[Any] = [values]
        for name in names:
            inside = [section for section in sections if isinstance(section, dict)]
            sections = [one for section in inside for key, one in section.items() if name in (key, "*")]
        for section in sections:
            if isinstance(section, dict) and isinstance(section.get(field), str):
                section[field] = _anchored(".".join([*names, field]), section[field], folder)


def _anchored(where: str, path: str, folder: Path) -> str:
    try:
        return str((folder / Path(path).expanduser()).resolve())
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, a user that is not there
        raise RecipeError(f"{where}: found {shown(path)}, which is no path: {error}") from None
