"""Prepared evaluation sets written by hand, and a small real model to score on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models import SENTENCES, build_tiny_model

from stsflow.tasks.evaluation.worker import EvaluationSpec, ModelSpec
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedSet, RowCounts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.suites import Suite

Prepare = Callable[..., PreparedSet]


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random two-layer BERT with 32 dimensions."""
    return build_tiny_model(tmp_path_factory.mktemp("models") / "bert", "bert")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second model that gives other embeddings."""
    return build_tiny_model(tmp_path_factory.mktemp("models") / "other", "bert", seed=11)


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Function that writes columns as the data stage would and returns their record."""

    def write(name: str, columns: dict[str, list[Any]], *, clean: list[int] | None = None) -> PreparedSet:
        from datasets import Dataset

        folder = tmp_path / "prepared" / name
        Dataset.from_dict(columns).save_to_disk(str(folder))
        rows = len(next(iter(columns.values())))
        clean_file = None
        if clean is not None:
            clean_file = tmp_path / "prepared" / f"{name}-clean.json"
            clean_file.write_text(json.dumps(clean), encoding="utf-8")
        return PreparedSet(
            name=name, role="evaluation", shape="scored_pairs", title=name.title(), path=folder,
            columns=tuple(columns), digest=fingerprint(columns), rows=rows,
            counts=RowCounts(read=rows, kept=rows),
            source=SourceRef(kind="files", name=name, uri=name, revision="r"), clean_rows=clean_file,
        )  # fmt: skip

    return write


@pytest.fixture
def pair_columns() -> dict[str, list[Any]]:
    """Sixty pairs of the small tokenizer's sentences with tied scores and a genre."""
    pairs = [(a, b) for a in range(len(SENTENCES)) for b in range(a + 1, len(SENTENCES))][::2]
    return {
        "sentence1": [SENTENCES[a] for a, _ in pairs],
        "sentence2": [SENTENCES[b] for _, b in pairs],
        "score": [((3 * a + 5 * b) % 11) / 10 for a, b in pairs],
        "genre": ["news" if (a + b) % 3 else "forum" for a, b in pairs],
    }


@pytest.fixture
def spec(tmp_path: Path, small_model: Path) -> Callable[..., EvaluationSpec]:
    """Function that makes the worker's spec for the small model on some suites."""

    def make(suites: dict[str, Suite], *data: PreparedSet, resamples: int = 200) -> EvaluationSpec:
        folder = tmp_path / "scores"
        folder.mkdir()
        model = ModelSpec(name="base", path=small_model, digest="model-1", folder=folder)
        config = EvaluationConfig(suites=suites, resamples=resamples)
        return EvaluationSpec(models=(model,), config=config, data=data)

    return make
