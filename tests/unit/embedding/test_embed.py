"""`stsflow embed`: a file's texts become vectors, row for row, as the library's own `encode` gives them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from models import SENTENCES
from sentence_transformers import SentenceTransformer
from small_recipe import stsflow

from stsflow.tasks.embedding.embed import Asked, Embedded, embed_file
from stsflow.tasks.embedding.request import block_file
from stsflow.tasks.embedding.worker import WorkerSpec, make_blocks
from stsflow.tasks.ground.errors import DataError, ModelError, PreconditionError, Refused
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.sources import DirectoryModel
from stsflow.tasks.recipe.sections import ModelConfig

TEXTS = [*SENTENCES, SENTENCES[2], "a"]
IDS = [f"no-{number}" for number in range(len(TEXTS))]


def vectors(result: Embedded) -> np.ndarray:
    rows = pq.read_table(result.out).column("embedding").to_pylist()
    return np.array(rows)


def write_jsonl(path: Path, texts: list[str | None]) -> Path:
    path.write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts)), "utf-8")
    return path


@pytest.fixture
def asked_for(workspace: Workspace, tiny_bert: Path, tmp_path: Path) -> Callable[..., Embedded]:
    """Embed a file with the small BERT, or another model, in this process."""
    workspace.make()

    def run(
        place: Path, out: str = "out.parquet", *, overwrite: bool = False, model: Path = tiny_bert,
        make: Callable[[WorkerSpec], None] = make_blocks, **asked: Any,
    ) -> Embedded:  # fmt: skip
        found = fetch_base_model(ModelConfig(source=DirectoryModel(path=model)), workspace)
        return embed_file(
            found, "small", place, Asked(**asked), tmp_path / out, workspace, overwrite=overwrite, make=make
        )  # fmt: skip

    return run


def no_model(_: WorkerSpec) -> None:
    raise AssertionError("nothing may get as far")


def write_in(kind: str, folder: Path) -> Path:
    rows = list(zip(IDS, TEXTS, strict=True))
    path = folder / f"texts.{kind}"
    if kind == "csv":
        path.write_text("id,text\n" + "".join(f'{name},"{text}"\n' for name, text in rows), "utf-8")
    elif kind == "tsv.gz":
        with gzip.open(path, "wt", encoding="utf-8") as stream:
            stream.write("text\tid\n" + "".join(f"{text}\t{name}\n" for name, text in rows))
    elif kind == "jsonl.zst":
        lines = "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in rows)
        with pa.CompressedOutputStream(str(path), "zstd") as packed:
            packed.write(lines.encode())
    elif kind == "parquet":
        pq.write_table(pa.table({"text": TEXTS, "id": IDS}), path)
    else:
        (folder / "parts").mkdir()
        for name, part in (("a", slice(0, 7)), ("b", slice(7, None))):
            pq.write_table(pa.table({"text": TEXTS[part], "id": IDS[part]}), folder / "parts" / f"{name}.parquet")
        return folder / "parts"
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv.gz", "jsonl.zst", "parquet", "a folder"])
def test_every_format_gives_the_vectors_that_encode_gives(
    kind: str, asked_for: Callable[..., Embedded], tiny_bert: Path, tmp_path: Path
) -> None:
    result = asked_for(write_in(kind, tmp_path), keep=("id",))
    expected = SentenceTransformer(str(tiny_bert), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(vectors(result), expected, atol=1e-5)
    assert pq.read_table(result.out).column("id").to_pylist() == IDS
    assert result.made and result.about.rows == len(TEXTS)


def test_a_text_file_has_a_text_in_every_line(asked_for: Callable[..., Embedded], tmp_path: Path) -> None:
    """An empty line, as a missing text, has no vector: nothing is dropped and nothing is made up."""
    (tmp_path / "t.txt").write_text(f"{SENTENCES[0]}\n\n{SENTENCES[1]}\n", "utf-8")
    result = asked_for(tmp_path / "t.txt")
    column = pq.read_table(result.out).column("embedding")
    assert [row is None for row in column.to_pylist()] == [False, True, False]
    assert result.about.empty == 1
    other = asked_for(write_jsonl(tmp_path / "t.jsonl", [SENTENCES[0], None, SENTENCES[1]]), "other.parquet")
    assert pq.read_table(other.out).column("embedding").equals(column)


def test_ids_of_a_parquet_file_keep_their_type(asked_for: Callable[..., Embedded], tmp_path: Path) -> None:
    ids = pa.array([2**40, 7], pa.int64())
    pq.write_table(pa.table({"text": TEXTS[:2], "id": ids, "tags": [["a"], []]}), tmp_path / "t.parquet")
    found = pq.read_table(asked_for(tmp_path / "t.parquet", keep=("id", "tags")).out)
    assert found.schema.field("id").type == pa.int64()
    assert found.select(["id", "tags"]).to_pylist() == [{"id": 2**40, "tags": ["a"]}, {"id": 7, "tags": []}]


def test_prompt_cut_and_length_are_those_of_the_library(
    asked_for: Callable[..., Embedded], tiny_bert: Path, tmp_path: Path
) -> None:
    model = SentenceTransformer(str(tiny_bert), device="cpu")
    model.prompts = {"query": "two dogs: ", "other": "school "}
    model.save(str(tmp_path / "model"), create_model_card=False)
    texts = write_jsonl(tmp_path / "t.jsonl", list(TEXTS))

    def made(name: str, **asked: Any) -> np.ndarray:
        return vectors(asked_for(texts, name, model=tmp_path / "model", **asked))

    query = made("query", input_type="query", dimensions=8, normalized=True)
    expected = model.encode(TEXTS, prompt_name="query", truncate_dim=8, normalize_embeddings=True)
    np.testing.assert_allclose(query, expected, atol=1e-5)
    np.testing.assert_allclose(made("other", prompt_name="other"), model.encode(TEXTS, prompt_name="other"), atol=1e-5)
    with pytest.raises(ModelError, match="has no prompt 'third'; it has: query, document, other"):
        made("third", prompt_name="third")
    with pytest.raises(ModelError, match=r"--dimensions: found 33; .* gives 32, so 1 to 32 are allowed"):
        made("large", dimensions=33)


def test_smaller_precisions_by_their_formulas(asked_for: Callable[..., Embedded], tmp_path: Path) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", list(TEXTS))
    full = vectors(asked_for(texts, "full", precision="float32")).astype(np.float32)
    half = asked_for(texts, "half", precision="float16")
    np.testing.assert_array_equal(vectors(half).astype(np.float16), full.astype(np.float16))
    assert pq.read_schema(half.out).field("embedding").type == pa.list_(pa.float16())
    bits = vectors(asked_for(texts, "bits", precision="binary"))
    assert bits.shape == (len(TEXTS), 4)
    assert [[(byte >> 7 - bit) & 1 for byte in row for bit in range(8)] for row in bits] == (full > 0).tolist()
    small = asked_for(texts, "small", precision="int8")
    low, high = full.min(axis=0), full.max(axis=0)
    assert small.about.ranges is not None
    assert small.about.ranges.low == tuple(low.tolist()) and small.about.ranges.high == tuple(high.tolist())
    assert "18 of these texts" in small.about.ranges.source
    step = (high - low) / 255
    off = full - (low + (vectors(small) + 128) * step)  # a number lies in its step: rounded down, never up
    assert (off > -1e-5).all() and (off < step + 1e-5).all()
    (narrow := tmp_path / "two.jsonl").write_text(texts.read_text("utf-8"), "utf-8")
    again = asked_for(narrow, "with-ranges", precision="int8", ranges_of=small.out, keep=("id",))
    np.testing.assert_array_equal(vectors(again), vectors(small))
    with pytest.raises(DataError, match="this is no file of int8 vectors"):
        asked_for(texts, "wrong", precision="int8", ranges_of=half.out)


def test_what_the_file_says_of_itself(asked_for: Callable[..., Embedded], tmp_path: Path, tiny_bert: Path) -> None:
    from stsflow.tasks.ground.fingerprint import sha256_of_folder

    texts = write_jsonl(tmp_path / "t.jsonl", ["dogs " * 300, "a"])
    result = asked_for(texts, dimensions=4)
    said = json.loads(pq.read_schema(result.out).metadata[b"stsflow.embedding"])
    assert said["wanted"]["model_digest"] == sha256_of_folder(tiny_bert)
    assert (said["wanted"]["dimensions"], said["wanted"]["precision"], said["wanted"]["prompt"]) == (4, "float32", "")
    assert (said["rows"], said["cut"], said["files"]) == (2, 1, [str(texts)])
    assert str(tmp_path / "out.parquet") not in json.dumps(said)


def test_the_same_is_found_and_anything_else_refused(asked_for: Callable[..., Embedded], tmp_path: Path) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", list(TEXTS))
    first = asked_for(texts)
    content = first.out.read_bytes()
    assert not asked_for(texts).made
    with pytest.raises(PreconditionError, match=r"precision: float32 there, int8 asked for.*--overwrite"):
        asked_for(texts, precision="int8")
    write_jsonl(texts, TEXTS[:3])
    with pytest.raises(PreconditionError, match=r"vectors are there that were made otherwise \(other files\)"):
        asked_for(texts)
    assert first.out.read_bytes() == content
    assert asked_for(texts, overwrite=True).about.rows == 3
    first.out.write_bytes(content[:-100])
    with pytest.raises(PreconditionError, match="a file is there that is no whole file of vectors"):
        asked_for(texts)
    assert not list(tmp_path.glob(".out.parquet*"))


def test_what_was_begun_is_gone_on_with_and_never_mixed(asked_for: Callable[..., Embedded], tmp_path: Path) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", [SENTENCES[row % 16][: 3 + row % 40] for row in range(2 * 4096 + 5)])
    whole = asked_for(texts, "whole").out.read_bytes()

    class Ended(Exception):
        pass

    def without_the_second(spec: WorkerSpec) -> None:
        make_blocks(spec)
        block_file(spec.blocks, 1).unlink()
        raise Ended

    with pytest.raises(Ended):
        asked_for(texts, make=without_the_second)
    folder = tmp_path / ".out.parquet.blocks"
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}
    assert sorted(kept) == ["000000000.arrow", "000000002.arrow"]
    with pytest.raises(PreconditionError, match="the beginning of vectors that were asked for otherwise"):
        asked_for(texts, dimensions=8, make=no_model)

    def the_second_alone(spec: WorkerSpec) -> None:
        make_blocks(spec)
        assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}.items()

    assert asked_for(texts, make=the_second_alone).out.read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "content", "asked", "words"),
    [
        ("t.jsonl", b'{"text": "a"}\n{"text": "b"\n', {}, "t.jsonl, line 2: not valid JSON"),
        ("t.jsonl", b'{"text": "a"}\n{"text": 3}\n', {}, "t.jsonl, line 2: the field 'text' holds a number"),
        ("t.jsonl", b'{"body": "a"}\n', {}, "there is no column 'text'"),
        ("t.tsv", b"text\tid\na\t1\nb\n", {}, "t.tsv, line 3: 1 fields, but the header in line 1 has 2"),
        ("t.csv", b"text,id\na,1\n\xff,2\n", {}, "t.csv, line 3: the bytes are not utf-8 text"),
        ("t.csv", b"text,id\na,1\n", {"keep": ("name",)}, "t.csv: there is no column 'name'"),
        ("t.parquet", b"PAR1 and more", {}, "t.parquet: not a readable parquet file"),
        ("t.jsonl.gz", b"\x1f\x8b\x08\x00 no", {}, "t.jsonl.gz: the file cannot be read to its end"),
        ("t.json", b"[]", {}, "t.json: rows are read from csv"),
        ("t.txt", b"a\n", {"column": "body"}, "there is no column 'body', only 'text'"),
        ("t.txt", b"\n \n", {}, "no row has a text in the column 'text'"),
        ("t.csv", b"text\n", {}, "the file has a header but no rows"),
        ("t.csv", b"text,embedding\na,b\n", {"keep": ("embedding",)}, "--keep embedding: the vectors are called so"),
    ],
    ids=range(13),
)  # fmt: skip
def test_bad_input_is_refused_before_the_model_is_loaded(
    asked_for: Callable[..., Embedded], tmp_path: Path, name: str, content: bytes, asked: dict[str, Any], words: str,
) -> None:  # fmt: skip
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused) as caught:
        asked_for(tmp_path / name, make=no_model, **asked)
    assert words in caught.value.message
    assert not list(tmp_path.glob("*out.parquet*")) and not list(tmp_path.glob(".out.parquet*"))


def test_the_place_of_the_vectors_is_checked_first(asked_for: Callable[..., Embedded], tmp_path: Path) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", list(TEXTS))
    for out, words in (("t.jsonl", "texts are read from"), ("gone/x", "there is no folder"), ("", "this is a folder")):
        with pytest.raises(PreconditionError, match=words):
            asked_for(texts, out, overwrite=True)


def test_the_command_and_its_exit_codes(tmp_path: Path, tiny_bert: Path) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", list(TEXTS))
    space, out = tmp_path / ".stsflow", tmp_path / "v.parquet"
    command = ("embed", str(tiny_bert), str(texts), "--out", str(out), "--keep", "id")
    done = stsflow(space, *command, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["made"], said["about"]["rows"]) == (True, len(TEXTS))
    other = stsflow(space, *command, "--precision", "binary")
    assert other.returncode == 2 and "precision: float32 there, binary asked for" in other.stderr
    unknown = stsflow(space, *command, "--encoding", "utf-9")
    assert unknown.returncode == 2 and "there is no encoding 'utf-9'" in unknown.stderr
    missing = stsflow(space, "embed", str(tiny_bert), str(tmp_path / "gone.csv"), "--out", str(tmp_path / "w"))
    assert missing.returncode == 2 and "there is no such file" in missing.stderr and "Traceback" not in missing.stderr
