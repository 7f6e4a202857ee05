"""A teacher labels the rows of training sets once, block by block; what ends it costs a block."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from models import SENTENCES, build_tiny_cross_encoder, build_tiny_model
from sentence_transformers import CrossEncoder, SentenceTransformer

from stsflow.tasks.ground.child import Ended
from stsflow.tasks.ground.errors import ModelError, RecipeError, TeachingFailed
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models import in_blocks
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import ModelConfig, TeacherConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.sets.rows import digest_of, read_rows, training_rows, write_rows
from stsflow.tasks.shapes import Roles
from stsflow.tasks.teaching import worker
from stsflow.tasks.teaching.teach import TEACHES, teach_sets

COLUMNS = {"anchor": SENTENCES[:5], "positive": SENTENCES[5:10], "negative": SENTENCES[10:15]}
SCORES = Roles(("anchor", "positive", "negative"), negatives=1, taught="labels")
EMBEDDING = Roles(("anchor", "positive"), taught="labels", teaches="embedding")


def prepared(folder: Path, name: str = "nli", columns: Any = None) -> PreparedSet:
    rows = pa.table({key: list(values) for key, values in (columns or COLUMNS).items()})
    return PreparedSet(
        name=name, role="train", shape="triplets", title=name, path=folder / name, columns=tuple(rows.column_names),
        digest=write_rows(rows, folder / name), rows=rows.num_rows, counts=RowCounts(read=rows.num_rows, kept=5),
        source=SourceRef(kind="synthetic", name=name, uri="made in a test", revision="0"),
    )  # fmt: skip


def model(folder: Path) -> BaseModelRef:
    section = ModelConfig.model_validate({"source": {"kind": "directory", "path": str(folder)}})
    return fetch_base_model(section, Workspace(folder.parent / "workspace"), gives=TEACHES)


def config(**more: Any) -> TeacherConfig:
    return TeacherConfig.model_validate({"source": {"kind": "directory", "path": "."}} | more)


@pytest.fixture(scope="module")
def bi_encoder(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    return model(build_tiny_model(tmp_path_factory.mktemp("teachers") / "bi", "bert"))


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    return model(build_tiny_cross_encoder(tmp_path_factory.mktemp("teachers") / "cross"))


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    return PreparedData(fingerprint="data", train=(prepared(tmp_path), prepared(tmp_path, "other")), evaluation=())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The worker runs here, in the place of its child; the rows of each block that it labels."""
    seen: list[int] = []
    told = worker.said_of

    def counted(model: Any, spec: Any, rows: pa.Table, start: int) -> Any:
        seen.append(start)
        return told(model, spec, rows, start)

    def here(command: list[str], *_: Any, **__: Any) -> Ended:
        worker.label_rows(worker.TeachSpec.load(Path(command[-1])))
        return Ended(0, None, 0.0)

    monkeypatch.setattr(worker, "said_of", counted)
    monkeypatch.setattr(in_blocks, "run_child", here)
    return seen


def labels(item: PreparedSet) -> np.ndarray[Any, Any]:
    return np.array(read_rows(item)["labels"].to_pylist(), np.float32)


@pytest.mark.usefixtures("calls")
def test_a_bi_encoder_scores_each_text_beside_the_anchor_by_their_cosine(
    data: PreparedData, bi_encoder: BaseModelRef, tmp_path: Path
) -> None:
    taught = teach_sets(data, bi_encoder, config(), {"nli": SCORES}, Workspace(tmp_path / "w"), device="cpu")
    nli, other = taught.train
    plain = SentenceTransformer(str(bi_encoder.path), device="cpu")
    anchor, *others = (plain.encode(list(texts), normalize_embeddings=True) for texts in COLUMNS.values())
    wanted = np.stack([(anchor * one).sum(axis=1) for one in others], axis=1)
    np.testing.assert_allclose(labels(nli), wanted, atol=1e-5)
    assert other == data.train[1] and taught.fingerprint != data.fingerprint
    assert read_rows(nli).select(list(COLUMNS)).to_pydict() == {key: list(texts) for key, texts in COLUMNS.items()}
    assert (nli.roles, nli.columns, nli.shape) == (SCORES, (*COLUMNS, "labels"), "triplets")
    assert nli.digest == digest_of(nli) != data.train[0].digest
    assert training_rows(nli).column_names == [*COLUMNS, "labels"]
    said = nli.teaching
    assert said is not None and (said.gives, said.numbers, said.digest_before) == ("scores", 2, data.train[0].digest)
    assert said.disagrees == int((wanted[:, 1] >= wanted[:, 0]).sum())
    assert (said.minimum, said.mean) == (pytest.approx(wanted.min(), abs=1e-5), pytest.approx(wanted.mean(), abs=1e-5))


