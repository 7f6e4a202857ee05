"""Rows out of files, and what is said about files that are not what the recipe thinks."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_stand_in import HubStandIn
from misbehaving_server import MisbehavingServer
from pydantic import ValidationError

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.fingerprint import git_blob_id, sha256_of_file
from stsflow.tasks.reading.rows import Reading
from stsflow.tasks.sources import Access, FilesSource, HubSource, SyntheticSource

HEADER = "sentence1\tsentence2\tscore\n"
COLUMNS = ("sentence1", "sentence2", "score")


def read(root: Path, *paths: str, wanted: tuple[str, ...] = COLUMNS, **source: object) -> Reading:
    """What a files source gives."""
    files = FilesSource.model_validate({"paths": paths, **source})
    return files.read(files.fetch(Access(root, root / "downloads")), wanted)


def rows(reading: Reading) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in reading.table.to_pylist()]


def refusal(root: Path, *paths: str, **source: object) -> str:
    """The one sentence with which a files source is refused."""
    with pytest.raises(DataError) as caught:
        read(root, *paths, **source)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value.message


# --------------------------------------------------------------------------------------------------------- formats

WANTED = [('그가 말했다, "왔어요."', "b", "5"), ("c", "d", "0.25")]


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    lines = ["\t".join(row) for row in WANTED]
    tsv = HEADER + "\n".join(lines) + "\n"
    (tmp_path / "a.tsv").write_text(tsv, "utf-8")
    (tmp_path / "windows.tsv").write_bytes(tsv.replace("\n", "\r\n").encode("utf-8-sig"))
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(tsv.encode()))
    (tmp_path / "a.tsv.zst").write_bytes(pa.Codec("zstd").compress(tsv.encode(), asbytes=True))
    (tmp_path / "korean.tsv").write_bytes(tsv.encode("cp949"))
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *WANTED])
    objects = [{"sentence1": one, "sentence2": two, "score": float(score)} for one, two, score in WANTED]
    objects[0]["score"] = 5  # a whole number is written as one
    (tmp_path / "a.json").write_text(json.dumps({"data": {"items": objects}}), "utf-8")
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, objects)), "utf-8")
    pq.write_table(
        pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in WANTED]), tmp_path / "a.parquet"
    )
    (tmp_path / "bare.txt").write_text("\n".join(lines), "utf-8")
    given = {
        "a.tsv": {}, "windows.tsv": {}, "a.tsv.gz": {}, "a.tsv.zst": {}, "korean.tsv": {"encoding": "cp949"},
        "a.csv": {"quoting": "minimal"}, "a.json": {"records_at": "data.items"}, "a.jsonl": {}, "a.parquet": {},
        "bare.txt": {"format": "tsv", "header": False, "columns": COLUMNS},
    }  # fmt: skip
    for name, source in given.items():
        assert rows(read(tmp_path, name, **source)) == WANTED, name  # type: ignore[arg-type]


def test_a_quoted_csv_field_may_hold_delimiters_quotes_and_newlines(tmp_path: Path) -> None:
    kept = [("one, and\nmore", 'said "yes"', "1"), ("c", "d", "2"), ("e\n\nf", "g", "3")]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *kept])
    reading = read(tmp_path, "a.csv", quoting="minimal")
    assert rows(reading) == kept
    assert [reading.where(row) for row in range(3)] == ["a.csv, line 2", "a.csv, line 4", "a.csv, line 5"]


def test_nested_fields_are_named_with_dots(tmp_path: Path) -> None:
    objects = [
        {"sentence1": "a", "labels": {"label": 2.5, "real": True}},
        {"sentence1": "b", "labels": {"label": None}},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, objects)), "utf-8")
    pq.write_table(pa.Table.from_pylist(objects), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        assert rows(read(tmp_path, name, wanted=("sentence1", "labels.label"))) == [("a", "2.5"), ("b", None)]
    message = refusal(tmp_path, "a.jsonl", wanted=("labels.lable",))
    assert message.startswith("a.jsonl, line 1: there is no column 'labels.lable' (did you mean 'labels.label'?)")


def test_a_glob_and_a_folder_are_read_in_sorted_order(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name in ("c", "a", "b"):
        (tmp_path / "parts" / f"{name}.tsv").write_text(f"{HEADER}{name}\tx\t1\n", "utf-8")
    (tmp_path / "parts" / "notes.txt").write_text("not data", "utf-8")
    for entry in ("parts/*.tsv", "parts"):
        reading = read(tmp_path, entry)
        assert [row[0] for row in rows(reading)] == ["a", "b", "c"]
        assert reading.where(2) == "parts/c.tsv, line 2"
    assert [row[0] for row in rows(read(tmp_path, "parts/c.tsv", "parts/a.tsv"))] == ["c", "a"]


def test_blank_lines_and_kept_quotes_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(HEADER + '"a"\t"b"\t"1"\n\n"c"\t"d"\t"2"\n', "utf-8")
    reading = read(tmp_path, "a.tsv", quoting="none")
    assert {finding.code: finding.severity for finding in reading.findings} == {
        "integrity.blank_lines": "info", "integrity.quotes_kept": "warning",
    }  # fmt: skip
    assert reading.where(1) == "a.tsv, line 4"


# -------------------------------------------------------------------------------------------------------- refusals


def bad(content: bytes) -> dict[str, bytes]:
    return {"a.tsv": content}


REFUSED: dict[str, tuple[dict[str, bytes], dict[str, object], str]] = {
    "missing": ({"b.tsv": b"x"}, {}, "a.tsv: there is no such file; {root} has: b.tsv."),
    "no folder": (
        {}, {"paths": ["deep/a.tsv"]}, "deep/a.tsv: there is no such file (there is no folder {root}/deep either).",
    ),
    "no match": ({}, {"paths": ["*.tsv"]}, "*.tsv: no file matches this pattern below {root}."),
    "empty": (bad(b""), {}, "a.tsv: the file is empty (0 bytes)."),
    "byte order mark alone": (bad(b"\xef\xbb\xbf"), {}, "a.tsv: the file is empty."),
    "header alone": (bad(HEADER.encode()), {}, "a.tsv: the file has a header but no rows."),
    "blank lines alone": (
        bad(b"\n\n"), {"header": False, "columns": COLUMNS}, "a.tsv: the file has no rows.",
    ),
    "wrong columns": (
        bad(b"sentence_1\tsentence2\tscore\na\tb\t1\n"), {},
        "a.tsv: there is no column 'sentence1' (did you mean 'sentence_1'?); found: 'sentence_1', 'sentence2', "
        "'score'. The shape in the recipe says which columns to read.",
    ),
    "duplicate header": (
        bad(b"sentence1\tsentence1\tscore\na\tb\t1\n"), {},
        "a.tsv, line 1: the header names the column 'sentence1' more than once.",
    ),
    "narrow rows": (
        bad(HEADER.encode() + b"a\tb\t1\nc\td\n\ne\n"), {},
        "a.tsv, line 3: 2 fields, but the header in line 1 has 3 (and 1 more row); the line begins with 'c\\td'.",
    ),
    "wide row": (
        bad(HEADER.encode() + b'a\t"b\tb"\t1\n'), {"quoting": "none"},
        "a.tsv, line 2: 4 fields, but the header in line 1 has 3; the line begins with 'a\\t\"b\\tb\"\\t1'. The line "
        "contains quotes: if fields are quoted on purpose, set `quoting: minimal`.",
    ),
    "broken utf-8": (
        bad(HEADER.encode() + b"a\tb\t1\nc\t\xff\xfe\t2\n"), {},
        "a.tsv, line 3: the bytes are not utf-8 text (byte 34 of the file: ff). Save the file in that encoding, or "
        "name its own with `encoding`.",
    ),
    "torn zstd": (
        {"a.tsv.zst": pa.Codec("zstd").compress(HEADER.encode() * 50, asbytes=True)[:-2]}, {"paths": ["a.tsv.zst"]},
        "a.tsv.zst: the file is not a whole zstd file.",
    ),
    "torn gzip": (
        {"a.tsv.gz": gzip.compress(HEADER.encode() * 50)[:-12]}, {"paths": ["a.tsv.gz"]},
        "a.tsv.gz: the file is not a whole gzip file.",
    ),
    "torn json line": (
        {"a.jsonl": b'{"sentence1": "a", "sentence2": "b", "score": 1}\n{"sentence1": \n'}, {"paths": ["a.jsonl"]},
        "a.jsonl, line 2: not valid JSON: Expecting value (column 15).",
    ),
    "half a surrogate pair": (
        {"a.jsonl": b'{"sentence1": "a", "sentence2": "hi \\ud800", "score": 1}\n'}, {"paths": ["a.jsonl"]},
        "a.jsonl, line 1: the field 'sentence2' holds half of a surrogate pair, which no tokenizer can read: "
        "'hi \\ud800'. Mend or remove the row.",
    ),
    "json elsewhere": (
        {"a.json": b'{"items": [1]}'}, {"paths": ["a.json"]},
        "a.json: the document is not a list of rows. It has: 'items'; set `records_at`.",
    ),
    "not parquet": (
        {"a.parquet": b"PAR1 and then nothing of the kind"}, {"paths": ["a.parquet"]},
        "a.parquet: not a readable parquet file: ",
    ),
    "unknown ending": (
        {"a.dat": b"x"}, {"paths": ["a.dat"]},
        "a.dat: the name's ending does not say the format (known: .tsv, .csv, .json, .jsonl, .ndjson, .parquet, and "
        ".gz or .zst on text); set `format`.",
    ),
    "wrong sha256": (
        bad(b"abc"), {"sha256": {"a.tsv": "0" * 64}},
        "a.tsv: the SHA-256 is ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad (3 bytes), expected "
        + "0" * 64 + ".",
    ),
    "wrong git blob": (
        bad(b"abc"), {"git_blob": {"a.tsv": "0" * 40}},
        "a.tsv: the git blob id is f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f (3 bytes), expected " + "0" * 40 + ".",
    ),
    "hash of nothing": (
        bad(b"abc"), {"sha256": {"b.tsv": "0" * 64}}, "source.sha256 names 'b.tsv', which is none of the files: a.tsv.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    files, source, expected = REFUSED[case]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    paths = source.get("paths", ["a.tsv"])
    assert isinstance(paths, list)
    message = refusal(tmp_path, *paths, **{key: value for key, value in source.items() if key != "paths"})
    expected = expected.replace("{root}", str(tmp_path))
    assert message == expected or (expected.endswith(": ") and message.startswith(expected))


@pytest.mark.parametrize("entry", ["../outside.tsv", "link.tsv", "linked/outside.tsv", "*.tsv", "{outside}"])
def test_no_path_leads_out_of_the_root(tmp_path: Path, entry: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside.tsv"
    root.mkdir()
    outside.write_text(HEADER + "a\tb\t1\n", "utf-8")
    (root / "link.tsv").symlink_to(outside)
    (root / "linked").symlink_to(tmp_path)
    message = refusal(root, entry.replace("{outside}", str(outside)))
    assert f"the path leads to {outside}, outside of data.root ({root})" in message


def test_a_header_that_is_not_there_must_be_given() -> None:
    with pytest.raises(ValidationError, match="`columns` must name the columns, left to right"):
        FilesSource(paths=("a.tsv",), header=False)
    with pytest.raises(ValidationError, match="set `header: false` with it"):
        FilesSource(paths=("a.tsv",), columns=("a",))
    with pytest.raises(ValidationError, match="`columns` names 'a' more than once"):
        FilesSource(paths=("a.tsv",), header=False, columns=("a", "a"))


# --------------------------------------------------------------------------------------------------------- quoting

LOST = {
    # lines of data, rows under the csv module's default quoting, rows of the right width: measured independently
    "KorSTS/sts-train.tsv": (5749, 5703, 5691),
    "KorSTS/sts-dev.tsv": (1500, 1471, 1465),
    "KorSTS/sts-test.tsv": (1379, 1379, 1376),
    "KorNLI/xnli.dev.ko.tsv": (2490, 1571, 1570),
    "KorNLI/xnli.test.ko.tsv": (5010, 4954, 4954),
}


def first_damaged_line(path: Path) -> int:
    """Where the csv module first disagrees with the lines of the file."""
    with path.open(encoding="utf-8", newline="") as stream:
        plain = [line.rstrip("\n").split("\t") for line in stream]
    with path.open(encoding="utf-8", newline="") as stream:
        return 1 + next(
            number
            for number, fields in enumerate(csv.reader(stream, delimiter="\t"))
            if (len(fields) != len(plain[0]) or any("\n" in field for field in fields))
        )


@pytest.mark.realdata
@pytest.mark.parametrize("name", LOST)
def test_default_quoting_of_the_real_files_is_refused_with_what_it_loses(kornlu: Path, name: str) -> None:
    lines, found, right = LOST[name]
    columns = ("sentence1", "sentence2", "score" if "STS" in name else "gold_label")
    width = 7 if "STS" in name else 3
    message = refusal(kornlu, name, wanted=columns, quoting="minimal")
    assert message.startswith(
        f"{name}: read with `quoting: minimal`, {lines:,} lines of data become {found:,} rows, of which {right:,} have "
        f"the {width} fields of the header: {lines - right:,} rows would be lost or damaged;"
    )
    assert f"first in line {first_damaged_line(kornlu / name)}." in message
    assert message.endswith(f"Read as plain text every line has {width} fields: set `quoting: none`.")
    assert read(kornlu, name, wanted=columns).rows == lines


# ------------------------------------------------------------------------------------------------- hub, addresses


CARD = """---
configs:
- config_name: snli
  data_files: [{split: train, path: snli/train-*.parquet}]
