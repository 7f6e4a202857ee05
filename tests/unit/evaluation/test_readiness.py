"""What is found before training, and the suite of a file named on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stsflow.tasks.evaluation.adhoc import name_of_file, suite_of_file
from stsflow.tasks.evaluation.readiness import check_suites
from stsflow.tasks.ground.errors import DataError, PreconditionError, RecipeError
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import MatryoshkaSuite, MtebSuite, StsSuite

SOURCE = FilesSource(paths=("rows.tsv",))


@pytest.fixture
def base(tmp_path: Path) -> BaseModelRef:
    return BaseModelRef(
        name="tiny", kind="directory", path=tmp_path, revision="r", digest="d", weights_sha256="w", architecture="bert",
        parameters=1, dimension=32, position_limit=128, max_seq_length=128, pooling="keep",
    )  # fmt: skip


def test_sizes_within_the_models_own_pass(base: BaseModelRef) -> None:
    check_suites({"a": StsSuite(source=SOURCE), "b": MatryoshkaSuite(source=SOURCE, dimensions=(8, 32))}, base)


def test_size_beyond_the_models_own_is_a_recipe_error(base: BaseModelRef) -> None:
    with pytest.raises(RecipeError) as refused:
        check_suites({"sweep": MatryoshkaSuite(source=SOURCE, dimensions=(16, 64))}, base)
    assert str(refused.value) == "evaluation.suites.sweep.dimensions: found 64; embeddings of tiny have 32 numbers"


def test_absent_package_and_folder_are_preconditions(
    base: BaseModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stsflow.tasks.evaluation.readiness.find_spec", lambda _: None)
    with pytest.raises(PreconditionError, match=r"suites\.board: the package mteb is not installed; pip install"):
        check_suites({"board": MtebSuite(task="KorSTS")}, base)
    monkeypatch.setattr("stsflow.tasks.evaluation.readiness.find_spec", lambda _: sys)
    with pytest.raises(PreconditionError, match=r"suites\.board\.folder: there is no folder .*gone"):
        check_suites({"board": MtebSuite(task="KorSTS", folder=tmp_path / "gone")}, base)


def test_file_becomes_a_suite_with_its_columns_and_scale(tmp_path: Path) -> None:
    file = tmp_path / "Our Pairs v2.tsv"
    file.write_text("a\tb\tgold\n", encoding="utf-8")
    ((name, suite),) = suite_of_file(file, ("a", "b", "gold"), (1.0, 4.0)).items()
    assert name == "our-pairs-v2"
    assert (suite.shape.sentence1, suite.shape.sentence2, suite.shape.score) == ("a", "b", "gold")
    assert suite.shape.score_range == (1.0, 4.0)
    assert suite.source.kind == "files" and suite.source.paths == (str(file),)


@pytest.mark.parametrize(
    ("file", "name"), [("sts-test.tsv", "sts-test"), ("a.b.csv.gz", "a"), ("한국어.tsv", "file"), ("A__b.tsv", "a-b")]
)
def test_suite_is_called_after_the_file(file: str, name: str) -> None:
    assert name_of_file(Path(file)) == name


def test_missing_file_and_upside_down_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data .*gone\.tsv: there is no such file"):
        suite_of_file(tmp_path / "gone.tsv")
    file = tmp_path / "rows.tsv"
    file.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="--score-range 5 0: the first number must be the smaller one"):
        suite_of_file(file, score_range=(5.0, 0.0))
