"""Embeddings on the disk, for a search that reads them block by block."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class StoredEmbeddings:
    """(texts, dimension) float32 in a file without a name, which is gone with this; none of it is kept in memory.

    Read by `pread` rather than mapped: pages of a map count as the process's memory for as long as they are there.
    """

    def __init__(self, folder: Path) -> None:
        """Empty; the file lies in `folder`."""
        self.shape = (0, 0)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is closed with this

    def append(self, block: NDArray[np.float32]) -> None:
        """Add the embeddings of further texts."""
        self._file.write(np.ascontiguousarray(block, np.float32).data)
        self._file.flush()
        self.shape = (self.shape[0] + len(block), block.shape[1])

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        start, stop, _ = rows.indices(self.shape[0])
        width = 4 * self.shape[1]
        content = os.pread(self._file.fileno(), max(0, stop - start) * width, start * width)
        return np.frombuffer(content, np.float32).reshape(-1, self.shape[1])
