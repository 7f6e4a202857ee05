"""Prepared data: whole on the disk or not at all, found again by content, complete in its counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk
from pydantic import TypeAdapter

from stsflow.tasks.data.build import prepare_data, prepare_evaluation
from stsflow.tasks.data.defined import require_defined
from stsflow.tasks.data.state import source_states
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.folder import RECORD
from stsflow.tasks.recipe.sections import DataConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.sets.rows import digest_of
from stsflow.tasks.suites import Suite

HEADER = "sentence1\tsentence2\tscore\n"
TRAIN = HEADER + "a\tb\t0\nc\td\t5\n\td\t1\na\tb\t0\n"
DEV = HEADER + "e\tf\t2.5\na\tg\t1\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a training file and a dev file."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "train.tsv").write_text(TRAIN, "utf-8")
    (folder / "dev.tsv").write_text(DEV, "utf-8")
    return folder


def suites(**more: Any) -> dict[str, Suite]:
    section = {"kind": "sts", "source": {"kind": "files", "paths": ["dev.tsv"]}, "split": "dev", **more}
    return {"dev": TypeAdapter(Suite).validate_python(section)}


def config(root: Path, *, leakage: dict[str, Any] | None = None, **more: Any) -> DataConfig:
    section = {"source": {"kind": "files", "paths": ["train.tsv"]}, "shape": {"kind": "scored_pairs"}, **more}
    return DataConfig.model_validate({"root": root, "train": {"sts": section}, "leakage": leakage or {}})


def prepare(root: Path, workspace: Workspace, **more: Any) -> PreparedData:
    return prepare_data(config(root, **more), suites(), workspace)


def left_behind(workspace: Workspace) -> list[str]:
    """What lies in the workspace but locks."""
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    return [path.relative_to(workspace.root).as_posix() for path in files if path.suffix != ".lock"]


def built_at(data: PreparedData) -> list[int]:
    return [path.stat().st_mtime_ns for item in data.train for path in sorted(item.path.iterdir())]


def test_the_record_says_what_lies_on_the_disk_and_what_became_of_every_row(root: Path, workspace: Workspace) -> None:
    data = prepare(root, workspace, title="Pairs", language=["de"], license="cc0-1.0")
    train, dev = data.training_set("sts"), data.evaluation_set("dev")
    assert load_from_disk(str(train.path)).to_list() == [
        {"sentence1": "a", "sentence2": "b", "score": 0.0},
        {"sentence1": "c", "sentence2": "d", "score": 1.0},
        {"sentence1": "a", "sentence2": "b", "score": 0.0},
    ]
    assert (train.rows, train.counts.read, train.counts.dropped, train.counts.kept) == (3, 4, {"empty": 1}, 3)
    assert (train.title, train.language, train.license, train.shape) == ("Pairs", ("de",), "cc0-1.0", "scored_pairs")
    assert (dev.title, dev.split, dev.rows) == ("dev", "dev", 2)
    assert digest_of(train) == train.digest != dev.digest
    assert train.source.files[0].uri == "train.tsv" and train.source.revision == train.source.files[0].sha256
    assert dev.clean_rows is not None and json.loads(dev.clean_rows.read_text()) == [0]
    assert {finding.code for finding in data.findings} >= {"integrity.scores", "leakage.duplicate_rows"}
    assert PreparedData.load(workspace.made("prepared", data.fingerprint) / RECORD).train[0].rows == 3


def test_a_limit_keeps_the_first_rows_and_counts_the_others(root: Path, workspace: Workspace) -> None:
    train = prepare(root, workspace, limit=2).training_set("sts")
    assert train.counts.notes == {"over_limit": 1} and train.rows == 2
    assert load_from_disk(str(train.path))["sentence1"][:] == ["a", "c"]


# ----------------------------------------------------------------------------------------------- reuse by content


def test_the_same_bytes_elsewhere_are_found_again(root: Path, workspace: Workspace, tmp_path: Path) -> None:
    first = prepare(root, workspace)
    other = tmp_path / "elsewhere"
    shutil.copytree(root, other)
    again = prepare(other, workspace)
    assert again.fingerprint == first.fingerprint and built_at(again) == built_at(first)
    assert again.train[0].source.files[0].path == other / "train.tsv"
    (other / "train.tsv").rename(other / "renamed.tsv")
    renamed = prepare(other, workspace, source={"kind": "files", "paths": ["renamed.tsv"]})
    assert built_at(renamed) == built_at(first) and renamed.train[0].source.name == "renamed.tsv"


def test_a_name_that_says_another_format_is_another_data_set(root: Path, workspace: Workspace) -> None:
    first = prepare(root, workspace)
    (root / "train.csv").write_bytes((root / "train.tsv").read_bytes())
    with pytest.raises(DataError, match=r"^train\.csv: there is no column 'sentence1'"):
        prepare(root, workspace, source={"kind": "files", "paths": ["train.csv"]})
    assert built_at(prepare(root, workspace)) == built_at(first)


@pytest.mark.parametrize("file", ["train.tsv", "dev.tsv"])
def test_one_changed_byte_is_another_data_set(root: Path, workspace: Workspace, file: str) -> None:
    first = prepare(root, workspace)
    path = root / file
    path.write_bytes(path.read_bytes().replace(b"\t1\n", b"\t2\n", 1))
    changed = prepare(root, workspace)
    assert changed.fingerprint != first.fingerprint
    assert [one.digest != other.digest for one, other in zip(changed.evaluation, first.evaluation, strict=True)] == [
        file == "dev.tsv"
    ]
    path.write_bytes(path.read_bytes().replace(b"\t2\n", b"\t1\n", 1))
    assert built_at(prepare(root, workspace)) == built_at(first)


def test_fresh_builds_again_what_is_there(root: Path, workspace: Workspace) -> None:
    first = prepare(root, workspace)
    before = built_at(first)
    again = prepare_data(config(root), suites(), workspace, fresh=True)
    assert again.fingerprint == first.fingerprint and again.train[0].digest == first.train[0].digest
    assert (after := built_at(again)) != before
    assert prepare(root, workspace).fingerprint == first.fingerprint and built_at(again) == after


def test_what_an_interrupted_process_left_is_no_data(root: Path, workspace: Workspace) -> None:
    folder = workspace.made("prepared", prepare(root, workspace).fingerprint)
    (folder / RECORD).unlink()
    assert prepare(root, workspace).train[0].rows == 3 and (folder / RECORD).is_file()


# ------------------------------------------------------------------------------------------------------- refusals

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "rows expected": (
        TRAIN, {"expect_rows": 5},
        "sts: the source has 4 rows, `expect_rows` says 5 (-1). The data is not what the recipe was written for, or it "
        "is read the wrong way.",
    ),
    "no rows left": (
        HEADER + "a\t\t1\n\tb\t2\n", {},
        "sts: no row is left of 2 read from train.tsv (2 dropped as empty). The shape 'scored_pairs' must give at "
        "least one.",
    ),
    "no triplets": (
        "sentence1\tsentence2\tgold_label\na\tb\tneutral\n", {"shape": {"kind": "nli_triplets"}},
        "sts: no row is left of 1 read from train.tsv (sentences: 2; sentences with both: 0; sentences without "
        "entailment: 2; sentences without contradiction: 2). The shape 'nli_triplets' must give at least one.",
    ),
    "empty sentence": (
        TRAIN, {"allow_empty_fields": False},
        "train.tsv, line 4: the row has an empty sentence, which sts refuses (allow_empty_fields: false).",
    ),
    "score": (
        HEADER + "a\tb\t9\n", {}, "train.tsv, line 2: the score of sts is 9, outside of 0 to 5 (shape.score_range).",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_data_is_refused_in_one_sentence_and_nothing_is_left(root: Path, workspace: Workspace, case: str) -> None:
    content, section, expected = REFUSED[case]
    (root / "train.tsv").write_text(content, "utf-8")
    with pytest.raises(DataError) as caught:
        prepare(root, workspace, **section)
    assert caught.value.message == expected
    assert left_behind(workspace) == []


def test_a_bad_evaluation_set_leaves_no_half_of_the_data(root: Path, workspace: Workspace) -> None:
    (root / "dev.tsv").write_text(DEV + "x\ty\tz\n", "utf-8")
    with pytest.raises(DataError, match=r"^dev\.tsv, line 4: the score of dev is 'z', which is not a number\.$"):
        prepare(root, workspace)
    assert left_behind(workspace) == []


def test_a_policy_that_refuses_leaves_nothing(root: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError):
        prepare(root, workspace, leakage={"shared_sentences": "refuse"})
    assert left_behind(workspace) == []


def test_a_policy_that_drops_is_counted(root: Path, workspace: Workspace) -> None:
    train = prepare(root, workspace, leakage={"shared_sentences": "drop"}).training_set("sts")
    assert load_from_disk(str(train.path))["sentence1"][:] == ["c"]
    assert train.rows == 1 and sum(train.counts.dropped.values()) == 3
    assert digest_of(train) == train.digest


# ---------------------------------------------------------------------------------------- suites alone, and states


def test_suites_alone_need_no_training_set(root: Path, workspace: Workspace) -> None:
    data = prepare_evaluation(suites(), root, workspace)
    assert data.train == () and data.evaluation_set("dev").rows == 2 and data.overlaps == ()


def test_the_state_of_sources_follows_their_bytes(root: Path, workspace: Workspace) -> None:
    before = source_states(config(root), suites())
    assert list(before) == ["training set sts", "suite dev"]
    (root / "dev.tsv").write_text(DEV.replace("2.5", "2.4"), "utf-8")
    after = source_states(config(root), suites())
    assert after["training set sts"] == before["training set sts"] and after["suite dev"] != before["suite dev"]
    assert left_behind(workspace) == []


@pytest.mark.realdata
def test_the_real_recipe_has_its_known_counts(kornlu: Path, workspace: Workspace) -> None:
    files = {"xnli": ["KorNLI/xnli.dev.ko.tsv", "KorNLI/xnli.test.ko.tsv"], "korsts": ["KorSTS/sts-train.tsv"]}
    shapes = {"xnli": "nli_triplets", "korsts": "scored_pairs"}
    sections = {
        name: {"source": {"kind": "files", "paths": paths}, "shape": {"kind": shapes[name]}}
        for name, paths in files.items()
    }
    data = DataConfig.model_validate({"root": kornlu, "train": sections})
    some = {
        name: TypeAdapter(Suite).validate_python(
            {"kind": "sts", "source": {"kind": "files", "paths": [f"KorSTS/sts-{name}.tsv"]}, "split": name}
        )
        for name in ("dev", "test")
    }
    prepared = prepare_data(data, some, workspace)
    assert {item.name: (item.counts.read, item.rows) for item in (*prepared.train, *prepared.evaluation)} == {
        "xnli": (7500, 4998), "korsts": (5749, 5749), "dev": (1500, 1500), "test": (1379, 1379),
    }  # fmt: skip
    shared = {item.evaluation: item.exact for item in prepared.overlaps if item.train == "korsts"}
    assert [(shared[name].pairs, shared[name].sentences, shared[name].rows) for name in ("test", "dev")] == [
        (2, 153, 166), (3, 166, 169),
    ]  # fmt: skip


@pytest.mark.parametrize("what", [RECORD, "clean-rows", "arrow"])
def test_prepared_data_that_changed_on_the_disk_is_made_again(root: Path, workspace: Workspace, what: str) -> None:
    data = prepare(root, workspace)
    folder = workspace.made("prepared", data.fingerprint)
    rows = data.training_set("sts")
    file = {RECORD: folder / what, "clean-rows": data.evaluation_set("dev").clean_rows,
            "arrow": next(rows.path.glob("*.arrow"))}[what]  # fmt: skip
    assert file is not None
    whole = file.read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 0x01
    file.write_bytes(content)
    again = prepare(root, workspace)
    assert again.training_set("sts").digest == digest_of(again.training_set("sts")) == rows.digest
    assert again == data


UNDEFINED = {
    "all scores equal": ("e\tf\t2\na\tg\t2\nb\tc\t2\n", "all 3 rows have the same gold score"),
    "one row": ("e\tf\t2\n", "it has one row"),
    "one text twice": ("e\te\t1\nf\tf\t2\n", "each of its 2 rows is one text twice"),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_a_suite_without_a_defined_metric_is_found_and_refused_where_it_decides(
    root: Path, workspace: Workspace, case: str
) -> None:
    rows, words = UNDEFINED[case]
    (root / "dev.tsv").write_text(HEADER + rows, "utf-8")
    data = prepare(root, workspace)
    (finding,) = [finding for finding in data.findings if finding.code == "suite.undefined"]
    assert (finding.severity, finding.subject) == ("warning", "dev") and words in finding.message
    require_defined(data, choosing=None, headline="test")
    with pytest.raises(DataError, match="dev chooses the checkpoint"):
        require_defined(data, choosing="dev", headline="test")
    with pytest.raises(DataError, match="dev gives the headline score"):
        require_defined(data, headline="dev")


def test_a_retrieval_suite_without_anything_to_find_is_refused(root: Path, workspace: Workspace) -> None:
    (root / "dev.tsv").write_text("query\tpassage\trelevance\nq\tp\t0\nr\ts\t0\n", "utf-8")
    with pytest.raises(DataError, match="dev: none of its 2 rows has a relevance above 0"):
        prepare_data(config(root), suites(kind="retrieval"), workspace)


def test_scores_that_differ_define_a_metric(root: Path, workspace: Workspace) -> None:
    assert "suite.undefined" not in {finding.code for finding in prepare(root, workspace).findings}
