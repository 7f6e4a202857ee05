"""A small training of two sets, as the flow would ask for it, and ways to run it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from models import SENTENCES, build_tiny_model
from scored_suites import prepare

from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_file, sha256_of_model
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.losses import CosineSimilarity, MultipleNegativesRanking
from stsflow.tasks.recipe.sections import TrainingConfig
from stsflow.tasks.records.data import PreparedSet, RowCounts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.shapes import Roles
from stsflow.tasks.suites import StsSuite
from stsflow.tasks.training.request import ChooseOn, TrainingRequest

__all__ = ["prepare"]

WORDS = sorted({word.strip(".").lower() for sentence in SENTENCES for word in sentence.split()})


def sentences(count: int, seed: int) -> list[str]:
    """Distinct sentences of three to nine known words."""
    chooser = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        made[" ".join(chooser.choices(WORDS, k=chooser.randint(3, 9)))] = None
    return list(made)


def prepared_set(folder: Path, name: str, shape: str, rows: dict[str, list[Any]], role: Any = "train") -> PreparedSet:
    """Write `rows` as an Arrow folder; the record that the data stage would hand on."""
    from datasets import Dataset

    path = folder / name
    Dataset.from_dict(rows).save_to_disk(str(path))
    count = len(next(iter(rows.values())))
    return PreparedSet(
        name=name, role=role, shape=shape, title=name, path=path, columns=tuple(rows), digest=fingerprint(rows),
        rows=count, counts=RowCounts(read=count, kept=count),
        source=SourceRef(kind="synthetic", name=name, uri="made in a test", revision="0"),
    )  # fmt: skip


def base_model(path: Path, architecture: str = "bert") -> BaseModelRef:
    """The record of a small model in `path`."""
    return BaseModelRef(
        name=f"tiny-{architecture}", kind="directory", path=path, revision="0", digest=sha256_of_model(path),
        weights_sha256=sha256_of_file(path / "model.safetensors"), architecture=architecture, parameters=30_000,
        dimension=32, position_limit=128, max_seq_length=64, pooling="keep",
    )  # fmt: skip


def triplets(count: int, seed: int = 1) -> dict[str, list[Any]]:
    """Random triplets; some anchors come twice, so that no_duplicates has something to do."""
    texts = sentences(3 * count, seed)
    anchors = texts[:count]
    anchors[-2:] = anchors[:2]
    return {"anchor": anchors, "positive": texts[count : 2 * count], "negative": texts[2 * count :]}


def taught(folder: Path, teaches: Literal["scores", "embedding"]) -> PreparedSet:
    """45 random triplets with a teacher's scores, or texts with its embeddings."""
    numbers = np.random.default_rng(3).normal(size=(45, 2 if teaches == "scores" else 32)).tolist()
    made = triplets(45)
    roles = Roles(("anchor", "positive", "negative"), negatives=1, taught="labels")
    if teaches == "embedding":
        roles = Roles(("anchor",), taught="labels", teaches="embedding")
    item = prepared_set(folder, f"taught-{teaches}", "triplets", made | {"labels": numbers})
    return item.model_copy(update={"roles": roles})


def scored_pairs(count: int, seed: int = 2) -> dict[str, list[Any]]:
    """Random pairs with scores in 0..1."""
    texts = sentences(2 * count, seed)
    scores = [(i % 6) / 5 for i in range(count)]
    return {"sentence1": texts[:count], "sentence2": texts[count:], "score": scores}


@pytest.fixture(scope="session")
def training_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedSet]:
    """`nli` (45 triplets), `sts` (30 scored pairs) and `dev` (24 scored pairs)."""
    folder = tmp_path_factory.mktemp("training-sets")
    return {
        "nli": prepared_set(folder, "nli", "nli_triplets", triplets(45)),
        "sts": prepared_set(folder, "sts", "scored_pairs", scored_pairs(30)),
        "dev": prepared_set(folder, "dev", "scored_pairs", scored_pairs(24, seed=3), role="evaluation"),
    }


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT."""
    return build_tiny_model(tmp_path_factory.mktemp("small-models") / "bert", "bert")


@pytest.fixture
def base_of() -> Callable[..., BaseModelRef]:
    """The record of a small model: `base_of(path, architecture)`."""
    return base_model


@pytest.fixture
def request_of(training_sets: dict[str, PreparedSet], small_bert: Path) -> Callable[..., TrainingRequest]:
    """A training request on `nli` and `sts`, chosen on `dev`, with any field of the section changed."""

    def make(
        choose: bool = True,
        losses: dict[str, Any] | None = None,
        guide: Path | None = None,
        sets: tuple[PreparedSet, ...] = (),
        **section: Any,
    ) -> TrainingRequest:
        defaults = {
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "device": "cpu",
            "threads": 1,
            "logging_steps": 3,
        }
        sets = sets or (training_sets["nli"], training_sets["sts"])
        choosing = ChooseOn(
            suite="sts-dev", scored_by=StsSuite.chooses_by, data=training_sets["dev"], metric="spearman_cosine"
        )
        return TrainingRequest(
            training=TrainingConfig(**(defaults | section)),
            losses=losses or {"nli": MultipleNegativesRanking(), "sts": CosineSimilarity()},
            sets=sets,
            base=base_model(small_bert),
            choose=choosing if choose else None,
            guide=None if guide is None else base_model(guide),
        )

    return make


@pytest.fixture
def taught_set(tmp_path: Path) -> Callable[..., PreparedSet]:
    """A set that a teacher has labelled: `taught_set("scores")` or `taught_set("embedding")`."""
    return lambda teaches: taught(tmp_path, teaches)


@pytest.fixture
def training_folder(tmp_path: Path) -> Iterator[TrainingFolder]:
    """An empty training folder."""
    yield TrainingFolder(tmp_path / "training")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` runs its worker here instead of in a child: the same code without seven seconds of imports."""
    from stsflow.tasks.ground.child import Ended
    from stsflow.tasks.training import run
    from stsflow.tasks.training.worker import main

    def run_here(command: list[str], *_: Any, on_tick: Callable[[], str | None], **__: Any) -> Ended:
        code = main(command[-1:])
        on_tick()
        return Ended(code, None, 0.0)

    monkeypatch.setattr(run, "run_child", run_here)