@pytest.mark.usefixtures("calls")
def test_a_cross_encoder_scores_pairs_as_the_library_does(
    data: PreparedData, cross_encoder: BaseModelRef, tmp_path: Path
) -> None:
    taught = teach_sets(data, cross_encoder, config(), {"nli": SCORES}, Workspace(tmp_path / "w"), device="cpu")
    plain = CrossEncoder(str(cross_encoder.path), device="cpu")
    pairs = [list(zip(COLUMNS["anchor"], COLUMNS[name], strict=True)) for name in ("positive", "negative")]
    np.testing.assert_allclose(labels(taught.train[0]), np.stack([plain.predict(one) for one in pairs], 1), atol=1e-5)


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("dimension", [None, 8])
def test_an_embedding_is_that_of_the_anchor_whole_or_its_first_numbers(
    dimension: int | None, data: PreparedData, bi_encoder: BaseModelRef, tmp_path: Path
) -> None:
    asked = config(dimension=dimension)
    taught = teach_sets(data, bi_encoder, asked, {"nli": EMBEDDING}, Workspace(tmp_path / "w"), device="cpu")
    wanted = SentenceTransformer(str(bi_encoder.path), device="cpu").encode(list(COLUMNS["anchor"]))
    np.testing.assert_allclose(labels(taught.train[0]), wanted[:, :dimension], atol=1e-5)
    assert read_rows(taught.train[0]).schema.field("labels").type == pa.list_(pa.float32())
    assert training_rows(taught.train[0]).column_names == ["anchor", "positive", "labels"]


def test_the_same_question_is_answered_from_the_disk(
    data: PreparedData, bi_encoder: BaseModelRef, tmp_path: Path, calls: list[int]
) -> None:
    space = Workspace(tmp_path / "w")
    first = teach_sets(data, bi_encoder, config(), {"nli": SCORES}, space, device="cpu")
    assert teach_sets(data, bi_encoder, config(), {"nli": SCORES}, space, device="cpu") == first and calls == [0]
    teach_sets(data, bi_encoder, config(), {"nli": EMBEDDING}, space, device="cpu")
    teach_sets(data, bi_encoder, config(batch_size=2), {"nli": SCORES}, space, device="cpu")
    assert calls == [0, 0, 0]
    teach_sets(data, bi_encoder, config(), {"nli": SCORES}, space, device="cpu", fresh=True)
    assert calls == [0, 0, 0, 0] and not list(space.root.rglob("*.blocks"))


