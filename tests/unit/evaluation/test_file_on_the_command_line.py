"""`stsflow evaluate --data FILE` reads what a recipe's source reads, and speaks of its own options."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_recipe import stsflow

from stsflow.tasks.data.build import prepare_evaluation
from stsflow.tasks.evaluation.adhoc import in_options, name_of_file, suite_of_file
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.workspace import Workspace


def test_a_european_file_without_a_header(tmp_path: Path, workspace: Workspace) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text('"ja; nein";b;3,5\nä;"c";4\n', "cp1252")
    names = ("sentence1", "sentence2", "score")
    suites = suite_of_file(file, positional=names, delimiter=";", decimal=",", encoding="cp1252")
    (found,) = prepare_evaluation(suites, None, workspace).evaluation
    from datasets import load_from_disk

    rows = load_from_disk(str(found.path)).to_list()
    assert [(row["sentence1"], row["sentence2"]) for row in rows] == [("ja; nein", "b"), ("ä", "c")]
    assert [row["score"] for row in rows] == pytest.approx([0.7, 0.8])


def test_how_it_was_read_is_logged(tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text('sentence1,sentence2,score\n"Hi" he said,b,3\nc,d,4\n', "utf-8")
    with caplog.at_level("INFO"):
        prepare_evaluation(suite_of_file(file), None, workspace)
    assert (
        "pairs.csv was read as plain text, quotes and all. With quoted fields (RFC 4180) its rows are not whole."
        in caplog.text
    )


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("a,b\nx,y\n", {}, "`--columns` says which columns to read."),
        ("sentence1,sentence2,score\na,b,7\n", {}, "outside of 0 to 5 (--score-range)."),
        ("sentence1;sentence2;score\na;b;1,5\n", {"delimiter": ";"}, "is the decimal mark, set `--decimal`."),
        ('sentence1\tsentence2\tscore\na\t"b"\t1\n', {"format": "tsv"}, "Set `--quoting` to `minimal` for the first"),
        ('sentence1,sentence2,score\na,"b\n', {"quoting": "none"}, "set `--quoting minimal`."),
        ('sentence1,sentence2,score\na,"b,1\nc",d,2\n', {"quoting": "minimal"}, "set `--quoting none`."),
        ("a,b,1\n", {"positional": ("sentence1", "sentence2")}, "but `--positional` has"),
        ("a" * 17_000_000, {}, "read it through a recipe, which can raise the limit."),
        ("", {"encoding": "utf-9"}, "encoding: found 'utf-9'"),
        ("", {"quoting": "some"}, "quoting: found 'some'; allowed: auto, none, minimal"),
        ("", {"score_range": (float("-inf"), 5.0)}, "score_range"),
    ],
    ids=range(11),
)  # fmt: skip
def test_a_fault_is_told_in_the_words_of_the_command_line(
    tmp_path: Path, workspace: Workspace, text: str, options: dict[str, object], words: str
) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(text, "utf-8", newline="")
    wanted = ("sentence1", "sentence2", "sentence2") if "positional" in options else ("sentence1", "sentence2", "score")
    with pytest.raises(DataError) as caught:
        prepare_evaluation(suite_of_file(file, wanted, **options), None, workspace)  # type: ignore[arg-type]
    message = in_options(caught.value.message)
    assert words in message
    assert "shape" not in message and "the source's" not in message and " recipe says" not in message


def test_a_link_keeps_its_name_and_a_pipe_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "blob").write_text("sentence1\tsentence2\tscore\na\tb\t1\nc\td\t2\n", "utf-8")
    (tmp_path / "pairs[1].tsv").symlink_to("blob")
    (found,) = prepare_evaluation(suite_of_file(tmp_path / "pairs[1].tsv"), None, workspace).evaluation
    assert found.rows == 2
    os.mkfifo(tmp_path / "pipe.tsv")
    with pytest.raises(DataError, match="this is a pipe, a socket or a device"):
        prepare_evaluation(suite_of_file(tmp_path / "pipe.tsv"), None, workspace)
    for name in ("x" * 300, "https://u:PLANTED@host/a.csv?PLANTED"):
        with pytest.raises(DataError, match="there is no such file") as caught:
            suite_of_file(Path(name))
        assert "PLANTED" not in caught.value.message


def test_the_command_passes_its_options_on(tmp_path: Path, tiny_bert: Path) -> None:
    (tmp_path / "pairs.csv").write_text("a;b;3,5\nc;d;9\n", "utf-8")
    done = stsflow(
        tmp_path / ".stsflow", "evaluate", str(tiny_bert), "--data", str(tmp_path / "pairs.csv"), "--delimiter", ";",
        "--decimal", ",", "--positional", "sentence1,sentence2,score",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "pairs.csv, line 2: the score of file is 9, outside of 0 to 5 (--score-range)." in done.stderr


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
