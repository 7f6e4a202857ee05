"""Prepared sets on the disk, and recipes over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.sources import SourceRef

SHAPES = {"anchor": "triplets", "sentence1": "scored_pairs"}


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[[Mapping[str, Mapping[str, Sequence[Any]]]], PreparedData]:
    """Write columns as Arrow folders; return the data record."""
    from datasets import Dataset

    def one(name: str, columns: Mapping[str, Sequence[Any]]) -> PreparedSet:
        dataset = Dataset.from_dict(dict(columns))
        dataset.save_to_disk(str(tmp_path / name))
        return PreparedSet(
            name=name, role="train", shape=SHAPES[next(iter(columns))], title=name, path=tmp_path / name,
            columns=tuple(columns), digest=name, rows=len(dataset),
            counts=RowCounts(read=len(dataset), kept=len(dataset)),
            source=SourceRef(kind="synthetic", name="synthetic", uri="synthetic", revision="0"),
        )  # fmt: skip

    def all_of(sets: Mapping[str, Mapping[str, Sequence[Any]]]) -> PreparedData:
        train = tuple(one(name, columns) for name, columns in sets.items())
        return PreparedData(fingerprint="data", train=train, evaluation=())

    return all_of


@pytest.fixture
def recipe() -> Callable[..., RunConfig]:
    """A recipe over the named sets: `recipe({"nli": "triplets"}, batch_size=4, …)`."""

    def make(shapes: Mapping[str, str], *, plan: Mapping[str, Any] | None = None, **training: Any) -> RunConfig:
        return RunConfig.model_validate(
            {
                "name": "toy",
                "data": {
                    "train": {
                        name: {"source": {"kind": "files", "paths": ["x.tsv"]}, "shape": {"kind": shape}}
                        for name, shape in shapes.items()
                    }
                },
                "model": {"source": {"kind": "directory", "path": "."}},
                "training": training,
                "plan": dict(plan or {}),
                "evaluation": {
                    "suites": {
                        "dev": {
                            "kind": "sts",
                            "source": {"kind": "files", "paths": ["x.tsv"]},
                            "split": "dev",
                        }
                    }
                },
            }
        )

    return make


@pytest.fixture
def base(tmp_path: Path) -> BaseModelRef:
    """A base model's record; its folder holds a tokenizer alone, to which a word is a token, and a text two more."""
    from models import write_word_tokenizer

    folder = tmp_path / "base"
    folder.mkdir()
    return BaseModelRef(
        name="tiny", kind="directory", path=write_word_tokenizer(folder), revision="0", digest="0", weights_sha256="0",
        architecture="bert", parameters=1_000_000, dimension=32, position_limit=128, max_seq_length=64, pooling="mean",
    )  # fmt: skip