def test_what_ends_the_teacher_costs_one_block(
    data: PreparedData, bi_encoder: BaseModelRef, tmp_path: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = teach_sets(data, bi_encoder, config(), {"nli": SCORES}, Workspace(tmp_path / "whole"), device="cpu")
    calls.clear()
    monkeypatch.setattr(worker, "ROWS_OF_A_BLOCK", 2)
    told = worker.said_of

    def dies(model: Any, spec: Any, rows: pa.Table, start: int) -> Any:
        if start == 4 and calls == [0, 2]:
            raise MemoryError
        return told(model, spec, rows, start)

    monkeypatch.setattr(worker, "said_of", dies)
    space = Workspace(tmp_path / "w")
    with pytest.raises(MemoryError):
        teach_sets(data, bi_encoder, config(), {"nli": SCORES}, space, device="cpu")
    monkeypatch.setattr(worker, "said_of", told)
    taught = teach_sets(data, bi_encoder, config(), {"nli": SCORES}, space, device="cpu")
    assert calls == [0, 2, 4]
    np.testing.assert_allclose(labels(taught.train[0]), labels(whole.train[0]), atol=1e-6)


@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_in_a_process_of_its_own_it_labels_or_says_how_it_ended(
    number: int | None, data: PreparedData, bi_encoder: BaseModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Workspace(tmp_path / "w")
    if number is None:
        taught = teach_sets(data, bi_encoder, config(), {"nli": SCORES}, space, device="cpu")
        assert labels(taught.train[0]).shape == (5, 2)
        return
    real = in_blocks.run_child

    def killed(command: list[str], log: Path, *, on_tick: Callable[[], None], **more: Any) -> Ended:
        del on_tick
        code = f"import os, signal; os.kill(os.getpid(), {int(number)})"
        return real([command[0], "-c", code], log, **more)

    monkeypatch.setattr(in_blocks, "run_child", killed)
    with pytest.raises(TeachingFailed, match=r"on nli, ended with code -9; blocks that are done are kept"):
        teach_sets(data, bi_encoder, config(), {"nli": SCORES}, space, device="cpu")


@pytest.mark.usefixtures("calls")
def test_what_a_teacher_cannot_give_is_refused_before_it_is_loaded(
    data: PreparedData, cross_encoder: BaseModelRef, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"gives scores of pairs and no embeddings, and the loss of nli learns from"):
        teach_sets(data, cross_encoder, config(), {"nli": EMBEDDING}, Workspace(tmp_path / "w"), device="cpu")


def test_a_score_that_is_no_number_is_refused_with_its_row(
    data: PreparedData, bi_encoder: BaseModelRef, tmp_path: Path
) -> None:
    class Broken:
        def similarity_pairwise(self, *_: Any) -> Any:
            return np.array([0.1, 0.2, np.nan, 0.3, 0.4])

    spec = worker.TeachSpec(
        teacher=bi_encoder, data=data.train[0], roles=SCORES, batch_size=4, dimension=None, device="cpu",
        blocks=tmp_path,
    )  # fmt: skip
    broken = SentenceTransformer(str(bi_encoder.path), device="cpu")
    broken.similarity_pairwise = Broken().similarity_pairwise
    with pytest.raises(ModelError, match=r"says what is no number of row 4098 of nli"):
        worker.said_of(broken, spec, read_rows(data.train[0]), 4096)


@pytest.mark.usefixtures("calls")
def test_a_teacher_reads_behind_its_own_prompts(data: PreparedData, bi_encoder: BaseModelRef, tmp_path: Path) -> None:
    prompts = {"query": "he reads: ", "document": "a book: "}
    plain = SentenceTransformer(str(bi_encoder.path), device="cpu", prompts=prompts)
    plain.save_pretrained(str(tmp_path / "prompted"), create_model_card=False)
    teacher = model(tmp_path / "prompted")
    texts = {name: list(column) for name, column in COLUMNS.items()}
    asks = plain.encode_query(texts["anchor"], normalize_embeddings=True)
    answers = [plain.encode_document(texts[name], normalize_embeddings=True) for name in ("positive", "negative")]
    taught = teach_sets(data, teacher, config(), {"nli": SCORES}, Workspace(tmp_path / "w"), device="cpu")
    np.testing.assert_allclose(
        labels(taught.train[0]), np.stack([(asks * one).sum(1) for one in answers], 1), atol=1e-5
    )
    alike = data.model_copy(update={"train": (data.train[0].model_copy(update={"shape": "nli_triplets"}),)})
    taught = teach_sets(alike, teacher, config(), {"nli": SCORES}, Workspace(tmp_path / "w"), device="cpu")
    assert not np.allclose(labels(taught.train[0])[:, 0], (asks * answers[0]).sum(1), atol=1e-4)
