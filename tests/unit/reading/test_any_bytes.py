"""Any bytes as a data file, under any options: rows, or one sentence of the error family. Never anything else."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.shapes import JudgedPairs, NTuples, Parallel, ScoredPairs, Taught
from stsflow.tasks.sources import Access, FilesSource

COLUMNS = ("sentence1", "sentence2", "score")
NAMES = [f"a.{ending}{packed}" for ending in ("tsv", "csv", "json", "jsonl") for packed in ("", ".gz", ".zst")]
NAMES += ["a.parquet"]

# Characters that mean something to one of the readers, and such as are hard to see or to encode.
ALPHABET = "ab,;\t\"'\n\r\\{}[]:0159.-eE \x00\x0b\x1c\x85\u2028\ufeff\u200b\u3164é\u0301가😀"
texts = st.text(ALPHABET, max_size=30)
scores = st.sampled_from(["0", "1", "5", "2,5", "2.5", "nan", "inf", "-0", "1e400", "9" * 5000, "", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(COLUMNS) | texts, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def delimited(draw: st.DrawFn) -> bytes:
    """Lines of fields, mostly of one width, some of them in quotes."""
    mark = draw(st.sampled_from([",", "\t", ";"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    field = texts | scores | texts.map(lambda text: '"' + text.replace('"', '""') + '"')
    rows = draw(st.lists(st.tuples(field, field, scores) | st.lists(field, max_size=4).map(tuple), max_size=6))
    return end.join(mark.join(row) for row in [COLUMNS, *rows]).encode("utf-8", "surrogatepass")


@st.composite
def jsons(draw: st.DrawFn) -> bytes:
    """A list of mostly fitting rows as one document or line by line, with repeated names and deep nesting at times."""
    rows = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, values)) | values, max_size=5))
    lines = [json.dumps(row, ensure_ascii=draw(st.booleans())) for row in rows]
    lines += draw(
        st.lists(st.sampled_from(['{"score": 1, "score": 2}', "[" * 3000, "1" * 4400, "NaN", "\ufeff{}"]), max_size=1)
    )
    text = "\n".join(lines) if draw(st.booleans()) else f"[{','.join(lines)}]"
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole file of rows, packed or parquet, in which some bytes are others, are missing or are added."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in (("a", "b", "1"), ("c", "d", "2"))] * 20
    if draw(st.booleans()):
        content = bytearray(gzip.compress("\n".join(map(json.dumps, rows)).encode(), mtime=0))
    else:
        stream = io.BytesIO()
        kind = draw(st.sampled_from(["none", "snappy", "gzip"]))
        pq.write_table(pa.Table.from_pylist(rows), stream, compression=kind, row_group_size=16)
        content = bytearray(stream.getvalue())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content) - 1))
        content[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(content)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "quoting": st.sampled_from(["auto", "none", "minimal"]),
        "delimiter": st.sampled_from([",", ";", "\t", "|", "a"]),
        "decimal": st.sampled_from([".", ","]),
        "encoding": st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32", "cp949", "latin-1", "utf-7", "shift_jis",
                                     "ascii", "hz", "iso2022_kr", "utf-8-sig", "cp1252", "mac_roman", "big5"]),
        "records_at": st.sampled_from(["a", "a.b", "sentence1", ""]),
        "format": st.sampled_from(["tsv", "csv", "json", "jsonl", "parquet"]),
        "max_unpacked_bytes": st.sampled_from([1, 100, 10_000]),
        "max_line_characters": st.sampled_from([1, 10, 1000]),
    },
)  # fmt: skip
CONTENTS = st.binary(max_size=200) | delimited() | jsons() | damaged() | st.binary(max_size=60).map(gzip.compress)


SEVERAL = (
    NTuples(anchor="sentence1", positive="sentence2", negative="score", negatives=2, fewer="repeat", more="first"),
    Taught(anchor="sentence1", positive="sentence1", negative="sentence2", scores="score", more="first"),
    Parallel(source="sentence1", translations=("sentence2", "score")),
)


def rows_or_one_sentence(name: str, content: bytes, options: dict[str, Any], packed: bool) -> None:
    """Read `content` as the file `name`; whatever comes is what the shapes take, or a DataError of one line."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / name).write_bytes(gzip.compress(content) if packed else content)
        source = FilesSource.model_validate({"paths": [name], **options})
        for shape in (ScoredPairs(), JudgedPairs(sentence1="sentence1", sentence2="sentence2", score="score")):
            try:
                reading = source.read(source.fetch(Access(root, root / "downloads")), COLUMNS)
                assert reading.rows >= 1 and reading.table.column_names == list(COLUMNS)
                reading.table.validate(full=True)
                assert [reading.where(row) for row in (0, reading.rows - 1)]
                shaped = shape.shape(reading, "the set", True)
            except DataError as error:
                assert "\n" not in error.message and "\r" not in error.message and len(error.message) < 3000
                error.message.encode()  # it can be printed
                continue
            shaped.table.validate(full=True)
            given = shaped.table.column("score").to_numpy()
            assert np.isfinite(given).all() and ((given >= 0) & (given <= 1)).all()
            assert all(text for text in shaped.table.column("sentence2").to_pylist())
        for several in SEVERAL:
            try:
                reading = source.read(source.fetch(Access(root, root / "downloads")), several.reads)
                shaped = several.shape(reading, "the set", True)
            except DataError as error:
                assert "\n" not in error.message and "\r" not in error.message and len(error.message) < 3000
                error.message.encode()
                continue
            shaped.table.validate(full=True)
            assert all(all(shaped.table.column(name).to_pylist()) for name in several.roles.texts)


QUICK = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@example("a.json", b"[" * 100_000, {}, False)
@example("a.jsonl", b'{"sentence1":' * 100_000, {}, True)
@example("a.tsv", b"\xff\xfe" + "sentence1\tsentence2\tscore\na\tb\t1\n".encode("utf-16-le"), {}, False)
@example("a.csv", b'"sentence1","sentence2","score"\r"a","b","1"', {}, False)
@example("a.csv.gz", b"\x1f\x8b", {}, False)
@given(st.sampled_from(NAMES), CONTENTS, OPTIONS, st.booleans())
def test_any_bytes_give_rows_or_one_sentence(name: str, content: bytes, options: dict[str, Any], packed: bool) -> None:
    rows_or_one_sentence(name, content, options, packed)


@pytest.mark.slow
@LONG
@given(st.sampled_from(NAMES), CONTENTS, OPTIONS, st.booleans())
def test_any_bytes_give_rows_or_one_sentence_at_length(
    name: str, content: bytes, options: dict[str, Any], packed: bool
) -> None:
    rows_or_one_sentence(name, content, options, packed)


@QUICK
@given(st.text(ALPHABET + "*?[]/.~$:@#", max_size=60), st.sampled_from(["", "http://", "https://host/", "s3://"]))
def test_any_text_as_a_path_is_refused_in_one_sentence(text: str, scheme: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = FilesSource(paths=(scheme + text,))
        except ValidationError:
            return
        if "://" not in source.paths[0]:
            with pytest.raises(DataError) as caught:
                source.fetch(Access(Path(folder), Path(folder) / "downloads"))
            assert "\n" not in caught.value.message