- config_name: xnli
  data_files: [{split: validation, path: xnli/dev.csv}]
---
"""


@pytest.fixture
def commit(hub_server: HubStandIn, tmp_path: Path) -> str:
    table = pa.table({"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": pa.array([0, 2], pa.int64())})
    pq.write_table(table, tmp_path / "part")
    files = {
        "README.md": CARD.encode(),
        "snli/train-00001-of-00002.parquet": (tmp_path / "part").read_bytes(),
        "snli/train-00000-of-00002.parquet": (tmp_path / "part").read_bytes(),
        "xnli/dev.csv": b'premise,hypothesis,label\n"a, b",c,1\n',
    }
    return hub_server.add("dataset", "team/nli", files)


def test_a_hub_split_is_read_at_its_commit(hub_server: HubStandIn, commit: str, tmp_path: Path) -> None:
    columns, access = ("premise", "hypothesis", "label"), Access(None, tmp_path)
    snli = HubSource(id="team/nli", revision=commit, config="snli")
    fetched = snli.fetch(access)
    assert rows(snli.read(fetched, columns)) == [("a", "c", "0"), ("b", "d", "2")] * 2
    assert (fetched.kind, fetched.name, fetched.revision) == ("hub", "team/nli", commit)
    assert hub_server.count(f"/datasets/team/nli/resolve/{commit}/xnli/dev.csv") == 0
    xnli = HubSource(id="team/nli", revision=commit, config="xnli", split="validation")
    assert rows(xnli.read(xnli.fetch(access), columns)) == [("a, b", "c", "1")]
    assert xnli.state(access) == f"team/nli at {commit}"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "set `config`; found: 'snli', 'xnli'."),
        ({"config": "mnli"}, "there is no configuration 'mnli'; found: 'snli', 'xnli'."),
        ({"config": "snli", "split": "test"}, "there is no split 'test'; found: 'train'."),
    ],
)
def test_a_hub_split_that_is_not_there(commit: str, tmp_path: Path, asked: dict[str, str], words: str) -> None:
    with pytest.raises(DataError) as caught:
        HubSource(id="team/nli", revision=commit, **asked).fetch(Access(None, tmp_path))  # type: ignore[arg-type]
    assert caught.value.message.startswith(f"hub data set team/nli at {commit}") and words in caught.value.message


def test_a_data_set_that_is_a_script_is_not_run(hub_server: HubStandIn, tmp_path: Path) -> None:
    commit = hub_server.add("dataset", "team/old", {"old.py": b"raise SystemExit('run')", "README.md": b"# old\n"})
    with pytest.raises(DataError, match=r"defined by a Python script, which is never run here\. Pin a revision"):
        HubSource(id="team/old", revision=commit).fetch(Access(None, tmp_path))


def test_a_file_by_address_is_verified_and_read(
    http_server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STS_TOKEN", "PLANTED")
    content = (HEADER + "a\tb\t1\n").encode()
    (tmp_path / "same").write_bytes(content)
    http_server.serve("/data/sts.tsv?token=PLANTED", content)
    url = http_server.url("/data/sts.tsv?token=${STS_TOKEN}")
    hashes = {"sts.tsv": sha256_of_file(tmp_path / "same")}
    source = FilesSource(paths=(url,), sha256=hashes, git_blob={"sts.tsv": git_blob_id(tmp_path / "same")})
    access = Access(tmp_path, tmp_path / "downloads")
    fetched = source.fetch(access)
    assert rows(source.read(fetched, COLUMNS)) == [("a", "b", "1")]
    assert "PLANTED" not in fetched.model_dump_json() + source.state(access)
    assert source.state(access).endswith(f"sts.tsv pinned to {hashes['sts.tsv']}")


def test_states_change_with_the_bytes_and_not_with_the_place(http_server: MisbehavingServer, tmp_path: Path) -> None:
    access = Access(tmp_path, tmp_path / "downloads")
    url = http_server.serve("/a.tsv", b"x", etag='"one"')
    (tmp_path / "a.tsv").write_text("x", "utf-8")
    local, remote = FilesSource(paths=("a.tsv",)), FilesSource(paths=(url,))
    before = (local.state(access), remote.state(access))
    assert before == (local.state(access), remote.state(access))
    http_server.serve("/a.tsv", b"y", etag='"two"')
    (tmp_path / "a.tsv").write_text("y", "utf-8")
    assert local.state(access) != before[0] and remote.state(access) != before[1]
    synthetic = [SyntheticSource(task="sts", split="dev", rows=5, seed=seed).state(access) for seed in (0, 0, 1)]
    assert synthetic[0] == synthetic[1] != synthetic[2]
