"""A checkpoint counts only when its seal holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stsflow.tasks.training.checkpoints import (
    checkpoint_folder,
    drop_unfinished,
    last_whole,
    prune,
    seal,
    staging_folder,
    steps_of,
    what_is_wrong,
)


def sealed(checkpoints: Path, step: int, weights: bytes = b"weights") -> Path:
    staged = checkpoint_folder(staging_folder(checkpoints, step), step)
    (staged / "1_Pooling").mkdir(parents=True)
    (staged / "model.safetensors").write_bytes(weights)
    (staged / "1_Pooling" / "config.json").write_text("{}")
    return seal(staged, checkpoint_folder(checkpoints, step), step)


def test_the_latest_whole_one_is_used(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        sealed(tmp_path, step)
    assert last_whole(tmp_path) == (tmp_path / "checkpoint-100", [])


def test_a_flipped_byte_is_found_and_the_one_before_is_used(tmp_path: Path) -> None:
    sealed(tmp_path, 5)
    (sealed(tmp_path, 10) / "model.safetensors").write_bytes(b"weighty")
    found, passed_over = last_whole(tmp_path)
    assert found == tmp_path / "checkpoint-5"
    assert passed_over == [
        "checkpoint of step 10 is not used: model.safetensors is not what was sealed (SHA-256 differs)"
    ]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"we"),
            "model.safetensors has 2 bytes, sealed with 7",
        ),
        (lambda folder: (folder / "1_Pooling" / "config.json").unlink(), "1_Pooling/config.json is missing"),
        (lambda folder: (folder / "seal.json").unlink(), "it has no readable seal"),
        (lambda folder: (folder / "seal.json").write_text('{"files"'), "it has no readable seal"),
    ],
)
def test_every_way_of_being_torn_has_its_sentence(tmp_path: Path, damage: object, sentence: str) -> None:
    folder = sealed(tmp_path, 5)
    assert what_is_wrong(folder) == ""
    damage(folder)  # type: ignore[operator]
    assert what_is_wrong(folder) == sentence
    assert last_whole(tmp_path)[0] is None


def test_the_seal_names_every_file_with_size_and_digest(tmp_path: Path) -> None:
    manifest = json.loads((sealed(tmp_path, 5, b"abc") / "seal.json").read_text())
    # sha256("abc"), FIPS 180-2 appendix B.1
    assert manifest["files"]["model.safetensors"] == {
        "bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }  # fmt: skip
    assert sorted(manifest["files"]) == ["1_Pooling/config.json", "model.safetensors"]


def test_the_best_and_the_latest_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20, 25):
        sealed(tmp_path, step)
    prune(tmp_path, keep=2, best=10)
    assert steps_of(tmp_path) == [10, 20, 25]
    prune(tmp_path, keep=1, best=None)
    assert steps_of(tmp_path) == [25]


def test_what_was_being_staged_is_dropped_and_never_counts(tmp_path: Path) -> None:
    sealed(tmp_path, 5)
    checkpoint_folder(staging_folder(tmp_path, 10), 10).mkdir(parents=True)
    assert steps_of(tmp_path) == [5]
    drop_unfinished(tmp_path)
    assert not staging_folder(tmp_path, 10).exists()


def test_there_may_be_none(tmp_path: Path) -> None:
    assert last_whole(tmp_path / "nowhere") == (None, [])
