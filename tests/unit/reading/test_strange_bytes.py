"""Strange, damaged and hostile data files: rows, or one sentence that says where; no traceback, no flood of memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.shapes import ScoredPairs
from stsflow.tasks.sources import Access, FilesSource

HEADER = "sentence1\tsentence2\tscore\n"
COLUMNS = ("sentence1", "sentence2", "score")
OBJECT = '{"sentence1": "a", "sentence2": "b", "score": 1}'


def read(root: Path, name: str, wanted: tuple[str, ...] = COLUMNS, **source: object) -> list[tuple[str, ...]]:
    files = FilesSource.model_validate({"paths": [name], **source})
    reading = files.read(files.fetch(Access(root, root / "downloads")), wanted)
    return list(zip(*(reading.texts(name).to_pylist() for name in wanted), strict=True))


def refusal(root: Path, name: str, content: bytes | None = None, **source: object) -> str:
    if content is not None:
        (root / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(root, name, **source)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message and len(caught.value.message) < 700
    return caught.value.message


# -------------------------------------------------------------------------------------------- encodings, line ends


@pytest.mark.parametrize(
    "encoding", ["idna", "undefined", "punycode", "unicode_escape", "base64", "utf-9", "a\0b", "é"]
)
def test_what_is_no_encoding_of_text_files_is_refused_at_reading_of_the_recipe(encoding: str) -> None:
    with pytest.raises(ValidationError, match=r"there is no encoding|is no encoding of text files|control characters"):
        FilesSource(paths=("a.tsv",), encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "UTF-16-LE", "cp949", "utf_8", "UTF8", "utf-8-sig"])
def test_the_encodings_of_text_files_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.tsv").write_bytes((HEADER + "가\t나\t1\n").encode(encoding))
    assert read(tmp_path, "a.tsv", encoding=encoding) == [("가", "나", "1")]


def test_utf_16_without_a_byte_order_mark_is_refused_with_the_way_out(tmp_path: Path) -> None:
    message = refusal(tmp_path, "a.tsv", (HEADER + "가\t나\t1\n").encode("utf-16-le"), encoding="utf-16")
    assert message.startswith("a.tsv") and "the bytes are not utf-16 text" in message and "`encoding`." in message


@pytest.mark.parametrize("packed", [False, True])
def test_broken_text_far_into_a_file_is_found_by_line_and_byte(tmp_path: Path, packed: bool) -> None:
    good = HEADER.encode() + "가\tb\t1\n".encode() * 300_000  # more than two blocks of a mebibyte, split anywhere
    content = good + b"c\t\xed\xa0\x80\t2\n"
    message = (
        refusal(tmp_path, "a.tsv.gz", gzip.compress(content, 1)) if packed else refusal(tmp_path, "a.tsv", content)
    )
    assert f"line 300002: the bytes are not utf-8 text (byte {len(good) + 2} of the file: ed)" in message


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_lines_that_end_with_a_carriage_return_alone_are_refused(tmp_path: Path, name: str) -> None:
    text = f"{OBJECT}\r{OBJECT}\r" if name == "a.jsonl" else HEADER.replace("\t", "," if name == "a.csv" else "\t")
    content = text.replace("\n", "\r") + ("" if name == "a.jsonl" else "a,b,1\r")
    assert "end with a carriage return alone, as on old Macintosh" in refusal(tmp_path, name, content.encode())


def test_only_lf_and_cr_lf_end_a_line(tmp_path: Path) -> None:
    odd = "one\x85two\u2028three\u2029four\x0bfive\x1csix"
    (tmp_path / "a.tsv").write_text(f"{HEADER}{odd}\tb\t1\r\nc\td\t2\n", "utf-8", newline="")
    (tmp_path / "a.csv").write_text(f'sentence1,sentence2,score\n"{odd}",b,1\nc,d,2\n', "utf-8", newline="")
    (tmp_path / "a.jsonl").write_text(
        "\r\n".join(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in
                    [(odd, "b", "1"), ("c", "d", "2")]), "utf-8", newline="",
    )  # fmt: skip
    for name in ("a.tsv", "a.csv", "a.jsonl"):
        assert read(tmp_path, name) == [(odd, "b", "1"), ("c", "d", "2")], name


def test_a_text_of_invisible_characters_alone_is_an_empty_one(tmp_path: Path) -> None:
    invisible = ["\u200b", "\ufeff", " \u200d\u2060 ", "\u3164", "\u00ad\u200e", "\u2800", "\x85"]
    visible = ["a\u200bb", "👩\u200d👩", ".", "ㅤㅤㅋ"]
    rows = "".join(f"{text}\tx\t1\n" for text in [*invisible, *visible])
    (tmp_path / "a.tsv").write_text(HEADER + rows, "utf-8")
    assert [row[0] for row in read(tmp_path, "a.tsv")] == [""] * len(invisible) + visible


def test_a_byte_order_mark_inside_a_file_is_text_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(f"\ufeff{HEADER}\ufeffa\tb\t1\nc\td\t2\n".encode())
    files = FilesSource(paths=("a.tsv",))
    reading = files.read(files.fetch(Access(tmp_path, tmp_path)), COLUMNS)
    assert reading.texts("sentence1").to_pylist() == ["\ufeffa", "c"]
    (finding,) = reading.findings
    assert (finding.code, finding.severity) == ("integrity.byte_order_mark", "warning")
    assert finding.message.startswith("1 fields of a.tsv hold a byte order mark (U+FEFF), which was kept")


# ---------------------------------------------------------------------------------------------------- packed files


def bomb(path: Path, piece: bytes, mebibytes: int, head: bytes = b"") -> None:
    with pa.output_stream(path, compression="detect") as stream:
        stream.write(head)
        block = piece * (2**20 // len(piece))
        for _ in range(mebibytes):
            stream.write(block)


@pytest.mark.parametrize(
    ("name", "piece", "head"),
    [
        ("a.tsv.gz", b"x", HEADER.encode()),
        ("a.tsv.gz", b"\n", HEADER.encode()),
        ("a.tsv.zst", b"x", HEADER.encode()),
        ("a.jsonl.zst", b'{"a":', b""),
        ("a.csv.gz", b'"', b""),
        ("a.json.gz", b"[],", b"["),
        ("a.jsonl.gz", b'{"a":', b""),
    ],
)
def test_a_packed_file_becomes_no_larger_than_its_limit(tmp_path: Path, name: str, piece: bytes, head: bytes) -> None:
    bomb(tmp_path / name, piece, 24, head)
    tracemalloc.start()
    message = refusal(tmp_path, name, max_unpacked_bytes=8 * 2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message == (
        f"{name}: unpacked, the file is larger than 8,388,608 bytes (the source's `max_unpacked_bytes`). If it is "
        "meant to be, raise that limit or unpack the file yourself."
    )
    assert peak < 16 * 2**20


@pytest.mark.parametrize("name", ["a.tsv.gz", "a.csv.gz", "a.jsonl.zst"])
def test_a_packed_file_of_empty_lines_is_refused_long_before_its_end(tmp_path: Path, name: str) -> None:
    bomb(tmp_path / name, b"\n", 40, f"{OBJECT}\n".encode() if "json" in name else b"sentence1,sentence2,score\n")
    options = {} if "json" in name else {"delimiter": ","}
    assert refusal(tmp_path, name, **options) == f"{name}: the file holds more than 1,000,000 empty lines; remove them."


def test_the_default_limit_is_stated_and_can_be_changed() -> None:
    fields = FilesSource.model_json_schema()["properties"]
    assert fields["max_unpacked_bytes"]["default"] == 512 * 2**20
    assert fields["max_line_characters"]["default"] == 16 * 2**20


@pytest.mark.parametrize("at", [2, 5, 30, -6, -3])
def test_a_flipped_byte_in_a_packed_file_is_refused(tmp_path: Path, at: int) -> None:
    content = bytearray(gzip.compress((HEADER + "".join(f"a{n}\tb\t1\n" for n in range(500))).encode()))
    content[at] ^= 0xFF
    if at == 5:  # the time of packing: no part of what is packed
        (tmp_path / "a.tsv.gz").write_bytes(content)
        assert len(read(tmp_path, "a.tsv.gz")) == 500
        return
    assert refusal(tmp_path, "a.tsv.gz", bytes(content)) == "a.tsv.gz: the file is not a whole gzip file."


def test_a_packed_file_is_known_by_its_content_when_a_link_hides_its_name(tmp_path: Path) -> None:
    content = (HEADER + "a\tb\t1\n").encode()
    for packed in (gzip.compress(content), pa.Codec("zstd").compress(content, asbytes=True)):
        (tmp_path / "blob").write_bytes(packed)
        (tmp_path / "a.tsv").unlink(missing_ok=True)
        (tmp_path / "a.tsv").symlink_to("blob")
        assert read(tmp_path, "a.tsv") == [("a", "b", "1")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", HEADER.encode() + b"a\tb\t1\n" + b"x" * 5000),
        ("a.csv", b"sentence1,sentence2,score\na,b,1\n" + b'"' + b"x\n" * 5000),
        ("a.jsonl", OBJECT.encode() + b"\n" + b"\n" + b"[" * 5000),
    ],
)
def test_a_line_or_field_becomes_no_longer_than_its_limit(tmp_path: Path, name: str, content: bytes) -> None:
    message = refusal(
        tmp_path, name, content, max_line_characters=4000, quoting="minimal" if ".csv" in name else "none"
    )
    assert message == (
        f"{name}, line 3: more than 4,000 characters belong to one row (the source's `max_line_characters`). If it is "
        "meant to be so long, raise that limit."
    )


# ------------------------------------------------------------------------------------------------------------ json


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", "[" * 100_000, "a.jsonl: a value is nested too deeply to be a row."),
        ("a.json", '{"a":' * 100_000, "a.json: a value is nested too deeply to be a row."),
        ("a.jsonl", OBJECT.replace("1}", "9" * 5000 + "}"), "line 1: a whole number has more than 4,300 digits."),
        ("a.json", "[" + "9" * 5000 + "]", "a.json: a whole number has more than 4,300 digits."),
        ("a.jsonl", OBJECT.replace("}", ', "score": 2}'), "line 1: an object names the field 'score' more than once."),
        ("a.json", "[" + OBJECT.replace("}", ', "score": 2}') + "]", "a.json: an object names the field 'score'"),
        ("a.jsonl", '{"é": 1, "e\u0301": 2}', "line 1: an object names the field 'é' more than once."),
        ("a.jsonl", '{"' + "n" * 3000 + '": 1}', "line 1: there is no column 'sentence1'"),
    ],
    ids=range(8),
)  # fmt: skip
def test_strange_json_is_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    assert words in refusal(tmp_path, name, content.encode())


def test_a_json_document_of_too_many_values_is_refused_before_it_is_built(tmp_path: Path) -> None:
    content = b"[" + b"[]," * 5_500_000 + b"[]]"
    tracemalloc.start()
    message = refusal(tmp_path, "a.json", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "may hold more than 10,000,000 values; write one object a line (jsonl)." in message
    assert peak < 100 * 2**20


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity", "1e999", '"nan"', '"1_0"'])
def test_a_score_that_is_no_finite_number_is_refused_with_its_line(tmp_path: Path, score: str) -> None:
    (tmp_path / "a.jsonl").write_text(OBJECT + "\n" + OBJECT.replace("1}", f"{score}}}"))
    files = FilesSource(paths=("a.jsonl",))
    reading = files.read(files.fetch(Access(tmp_path, tmp_path)), COLUMNS)
    with pytest.raises(DataError, match=r"^a\.jsonl, line 2: the score of the set is .*, which is not a number\.$"):
        ScoredPairs().shape(reading, "the set", True)


# --------------------------------------------------------------------------------------------------------- parquet


def parquet(path: Path, table: pa.Table, **options: object) -> bytes:
    pq.write_table(table, path, **options)
    return path.read_bytes()


def test_a_parquet_file_with_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    broken = pa.array([b"a", b"\xff\xfe"]).view(pa.string())
    parquet(tmp_path / "a.parquet", pa.table({"sentence1": broken, "sentence2": ["b", "c"], "score": ["1", "2"]}))
    assert "a.parquet: not a readable parquet file: Invalid UTF8" in refusal(tmp_path, "a.parquet")


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 4, names=["sentence1", "sentence2", "score", "sentence2"])
    parquet(tmp_path / "a.parquet", table)
    assert refusal(tmp_path, "a.parquet") == "a.parquet: the file has the column 'sentence2' more than once."


def test_a_parquet_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", pa.table({"sentence1": ["a"], "sentence2": [7], "score": [1.5]}))
    assert refusal(tmp_path, "a.parquet").startswith(
        "a.parquet, row 1: the field 'sentence2' holds a number or a boolean"
    )


def test_a_small_parquet_file_becomes_no_larger_than_its_limit(tmp_path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 2**20]))
    table = pa.table({"sentence1": text})  # 98 GiB as text
    assert len(parquet(tmp_path / "a.parquet", table, compression="zstd", store_schema=False)) < 2**16
    before = pa.total_allocated_bytes()
    message = refusal(tmp_path, "a.parquet", wanted=("sentence1",))
    assert message.startswith(
        "a.parquet: its columns hold more than 536,870,912 bytes (the source's `max_unpacked_bytes`)"
    )
    assert pa.total_allocated_bytes() - before < 2**27


def test_every_byte_of_a_parquet_file_may_be_flipped(tmp_path: Path) -> None:
    table = pa.table({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [1.0, 2.0]})
    content = parquet(tmp_path / "a.parquet", table)
    for at in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        (tmp_path / "a.parquet").write_bytes(damaged)
        try:
            assert len(read(tmp_path, "a.parquet", ("sentence1", "sentence2"))) > 0
        except DataError as error:
            assert "\n" not in error.message


# ----------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "a.json", "a.parquet"])
def test_a_decomposed_header_answers_to_a_composed_name_and_the_other_way_round(tmp_path: Path, name: str) -> None:
    composed, decomposed = "문장é", "\u1106\u116e\u11ab\u110c\u1161\u11bc" + "e\u0301"
    for written, asked in ((decomposed, composed), (composed, decomposed)):
        row = {written: "a", "b": "c"}
        if name == "a.parquet":
            parquet(tmp_path / name, pa.Table.from_pylist([row]))
        elif "json" in name:
            text = json.dumps(row, ensure_ascii=False)
            (tmp_path / name).write_text(text if name == "a.jsonl" else f"[{text}]", "utf-8")
        else:
            mark = "," if name == "a.csv" else "\t"
            (tmp_path / name).write_text(f"{written}{mark}b\na{mark}c\n", "utf-8")
        assert read(tmp_path, name, (asked, "b")) == [("a", "c")]


# ----------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize("entry", ["x" * 300 + ".tsv", "**x.tsv", "x/**y/*.tsv", "loop/a.tsv", "loop", "d/" * 3000])
def test_a_path_that_cannot_be_followed_is_refused(tmp_path: Path, entry: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "this path cannot be followed (" in refusal(tmp_path, entry) or "no such file" in refusal(tmp_path, entry)


def test_a_pipe_is_no_data_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tsv")
    assert refusal(tmp_path, "a.tsv") == "a.tsv: this is a pipe, a socket or a device; rows are read from files."
    assert "the folder holds no tsv, csv" in refusal(tmp_path, ".")


def test_a_device_is_no_data_file() -> None:
    with pytest.raises(DataError, match=r"^/dev/zero: this is a pipe, a socket or a device"):
        FilesSource(paths=("/dev/zero",)).fetch(Access(None, Path("downloads")))


def test_a_file_whose_name_is_not_utf_8_is_refused_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with io.FileIO(os.fsencode(tmp_path / "data") + b"/\xff.tsv", "w") as stream:
        stream.write(HEADER.encode() + b"a\tb\t1\n")
    assert refusal(tmp_path, "data") == "data: the file's name '\\udcff.tsv' is not UTF-8: give it another."
