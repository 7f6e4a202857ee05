"""The teacher's process: `python -m stsflow.tasks.teaching.worker SPEC` labels the rows of one set, block by block.

A block is an Arrow file with the labels of its rows; it appears whole. It knows neither Prefect nor MLflow.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import ModelError, refusal_ends_the_process
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.hardware import Device
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import Side
from stsflow.tasks.shapes import Roles, Shape

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ROWS_OF_A_BLOCK = 4096


class TeachSpec(Record):
    """What the worker is asked to do."""

    teacher: BaseModelRef
    data: PreparedSet
    roles: Roles
    """Of the columns once they are labelled: which texts there are, and what is to be said of them."""
    batch_size: int
    dimension: int | None
    """Keep the first so many numbers of an embedding; None: all."""
    device: Device
    blocks: Path
    """Folder of the blocks."""


def blocks_of(rows: int) -> range:
    """The first row of each block."""
    return range(0, rows, ROWS_OF_A_BLOCK)


def block_file(blocks: Path, start: int) -> Path:
    """Where the block that begins with row `start` lies."""
    return blocks / f"{start:012d}.arrow"


def label_rows(spec: TeachSpec) -> None:
    """Make the blocks that are not there."""
    import pyarrow as pa

    from stsflow.tasks.sets.blocks import write_block
    from stsflow.tasks.sets.rows import read_rows

    rows = read_rows(spec.data)
    missing = [start for start in blocks_of(spec.data.rows) if not block_file(spec.blocks, start).exists()]
    if not missing:
        return
    with without_collection():
        from stsflow.tasks.models.loading import load_helper
    model = load_helper(spec.teacher, device=spec.device)
    for start in missing:
        labels = said_of(model, spec, rows.slice(start, ROWS_OF_A_BLOCK), start)
        offsets = pa.array(range(0, labels.size + 1, labels.shape[1]), pa.int32())
        column = pa.ListArray.from_arrays(offsets, pa.array(labels.ravel(), pa.float32()))
        write_block(pa.table({"label": column}), block_file(spec.blocks, start))


def said_of(model: Any, spec: TeachSpec, rows: pa.Table, start: int) -> NDArray[np.float32]:
    """(rows, numbers) what the teacher says of these rows, which begin with row `start` of the set."""
    import numpy as np

    kind = ModelKind.named(spec.teacher.model_kind)
    alike = Shape.of(spec.data.shape).symmetric
    anchor, *others = (rows[name].to_pylist() for name in spec.roles.texts)
    if spec.roles.teaches == "embedding":
        side: Side | None = None if alike else "query"
        said = kind.embed(model, anchor, batch_size=spec.batch_size, side=side)[:, : spec.dimension]
    else:
        pairs = [kind.score(model, anchor, other, batch_size=spec.batch_size, alike=alike) for other in others]
        said = np.stack(pairs, axis=1)
    if not np.isfinite(said).all():
        row = start + int(np.flatnonzero(~np.isfinite(said).all(axis=1))[0])
        raise ModelError(f"The teacher {spec.teacher.name} says what is no number of row {row} of {spec.data.name}.")
    return np.ascontiguousarray(said, np.float32)


def main() -> None:
    """Label what the spec names; ends with 2, its log with the sentence that says why, when the teacher is refused."""
    guard()
    with refusal_ends_the_process():
        label_rows(TeachSpec.load(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
