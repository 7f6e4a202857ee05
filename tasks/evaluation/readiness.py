"""What would make an evaluation fail that can be seen before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from stsflow.tasks.ground.errors import PreconditionError, RecipeError
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.suites import MatryoshkaSuite, MtebSuite, Suite


def check_suites(suites: Mapping[str, Suite], base: BaseModelRef) -> None:
    """Raise when a suite cannot be scored on a model made from `base`.

    RecipeError for embedding sizes beyond the model's own; PreconditionError when a suite's package is not installed
    or its folder is not there.
    """
    for name, suite in suites.items():
        where = f"evaluation.suites.{name}"
        if isinstance(suite, MatryoshkaSuite) and max(suite.dimensions) > base.dimension:
            raise RecipeError(
                f"{where}.dimensions: found {max(suite.dimensions)}; embeddings of {base.name} have "
                f"{base.dimension} numbers"
            )
        if isinstance(suite, MtebSuite):
            if find_spec("mteb") is None:
                raise PreconditionError(f"{where}: the package mteb is not installed; pip install 'stsflow[mteb]'")
            if suite.folder is not None and not suite.folder.is_dir():
                raise PreconditionError(f"{where}.folder: there is no folder {suite.folder}")
