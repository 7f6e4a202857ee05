"""What the groups of commands share: options, reading a recipe, printing a result.

Every heavy import is inside a command, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from stsflow.tasks.recipe.sections import RunConfig
    from stsflow.tasks.sweeping.places import Place

Recipe = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Replace a value of the recipe, such as training.epochs=2. Repeatable."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log everything, Prefect's own lines too.")]

On = Annotated[
    str, typer.Option("--on", metavar="threads|ray", help="Train them on this machine, or on nodes of a cluster.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address", metavar="HOST:PORT", show_default=False,
        help="The cluster, of which this machine is a node; default: RAY_ADDRESS, or the one that runs here.",
    ),
]  # fmt: skip
EachCpus = Annotated[
    float | None, typer.Option("--trial-cpus", min=0.01, max=10_000, help="CPUs for each of them on Ray; default: 1.")
]
EachGpus = Annotated[
    float | None,
    typer.Option("--trial-gpus", min=0, max=10_000, help="GPUs for each of them on Ray, such as 0.5; default: 0."),
]


def place_of(on: str, ray_address: str | None, cpus: float | None, gpus: float | None) -> Place:
    """Where trainings of several at a time run; raises BadParameter for options that do not go together."""
    from stsflow.tasks.sweeping.places import Place

    if on not in Place.names():
        raise typer.BadParameter(f"--on: found {on!r}; allowed: {', '.join(Place.names())}")
    kind = Place.of(on)
    options = {"address": ray_address, "cpus": cpus, "gpus": gpus}
    given = {name: value for name, value in options.items() if value is not None}
    if other := given.keys() - kind.model_fields.keys():
        named = {"address": "--ray-address", "cpus": "--trial-cpus", "gpus": "--trial-gpus"}
        raise typer.BadParameter(f"{', '.join(named[name] for name in named if name in other)}: needs --on ray")
    return kind.model_validate(given)


def read_recipe(path: Path, overrides: list[str] | None = None) -> RunConfig:
    """The recipe in the file, with the values of `--set` in place of its own."""
    from stsflow.tasks.recipe.sections import RunConfig

    return RunConfig.from_recipe(path, tuple(overrides or ()))


def print_result(result: BaseModel | dict[str, Any], as_json: bool, show: Callable[[], object]) -> None:
    """Print the result: as one line of JSON, or as `show` prints it for a person."""
    if not as_json:
        show()
        return
    values = result if isinstance(result, dict) else result.model_dump(mode="json")
    print(json.dumps(in_json(values), ensure_ascii=False, allow_nan=False, default=str))


def in_json(value: Any) -> Any:
    """The value with null for every number that is not finite: JSON has no number for it that all readers know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: in_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [in_json(item) for item in value]
    return value
