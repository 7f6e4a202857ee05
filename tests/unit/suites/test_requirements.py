"""What is found before training: sizes beyond the model's, packages and folders that are not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stsflow.tasks.ground.errors import PreconditionError, RecipeError
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import MatryoshkaSuite, MtebSuite, StsSuite, require_suites

SOURCE = FilesSource(paths=("rows.tsv",))


@pytest.fixture
def base(tmp_path: Path) -> BaseModelRef:
    return BaseModelRef(
        name="tiny", kind="directory", path=tmp_path, revision="r", digest="d", weights_sha256="w", architecture="bert",
        parameters=1, dimension=32, position_limit=128, max_seq_length=128, pooling="keep",
    )  # fmt: skip


def test_sizes_within_the_models_own_pass(base: BaseModelRef) -> None:
    require_suites({"a": StsSuite(source=SOURCE), "b": MatryoshkaSuite(source=SOURCE, dimensions=(8, 32))}, base)


def test_size_beyond_the_models_own_is_a_recipe_error(base: BaseModelRef) -> None:
    with pytest.raises(RecipeError) as refused:
        require_suites({"sweep": MatryoshkaSuite(source=SOURCE, dimensions=(16, 64))}, base)
    assert str(refused.value) == "evaluation.suites.sweep.dimensions: found 64; embeddings of tiny have 32 numbers"


def test_absent_package_and_folder_are_preconditions(
    base: BaseModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stsflow.tasks.suites.mteb.find_spec", lambda _: None)
    with pytest.raises(PreconditionError, match=r"suites\.board: the package mteb is not installed; pip install"):
        require_suites({"board": MtebSuite(task="KorSTS")}, base)
    monkeypatch.setattr("stsflow.tasks.suites.mteb.find_spec", lambda _: sys)
    with pytest.raises(PreconditionError, match=r"suites\.board\.folder: there is no folder .*gone"):
        require_suites({"board": MtebSuite(task="KorSTS", folder=tmp_path / "gone")}, base)
