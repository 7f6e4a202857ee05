"""Embeddings on the disk, made block by block, so that neither the corpus nor a kill counts.

`<folder>/vectors.f32` holds the blocks end to end (float32, little endian), `<folder>/blocks.jsonl` a line for each
with the SHA-256 of its bytes. What was made before is found again up to the first block that is not as its line says.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.files import write_text_atomically

log = logging.getLogger("stsflow.mining")

TEXTS_OF_A_BLOCK = 4096
SECONDS_BETWEEN_WORDS = 20.0

Encode = Callable[[list[str]], NDArray[np.float32]]


class Embeddings:
    """(texts, dimension) float32 on the disk; what is asked for is read, and nothing is kept in memory."""

    def __init__(self, path: Path, rows: int, dimension: int) -> None:
        self.shape = (rows, dimension)
        self._file = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self._file)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        start, stop, _ = rows.indices(self.shape[0])
        return self._read(start, max(0, stop - start))

    def first(self, rows: int) -> Embeddings:
        """The first `rows` of them."""
        found = object.__new__(Embeddings)
        found._file, found.shape = os.dup(self._file), (rows, self.shape[1])
        return found

    def take(self, numbers: NDArray[np.integer]) -> NDArray[np.float32]:
        """The rows with these numbers, in this order."""
        distinct, places = np.unique(numbers, return_inverse=True)
        breaks = np.flatnonzero(np.diff(distinct) != 1) + 1
        runs = np.split(distinct, breaks) if len(distinct) else []
        parts = [self._read(int(run[0]), len(run)) for run in runs]
        rows = np.concatenate(parts) if parts else np.empty((0, self.shape[1]), np.float32)
        found: NDArray[np.float32] = rows[places.reshape(-1)]
        return found

    def _read(self, start: int, count: int) -> NDArray[np.float32]:
        size = 4 * self.shape[1]
        content = os.pread(self._file, count * size, start * size)
        return np.frombuffer(content, "<f4").reshape(count, self.shape[1])


def embedded(texts: Sequence[str], encode: Encode, folder: Path, what: str) -> Embeddings:
    """The embeddings of `texts`, made by `encode` where `folder` does not hold them yet; `what` they are, for people.

    `folder` belongs to exactly these texts and this way of encoding: its name is a key of both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vectors, lines = folder / "vectors.f32", folder / "blocks.jsonl"
    blocks = -(-len(texts) // TEXTS_OF_A_BLOCK)
    done = _whole_blocks(vectors, lines)
    if done:
        log.info("%s: %d of %d blocks are there", what, len(done), blocks)
    write_text_atomically(lines, "".join(json.dumps(one) + "\n" for one in done))
    started = told = time.monotonic()
    with vectors.open("ab") as stream, lines.open("a", encoding="utf-8") as index:
        stream.truncate(sum(one["bytes"] for one in done))
        for number in range(len(done), blocks):
            block = encode(list(texts[number * TEXTS_OF_A_BLOCK : (number + 1) * TEXTS_OF_A_BLOCK]))
            content = np.ascontiguousarray(block, "<f4").tobytes()
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            done.append({"bytes": len(content), "rows": len(block), "sha256": hashlib.sha256(content).hexdigest()})
            index.write(json.dumps(done[-1]) + "\n")
            index.flush()
            if (now := time.monotonic()) - told > SECONDS_BETWEEN_WORDS:
                told = now
                log.info("%s: %d of %d blocks, %.0f s", what, number + 1, blocks, now - started)
    return Embeddings(vectors, len(texts), done[0]["bytes"] // 4 // done[0]["rows"] if done else 1)


def _whole_blocks(vectors: Path, lines: Path) -> list[dict[str, Any]]:
    """The lines of the blocks that lie in `vectors` as they were written, up to the first that does not."""
    found: list[dict[str, Any]] = []
    if not vectors.is_file() or not lines.is_file():
        return found
    with vectors.open("rb") as stream:
        for line in lines.read_text(encoding="utf-8").splitlines():
            try:
                one = json.loads(line)
                content = stream.read(one["bytes"])
                if hashlib.sha256(content).hexdigest() != one["sha256"]:
                    break
            except (ValueError, TypeError, KeyError):
                break
            found.append(one)
    return found
