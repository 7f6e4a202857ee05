"""Parts of one source: they share no value of the columns they are made by, and whoever reads the files agrees."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.several import Several
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.reading.rows import Reading
from stsflow.tasks.recipe.sections import DataConfig
from stsflow.tasks.shapes import LabelledPairs, Pairs, Texts
from stsflow.tasks.sources import Access, FilesSource
from stsflow.tasks.suites import StsSuite

PARTS = ("train", "dev", "test")
Row = tuple[str, ...]


def part(root: Path, take: str, columns: list[str], *paths: str, **more: Any) -> Reading:
    rest = {name: more.pop(name) for name in ("dev", "test", "by", "seed") if name in more}
    source = FilesSource.model_validate({"paths": paths or ["a.tsv"], "part": {"take": take, **rest}, **more})
    return source.read(source.fetch(Access(root, root)), columns)


def rows_of(reading: Reading, columns: list[str]) -> list[Row]:
    return list(zip(*(reading.column(name).to_pylist() for name in columns), strict=True))


def written(folder: Path, rows: list[Row], name: str = "a.tsv") -> Path:
    (folder / name).write_text("\n".join("\t".join(row) for row in [("one", "two", "who"), *rows]) + "\n", "utf-8")
    return folder


def chains(count: int) -> list[Row]:
    """Rows that hang together in chains of up to four, by a text in one or in the other column."""
    rows: list[Row] = []
    for number in range(count):
        links = [f"{number} text {step}" for step in range(number % 4 + 2)]
        rows += [(one, two, f"{number}") for one, two in pairwise(links)]
    random.Random(1).shuffle(rows)
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_in_one_part_and_no_text_in_two(tmp_path: Path, seed: int) -> None:
    rows = chains(60)
    given = {"dev": 0.2, "test": 0.3, "by": ["one", "two"], "seed": seed}
    found = [rows_of(part(written(tmp_path, rows), take, ["one", "two"], **given), ["one", "two"]) for take in PARTS]
    assert sorted(row for some in found for row in some) == sorted(row[:2] for row in rows)
    texts = [{text for row in some for text in row} for some in found]
    assert all(texts) and not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])


def test_texts_that_differ_in_case_and_punctuation_are_one(tmp_path: Path) -> None:
    rows = [(f"a{n}", "What now?", "x") if n % 2 else (f"b{n}", "what now", "x") for n in range(40)]
    folder = written(tmp_path, [*rows, *(("p", "q", "x") for _ in range(3))])
    sizes = {
        seed: [part(folder, take, ["one"], test=0.5, by=["one", "two"], seed=seed).rows for take in ("train", "test")]
        for seed in range(12)
        if seed in apart(folder)
    }
    assert sizes and all(sorted(found) == [3, 40] for found in sizes.values())


def apart(folder: Path) -> list[int]:
    """Seeds that give the two groups of the test above to different parts; of others one part is empty."""
    seeds = []
    for seed in range(12):
        try:
            part(folder, "train", ["one"], test=0.5, by=["one", "two"], seed=seed)
            part(folder, "test", ["one"], test=0.5, by=["one", "two"], seed=seed)
        except DataError as error:
            assert error.message.startswith("a.tsv: the part ") and " of its 43 rows in 2 groups" in error.message
        else:
            seeds.append(seed)
    return seeds


def test_a_group_goes_where_it_goes_whatever_stands_beside_it_and_however_it_is_read(tmp_path: Path) -> None:
    rows = chains(60)
    given = {"test": 0.4, "by": ["one", "two"]}
    whole = set(rows_of(part(written(tmp_path, rows), "test", ["one", "two"], **given), ["one", "two"]))
    half = [row for row in rows if int(row[2]) < 30]
    written(tmp_path, half[::-1][:20], "b.tsv"), written(tmp_path, half[::-1][20:], "c.tsv")
    found = rows_of(part(tmp_path, "test", ["two", "one"], "b.tsv", "c.tsv", **given), ["one", "two"])
    assert set(found) == whole & {row[:2] for row in half}
    other = set(rows_of(part(tmp_path, "test", ["one", "two"], seed=1, **given), ["one", "two"]))
    assert other != whole


def test_the_shares_are_those_asked_for_where_groups_are_small(tmp_path: Path) -> None:
    folder = written(tmp_path, [(f"{n} left", f"{n} right", "x") for n in range(4000)])
    sizes = [part(folder, take, ["one"], dev=0.1, test=0.2, by=["one", "two"]).rows for take in PARTS]
    assert sum(sizes) == 4000
    for size, share in zip(sizes, (0.7, 0.1, 0.2), strict=True):
        assert abs(size - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5
    (said,) = part(folder, "test", ["one"], test=0.2, by=["one"]).findings
    assert (said.severity, said.numbers["groups"], said.numbers["largest"]) == ("info", 4000, 1)


def test_a_value_that_joins_many_rows_is_a_warning(tmp_path: Path) -> None:
    folder = written(tmp_path, [(f"{n}", "same", "x") if n < 30 else (f"{n}", f"t{n}", "y") for n in range(100)])
    (said,) = part(folder, "train", ["one"], test=0.5, by=["one", "two"]).findings
    assert (said.severity, said.numbers["largest"]) == ("warning", 30)


def test_rows_keep_their_lines_and_a_column_may_be_a_list(tmp_path: Path) -> None:
    lines = [f'{{"one": "{n}", "more": ["{n} a", "{n // 2} b"]}}' for n in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), "utf-8")
    found = part(tmp_path, "test", ["one", Several("more")], "a.jsonl", test=0.5, by=["more"])
    kept = [int(value) for value in found.column("one").to_pylist()]
    assert {n // 2 for n in kept} == {n // 2 for n in kept if {n, n ^ 1} <= set(kept)}  # both rows of a shared text
    assert found.where(1) == f"a.jsonl, line {kept[1] + 1}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"take": "dev", "test": 0.1}, "`take: dev` takes nothing"),
        ({"take": "train"}, "without either there is one part"),
        ({"take": "train", "dev": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"take": "test", "test": 0.5, "by": []}, "at least 1 item"),
    ],
)
def test_parts_that_cannot_be_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FilesSource.model_validate({"paths": ["a.tsv"], "part": {"by": ["one"], **fields}})


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no column 'three'"):
        part(written(tmp_path, chains(3)), "train", ["one"], test=0.5, by=["three"])


def test_a_training_set_and_a_suite_of_the_same_file_share_nothing(tmp_path: Path, workspace: Workspace) -> None:
    folder = written(tmp_path, [(one, two, str(int(who) % 2)) for one, two, who in chains(80)])
    cut = {"dev": 0.3, "by": ["one", "two"]}
    source = {"kind": "files", "paths": ["a.tsv"]}
    shape = {"kind": "labelled_pairs", "sentence1": "one", "sentence2": "two", "label": "who"}
    data = DataConfig.model_validate(
        {"root": folder, "train": {"pairs": {"source": source | {"part": cut | {"take": "train"}}, "shape": shape}}}
    )
    suite = StsSuite.model_validate(
        {
            "source": source | {"part": cut | {"take": "dev"}},
            "shape": {"sentence1": "one", "sentence2": "two", "score": "who", "score_range": [0, 1]},
        }
    )
    prepared = prepare_data(data, {"dev": suite}, workspace)
    (overlap,) = prepared.overlaps
    assert overlap.equal.sentences == 0 and overlap.equal.of_rows == prepared.evaluation_set("dev").rows
    assert prepared.train[0].rows + prepared.evaluation_set("dev").rows == len(chains(80))
    assert [finding.code for finding in prepared.findings].count("integrity.part") == 2


# ------------------------------------------------------------------------------------------------------- real rows


@pytest.mark.realdata
def test_parts_of_question_pairs_share_no_sentence(real_rows: Callable[[str], Path]) -> None:
    """Labelled pairs in a csv with a byte order mark and CR LF."""
    folder = real_rows("Question_pair")
    shape = LabelledPairs(sentence1="question1", sentence2="question2", label="is_duplicate")
    seen: list[set[str]] = []
    rows = 0
    for take in PARTS:
        reading = part(
            folder, take, list(shape.reads), "kor_pair_train.csv", dev=0.1, test=0.1, by=["question1", "question2"]
        )
        table = shape.shape(reading, "pairs", True).table
        rows += table.num_rows
        assert set(table["label"].to_pylist()) == {0, 1}
        seen.append({normalised(text) for name in shape.roles.texts for text in table[name].to_pylist()})
    assert rows == 6888
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


@pytest.mark.realdata
def test_real_files_with_and_without_a_header_are_read_whole(real_rows: Callable[[str], Path]) -> None:
    chat = FilesSource(paths=("ChatbotData.csv",))
    pairs = Pairs(anchor="Q", positive="A")
    folder = real_rows("Chatbot_data")
    made = pairs.shape(chat.read(chat.fetch(Access(folder, folder)), pairs.reads), "chat", True)
    assert made.table.num_rows == 11823
    bare = FilesSource(paths=("paraKQC_v1.txt",), format="tsv", header=False, columns=("topic", "act", "text"))
    folder = real_rows("paraKQC")
    made = Texts().shape(bare.read(bare.fetch(Access(folder, folder)), Texts().reads), "questions", True)
    assert made.table.num_rows == 10000
