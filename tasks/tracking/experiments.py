"""Experiments with their descriptions, as a file lists them: `python -m stsflow.tasks.tracking.experiments FILE`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from stsflow.tasks.ground.errors import PreconditionError, StsflowError
from stsflow.tasks.ground.schema import Section
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.ground.yaml_text import load_yaml
from stsflow.tasks.tracking.links import DESCRIPTION_TAG
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.store_address import check_reachable


class ExperimentList(Section):
    """The file's content."""

    experiments: dict[str, str] = Field(min_length=1)
    """Description by name."""


def read_experiments(path: Path) -> dict[str, str]:
    """Descriptions by name; raises PreconditionError naming the file."""
    try:
        return ExperimentList.model_validate(load_yaml(path.read_text(encoding="utf-8"))).experiments
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise PreconditionError(f"{path} is no list of experiments: {error}") from error


def describe_experiments(store: Store, descriptions: Mapping[str, str]) -> None:
    """Make the experiments that are missing and set every description; safe to repeat."""
    for name, description in descriptions.items():
        identifier = store.experiment(name)
        store.client.set_experiment_tag(identifier, DESCRIPTION_TAG, description.strip())


def main(path: Path) -> None:
    """Bring the tracking store of this process's environment up to date with the file."""
    workspace = Workspace.here()
    try:
        descriptions = read_experiments(path)
        check_reachable(workspace)
        describe_experiments(Store(workspace), descriptions)
    except StsflowError as error:
        print(error.message, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"{len(descriptions)} experiments are described: {', '.join(descriptions)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
