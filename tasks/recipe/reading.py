"""Reading a recipe: YAML and overrides in, a validated RunConfig or one clear sentence out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stsflow.tasks.ground.addresses import fit_to_show
from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.ground.family import Kind
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.yaml_text import DEEPEST, LARGEST_TEXT, load_yaml
from stsflow.tasks.recipe.prompts import check_prompts
from stsflow.tasks.sources import Source

if TYPE_CHECKING:
    from stsflow.tasks.recipe.sections import RunConfig
    from stsflow.tasks.records.data import PreparedData
    from stsflow.tasks.records.models import BaseModelRef

T = TypeVar("T", bound=BaseModel)

LONGEST_SHOWN = 80
LONGEST_SENTENCE = 1_200  # of which most is the names that are allowed
COMPARE_MODELS = ("beats_base", "beats_champion", "not_worse")
COMPILES = ("torch_compile", "torch_compile_backend", "torch_compile_mode")  # each of them alone turns it on
# Paths given on the command line start from the working directory; in the file, from the file's own folder.
PATH_FIELDS = (("data", "root"), ("model", "source", "path"), ("evaluation", "suites", "*", "folder"))


def load_recipe(kind: type[T], path: Path, overrides: Iterable[str] = ()) -> T:
    """The recipe in YAML file `path`, with `dotted.key=value` overrides, as a `kind` (RunConfig).

    Relative paths in the file start from the file's folder, those in overrides from the working directory; `data.root`
    defaults to the file's folder. Raises RecipeError naming the file, the field, what was found and what is allowed.
    """
    values = _read_yaml(path)
    folder = path.resolve().parent
    _anchor_paths(values, folder)
    for override in overrides:
        _apply(values, override)
    _anchor_paths(values, Path.cwd())
    if isinstance(data := values.get("data"), dict):
        data.setdefault("root", str(folder))
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RecipeError(explain(error, kind, str(path))) from None
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def recipe_sha256(recipe: RunConfig) -> str:
    """What identifies a recipe: the hash of all its values, defaults included."""
    return fingerprint(recipe)


def recipe_yaml(recipe: RunConfig) -> str:
    """The whole recipe as YAML, defaults included, in the order of the sections."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def lock_recipe(recipe: RunConfig, base: BaseModelRef, data: PreparedData) -> RunConfig:
    """The recipe with the hashes of everything it read filled in, so that a later run reads the same or refuses."""
    values = recipe.model_dump(mode="json")
    values["model"]["weights_sha256"] = base.weights_sha256
    values["model"]["source"] = recipe.model.source.locked(base.revision).model_dump(mode="json")
    sections = [(values["data"]["train"][item.name], item) for item in data.train]
    sections += [(values["evaluation"]["suites"][item.name], item) for item in data.evaluation]
    for section, prepared in sections:
        section["expect_rows"] = prepared.counts.read
        source = Source.of(section["source"]["kind"]).model_validate(section["source"])
        section["source"] = source.locked(prepared.source).model_dump(mode="json")
    return type(recipe).model_validate(values)


# ----------------------------------------------------------------------------------------------- parts that must fit


def check_parts_fit(recipe: RunConfig) -> None:
    """Raise RecipeError when sections, each legal alone, do not fit each other; the message names field and remedy."""
    _check_names("training.losses", recipe.training.losses, recipe.data.train, "training set")
    _check_names("training.batch_sizes", recipe.training.batch_sizes, recipe.data.train, "training set")
    _check_names("training.batch_samplers", recipe.training.batch_samplers, recipe.data.train, "training set")
    for name, training_set in recipe.data.train.items():
        loss = recipe.loss_of(name)
        shape = training_set.shape
        if not loss.takes(shape.roles):
            raise RecipeError(
                f"training.losses.{name}: the loss {loss.kind!r} cannot learn from {shape.kind!r} "
                f"(columns {', '.join(shape.roles.columns)}); it needs one of: {', '.join(loss.learns_from)}"
            )
    suites = recipe.evaluation.suites
    _check_names("evaluation.explained_overlap", recipe.evaluation.explained_overlap, suites, "suite")
    for field in ("choose_on", "report_on"):
        if (name := getattr(recipe.evaluation, field)) is not None:
            _check_names(f"evaluation.{field}", [name], suites, "suite")
    if (choosing := recipe.choosing_suite) is not None:
        if suites[choosing].kind != "sts":
            raise RecipeError(
                f"evaluation.choose_on: the suite {choosing!r} is of kind {suites[choosing].kind!r}; "
                "only a suite of kind 'sts' can choose the checkpoint"
            )
        metrics = suites[choosing].metrics
        if recipe.evaluation.choose_metric not in metrics:
            raise RecipeError(
                f"evaluation.choose_metric: the suite {choosing!r} has no metric {recipe.evaluation.choose_metric!r}; "
                f"it has: {', '.join(metrics)}{_nearest(recipe.evaluation.choose_metric, metrics)}"
            )
    elif recipe.training.early_stopping_patience is not None:
        raise RecipeError(
            "training.early_stopping_patience: there is no suite to choose on; "
            "set evaluation.choose_on, or give one suite the split dev"
        )
    for index, rule in enumerate(recipe.release.rules):
        named = [getattr(rule, "suite", None), *getattr(rule, "suites", ())]
        _check_names(f"release.rules[{index}]", [name for name in named if name], suites, "suite")
        _check_names(f"release.rules[{index}].explained", getattr(rule, "explained", ()), suites, "suite")
        if rule.kind in COMPARE_MODELS:
            _check_comparable(recipe, f"release.rules[{index}]", [name for name in named if name])
        if (metric := getattr(rule, "metric", None)) is not None:
            for name in [name for name in named if name] or [recipe.headline_suite]:
                what = f"metric of the suite {name!r} called"
                _check_names(f"release.rules[{index}].metric", [metric], suites[name].metrics, what)
    _check_remote_code(recipe)
    from stsflow.tasks.training.arguments import check_arguments, known_arguments

    _check_names("training.optimizer", [recipe.training.optimizer], known_arguments()["optim"]["one_of"], "optimiser")
    check_arguments(recipe.training.arguments)
    texts = {name: item.shape.roles.texts for name, item in recipe.data.train.items()}
    check_prompts(recipe.training.arguments, texts)
    compiled = [name for name in COMPILES if recipe.training.arguments.get(name)]
    if compiled and {recipe.training.padding_free, recipe.training.word_dropout} != {"off"}:
        raise RecipeError(
            f"training.arguments.{compiled[0]}: a compiled model runs neither batches without padding nor masks cut "
            "from words; set training.padding_free: off and training.word_dropout: off with it"
        )


