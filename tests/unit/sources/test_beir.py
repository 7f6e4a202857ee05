"""Queries, passages and judgements in three files: the judged pairs that come of them, and what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_stand_in import HubStandIn
from misbehaving_server import MisbehavingServer
from pydantic import ValidationError

from stsflow.tasks.data.build import prepare_evaluation
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.sets.rows import read_rows
from stsflow.tasks.sources import Access, BeirSource
from stsflow.tasks.suites import RetrievalSuite

CORPUS = [
    {"_id": "d1", "title": "Rain", "text": "It rains."},
    {"_id": "d2", "title": "", "text": "The sun shines."},
    {"_id": "d3", "title": "Snow", "text": "It snows."},
]
QUERIES = [{"_id": "q1", "text": "wet?"}, {"_id": "q2", "text": "dry?"}, {"_id": "q3", "text": "of train"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t1\n"
COLUMNS = ("query", "passage", "relevance")
EXPECTED = [
    ("wet?", "Rain It rains.", "2"), ("wet?", "The sun shines.", "0"), ("dry?", "The sun shines.", "1"),
    ("", "Snow It snows.", ""),
]  # fmt: skip


def lines(objects: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def write(folder: Path, corpus: str = lines(CORPUS), queries: str = lines(QUERIES), qrels: str = QRELS) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(corpus, "utf-8")
    (folder / "queries.jsonl").write_text(queries, "utf-8")
    (folder / "qrels" / "test.tsv").write_text(qrels, "utf-8")
    return folder


def read(root: Path, *columns: str, **source: Any) -> list[tuple[str, ...]]:
    made = BeirSource.model_validate(source)
    reading = made.read(made.fetch(Access(root, root / "downloads")), columns or COLUMNS)
    return [tuple(row.values()) for row in reading.table.to_pylist()]


def test_a_folder_gives_the_judgements_with_their_texts_and_then_the_passages_that_none_names(tmp_path: Path) -> None:
    write(tmp_path / "weather")
    assert read(tmp_path, folder="weather") == EXPECTED
    ids = read(tmp_path, "corpus-id", "query-id", folder="weather/", split="test")
    assert ids == [("d1", "q1"), ("d2", "q1"), ("d2", "q2"), ("d3", "")]


def test_an_address_gives_what_the_folder_gives(http_server: MisbehavingServer, tmp_path: Path) -> None:
    folder = write(tmp_path / "weather")
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        http_server.serve(f"/sets/weather/{name}", (folder / name).read_bytes())
    source = BeirSource.model_validate({"folder": http_server.url("/sets/weather")})
    fetched = source.fetch(Access(tmp_path, tmp_path / "downloads"))
    assert [tuple(row.values()) for row in source.read(fetched, COLUMNS).table.to_pylist()] == EXPECTED
    assert (fetched.name, len(fetched.files), source.remote != "", source.below_root) == ("weather", 3, True, ())


def test_parts_may_be_packed_lie_anywhere_and_have_other_columns(tmp_path: Path) -> None:
    folder = write(tmp_path / "weather")
    packed = gzip.compress((folder / "corpus.jsonl").read_bytes().replace(b'"_id"', b'"docid"'))
    (tmp_path / "passages.jsonl.gz").write_bytes(packed)
    (tmp_path / "queries.tsv").write_text("docid\ttext\nq1\twet?\nq2\tdry?\n", "utf-8")
    (tmp_path / "trec.txt").write_text(QRELS.partition("\n")[2].replace("\td", "\t0\td"), "utf-8")
    assert read(
        tmp_path, id="docid",
        corpus={"kind": "files", "paths": ["passages.jsonl.gz"]}, queries={"kind": "files", "paths": ["queries.tsv"]},
        qrels={
            "kind": "files", "paths": ["trec.txt"], "format": "tsv", "header": False,
            "columns": ["query-id", "iteration", "corpus-id", "score"],
        },
    ) == EXPECTED  # fmt: skip


CARD = """---
configs:
- {config_name: corpus, data_files: [{split: corpus, path: corpus.parquet}]}
- {config_name: queries, data_files: [{split: queries, path: queries.jsonl}]}
- {config_name: default, data_files: [{split: test, path: qrels/test.jsonl}]}
---
# weather
"""


def test_a_hub_data_set_in_the_layout_of_mteb_is_read_at_its_commit(hub_server: HubStandIn, tmp_path: Path) -> None:
    passages = [{"_id": one["_id"], "text": f"{one['title']} {one['text']}".strip()} for one in CORPUS]
    pq.write_table(pa.Table.from_pylist(passages), tmp_path / "corpus.parquet")
    judged = [dict(zip(("query-id", "corpus-id"), pair, strict=True)) for pair in (("q1", "d1"), ("q2", "d2"))]
    files = {
        "README.md": CARD.encode(), "corpus.parquet": (tmp_path / "corpus.parquet").read_bytes(),
        "queries.jsonl": lines(QUERIES).encode(), "qrels/test.jsonl": lines(judged).encode(),
    }  # fmt: skip
    commit = hub_server.add("dataset", "mteb/weather", files)
    hub = {"kind": "hub", "id": "mteb/weather", "revision": commit}
    source = BeirSource.model_validate(
        {
            "corpus": {**hub, "config": "corpus", "split": "corpus"}, "title": "", "score": "",
            "queries": {**hub, "config": "queries", "split": "queries"},
            "qrels": {**hub, "config": "default", "split": "test"},
        }
    )  # fmt: skip
    fetched = source.fetch(Access(None, tmp_path))
    assert [tuple(row.values()) for row in source.read(fetched, COLUMNS).table.to_pylist()] == [
        ("wet?", "Rain It rains.", "1"), ("dry?", "The sun shines.", "1"), ("", "Snow It snows.", ""),
    ]  # fmt: skip
    assert (fetched.name, fetched.uri.endswith(f"/datasets/mteb/weather/tree/{commit}")) == ("mteb/weather", True)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"qrels": QRELS + "q9\td1\t1\nq8\td1\t1\n"},
         "weather/qrels/test.tsv, line 5: there is no query 'q9' in weather/queries.jsonl (and 1 more row)."),
        ({"qrels": QRELS + "q1\td7\t1\n"},
         "weather/qrels/test.tsv, line 5: there is no passage 'd7' in weather/corpus.jsonl."),
        ({"corpus": lines([*CORPUS, {"_id": "d2", "title": "", "text": "It hails."}])},
         "weather/corpus.jsonl, line 4: the id 'd2' is that of another text before, weather/corpus.jsonl, line 2."),
        ({"corpus": lines([*CORPUS, {"_id": " ", "title": "", "text": "It hails."}])},
         "weather/corpus.jsonl, line 4: the row has no _id."),
        ({"corpus": ""}, "weather/corpus.jsonl: the file is empty (0 bytes)."),
        ({"corpus": lines([{"_id": "d1", "text": "a"}])},
         "weather/corpus.jsonl, line 1: there is no column 'title'; found: '_id', 'text'. "
         "The source's `title` says which column to read; leave it empty where there is none."),
        ({"qrels": "query\tcorpus-id\tscore\nq1\td1\t1\n"},
         "weather/qrels/test.tsv: there is no column 'query-id' (did you mean 'query'?); found: 'query', "
         "'corpus-id', 'score'. Judgements name their texts in these columns."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_file_and_line(tmp_path: Path, files: dict[str, str], words: str) -> None:
    write(tmp_path / "weather", **files)
    with pytest.raises(DataError) as caught:
        read(tmp_path, folder="weather")
    assert caught.value.message == words


def suite(**source: Any) -> dict[str, Any]:
    values = {"source": {"kind": "beir", "folder": "weather", **source}, "shape": {"score_range": [0, 2]}}
    return {"weather": RetrievalSuite.model_validate(values)}


def test_the_prepared_rows_count_every_passage_and_say_what_is_judged(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path / "weather", corpus=lines([*CORPUS, CORPUS[0]]))
    data = prepare_evaluation(suite(), tmp_path, workspace)
    (prepared,) = data.evaluation
    assert read_rows(prepared).to_pydict() == {
        "sentence1": [query for query, _, _ in EXPECTED] , "sentence2": [passage for _, passage, _ in EXPECTED],
        "score": [1.0, 0.0, 0.5, 0.0],
    }  # fmt: skip
    (told,) = (finding for finding in data.findings if finding.code == "integrity.judgements")
    assert told.message == (
        "3 judgements name 2 of 3 queries and 2 of 3 passages; 1 rows repeat the id and the text of an earlier one."
    )
    assert prepared.counts.notes == {"passages_without_query": 1}


@pytest.mark.parametrize(("score", "words"), [("many", "is 'many', which is not a number"), ("3", "is 3, outside of")])
def test_a_relevance_that_is_none_is_refused_with_its_line(
    workspace: Workspace, tmp_path: Path, score: str, words: str
) -> None:
    write(tmp_path / "weather", qrels=QRELS + f"q2\td3\t{score}\n")
    with pytest.raises(DataError, match=rf"^weather/qrels/test\.tsv, line 5: the score of weather {words}"):
        prepare_evaluation(suite(), tmp_path, workspace)


def test_a_locked_source_takes_no_other_bytes_and_unlocked_it_does(tmp_path: Path) -> None:
    folder, access = write(tmp_path / "weather"), Access(tmp_path, tmp_path / "downloads")
    source = BeirSource.model_validate({"folder": "weather"})
    locked = source.locked(source.fetch(access))
    assert BeirSource.model_validate(locked.model_dump(mode="json")) == locked
    assert locked.fetch(access) == source.fetch(access) and locked.how_read() == source.how_read()
    before = source.state(access)
    (folder / "queries.jsonl").write_text(lines(QUERIES[:2]), "utf-8")
    assert source.state(access) != before
    with pytest.raises(DataError, match=r"weather/queries\.jsonl"):
        locked.fetch(access)
    assert locked.unlocked() == source


def test_a_split_without_a_folder_is_refused() -> None:
    with pytest.raises(ValidationError, match="`split` goes with `folder`"):
        BeirSource.model_validate({"split": "dev"})
