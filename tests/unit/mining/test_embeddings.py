"""Embeddings on the disk: the same bytes whether they were made in one go, or killed and damaged in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stsflow.tasks.mining import embeddings
from stsflow.tasks.mining.embeddings import embedded

TEXTS = [f"text {number}" for number in range(23)]


class Encoder:
    """Two numbers that tell a text; the encoder counts its calls and may die after some."""

    def __init__(self, dies_after: int = 99) -> None:
        self.calls, self.dies_after = 0, dies_after

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        if self.calls == self.dies_after:
            raise KeyboardInterrupt
        self.calls += 1
        return np.array([[int(text.split()[1]), len(text)] for text in texts], np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "TEXTS_OF_A_BLOCK", 5)


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    found = embedded(TEXTS, Encoder(), tmp_path / "e", "texts")
    assert found.shape == (23, 2)
    assert found[3:6][:, 0].tolist() == [3, 4, 5] and found[20:99][:, 0].tolist() == [20, 21, 22]
    assert found.take(np.array([22, 0, 1, 0, 7]))[:, 0].tolist() == [22, 0, 1, 0, 7]
    assert found.first(4).shape == (4, 2) and found.first(4)[2:9][:, 0].tolist() == [2, 3]


def test_what_a_killed_process_made_is_not_made_again_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    whole = embedded(TEXTS, Encoder(), tmp_path / "whole", "texts")
    with pytest.raises(KeyboardInterrupt):
        embedded(TEXTS, Encoder(dies_after=3), tmp_path / "e", "texts")
    with (tmp_path / "e" / "vectors.f32").open("ab") as stream:
        stream.write(b"half a block")
    second = Encoder()
    resumed = embedded(TEXTS, second, tmp_path / "e", "texts")
    assert second.calls == 2
    assert resumed[0:23].tobytes() == whole[0:23].tobytes()
    assert (tmp_path / "e" / "vectors.f32").read_bytes() == (tmp_path / "whole" / "vectors.f32").read_bytes()


def test_a_block_that_changed_on_the_disk_is_made_again_with_those_behind_it(tmp_path: Path) -> None:
    embedded(TEXTS, Encoder(), tmp_path / "e", "texts")
    content = bytearray((tmp_path / "e" / "vectors.f32").read_bytes())
    content[2 * 5 * 8] ^= 1  # the third block's first byte
    (tmp_path / "e" / "vectors.f32").write_bytes(content)
    again = Encoder()
    found = embedded(TEXTS, again, tmp_path / "e", "texts")
    assert again.calls == 3 and found[0:23][:, 0].tolist() == list(range(23))
    untouched = Encoder()
    embedded(TEXTS, untouched, tmp_path / "e", "texts")
    assert untouched.calls == 0