def _check_comparable(recipe: RunConfig, where: str, named: Sequence[str]) -> None:
    """A comparison needs a paired interval: scores of single rows, and resamples of them. Else it can never hold."""
    if recipe.evaluation.resamples == 0:
        raise RecipeError(f"{where}: models are compared by intervals, and evaluation.resamples is 0")
    for name in named or [recipe.headline_suite]:
        if recipe.evaluation.suites[name].kind == "mteb":
            raise RecipeError(
                f"{where}: the suite {name!r} is of kind 'mteb', whose package gives no scores of single rows to "
                "compare models by; name another suite, or use minimum_score"
            )


def _check_remote_code(recipe: RunConfig) -> None:
    if not recipe.model.trust_remote_code:
        return
    source = recipe.model.source
    if not source.pins_code:
        raise RecipeError(
            "model.trust_remote_code: code is run only from a hub source pinned to a full commit hash "
            f"(40 hexadecimal digits); found kind {source.kind!r}, revision {source.moving_name!r}"
        )


def _check_names(where: str, names: Iterable[str], allowed: Iterable[str], what: str) -> None:
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            raise RecipeError(
                f"{where}: there is no {what} {name!r}; there is: {', '.join(allowed)}{_nearest(name, allowed)}"
            )


# ------------------------------------------------------------------------------------------------------- reading


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():  # a pipe nobody writes to would be waited for, without end
            raise RecipeError(f"{path}: the recipe is not a file")
        if path.stat().st_size > 4 * LARGEST_TEXT:
            raise RecipeError(
                f"{path}: {path.stat().st_size:,} bytes; a recipe has at most {LARGEST_TEXT:,} characters"
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(item.name for item in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; {path.parent} has: {', '.join(near)}" if near else ""
        raise RecipeError(f"{path}: there is no such recipe{hint}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: the recipe cannot be read: {error}") from None
    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: not valid YAML: {_problem(error)}") from None
    if not isinstance(values, dict):
        raise RecipeError(
            f"{path}: a recipe is a mapping of sections such as data, model and training; found {_shown(values)}"
        )
    return values


def _problem(error: yaml.YAMLError) -> str:
    return str(fit_to_show(getattr(error, "problem", None) or " ".join(str(error).split())))


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    override = fit_to_show(override)
    parts = key.strip().split(".")
    shown = override if len(override) <= LONGEST_SHOWN else override[: LONGEST_SHOWN - 3] + "..."
    if not equals or not all(parts) or len(parts) > DEEPEST:
        raise RecipeError(f"--set {shown}: write --set dotted.key=value, such as --set training.epochs=2")
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {shown}: the value is not valid YAML: {_problem(error)}") from None
    target: Any = values
    for depth, part in enumerate(parts[:-1]):
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise RecipeError(f"--set {shown}: {'.'.join(parts[: depth + 1])} is a value, not a section")
    target[parts[-1]] = value


def _anchor_paths(values: dict[str, Any], folder: Path) -> None:
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
        raise RecipeError(f"{where}: found {_shown(path)}, which is no path: {error}") from None


# ------------------------------------------------------------------------------------------------------ messages


def explain(error: ValidationError, kind: type[BaseModel], where: str) -> str:
    """One line for each fault: file, dotted field, what was found, what is allowed, the nearest right name."""
    faults = error.errors(include_url=False)
    lines = [f"{where}: {_cut(_sentence(fault, kind), LONGEST_SENTENCE)}" for fault in faults[:10]]
    if len(faults) > len(lines):
        lines.append(f"{where}: and {len(faults) - len(lines)} more")
    return str(fit_to_show("\n".join(lines)))


def _sentence(fault: ErrorDetails, kind: type[BaseModel]) -> str:
    location = [str(part) for part in fault["loc"] if part != "[key]"]
    section = _model_at(kind, fault["loc"][:-1])
    field = _dotted(kind, fault["loc"])
    if fault["type"] == "extra_forbidden":
        names = list(section.model_fields) if section else []
        return f"{field}: unknown key{_nearest(location[-1], names)}; allowed here: {', '.join(names)}"
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
        return f"{field}.kind: found {_shown(found)}; allowed: {', '.join(names)}{_nearest(str(found), names)}"
    found = _shown(fault["input"])
    allowed = _literals_at(kind, fault["loc"])
    if fault["type"] == "literal_error" and allowed:
        return f"{field}: found {found}; allowed: {', '.join(allowed)}{_nearest(str(fault['input']), allowed)}"
    return f"{field}: found {found}; {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _shown(value: Any) -> str:
    # Made fit to show before it is cut: a cut address may no longer look like one.
    return _cut(repr(fit_to_show(value)), LONGEST_SHOWN)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


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
