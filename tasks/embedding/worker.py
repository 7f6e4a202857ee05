"""`python -m stsflow.tasks.embedding.worker SPEC`: make the blocks of vectors that are not there, in order.

A block is an Arrow file that appears whole. How its rows share batches hangs on the block alone, so that vectors are
the same to the last bit whichever blocks were there before. It knows neither Prefect nor MLflow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stsflow.tasks.embedding.inputs import VECTOR, blocks_of
from stsflow.tasks.embedding.request import (
    CALIBRATION_TEXTS,
    ROWS_OF_A_BLOCK,
    Job,
    Ranges,
    block_file,
    ranges_file,
)
from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import ModelError, refusal_ends_the_process
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.hardware import Device
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.records.models import BaseModelRef

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Embed = Callable[[Sequence[str]], tuple[NDArray[np.float32], int]]

CUT = b"cut"


class WorkerSpec(Record):
    """What the worker is asked to do."""

    model: BaseModelRef
    job: Job
    device: Device
    blocks: Path


def make_blocks(spec: WorkerSpec) -> None:
    """Make the blocks that are not there."""
    missing = [number for number in range(spec.job.blocks) if not block_file(spec.blocks, number).exists()]
    if not missing:
        return
    import pyarrow as pa

    from stsflow.tasks.sets.blocks import write_block

    embed = _embedder(spec)
    ranges = _ranges(spec, embed)
    left = set(missing)
    rows = blocks_of(spec.job.files, spec.job.wanted)
    for number, block in enumerate(islice(rows, missing[0], missing[-1] + 1), missing[0]):
        if number not in left:
            continue
        texts = block.texts.to_pylist()
        vectors, cut = embed([text for text in texts if text])
        written = stored(vectors, spec.job.wanted.precision, ranges)
        _check_finite(vectors, written, spec, number)
        column = vector_column(written, [bool(text) for text in texts])
        table = pa.table([*block.kept.columns, column], names=[*block.kept.column_names, VECTOR])
        write_block(table.replace_schema_metadata({CUT: str(cut)}), block_file(spec.blocks, number))


def stored(vectors: NDArray[np.float32], precision: str, ranges: Ranges | None) -> NDArray[Any]:
    """(rows, numbers) as they are written: float32, float16, int8 by the ranges, or bits, eight to a byte (uint8).

    int8 and binary are those of `sentence_transformers.quantize_embeddings` (binary: its `ubinary`).
    """
    import numpy as np

    if precision in ("float32", "float16") or not len(vectors):
        kinds = {"float32": np.float32, "float16": np.float16, "int8": np.int8, "binary": np.uint8}
        with np.errstate(over="ignore"):  # what is too large for float16 is refused by who writes it
            return vectors.astype(kinds[precision])
    from sentence_transformers.util import quantize_embeddings

    if precision == "binary":
        return np.asarray(quantize_embeddings(vectors, "ubinary"))
    assert ranges is not None  # int8 has them by now
    return np.asarray(quantize_embeddings(vectors, "int8", ranges=np.array([ranges.low, ranges.high], np.float32)))


def vector_column(vectors: NDArray[Any], there: Sequence[bool]) -> pa.Array:
    """A column of lists; null where there is no vector."""
    import numpy as np
    import pyarrow as pa

    width = vectors.shape[1] if len(vectors) else 0
    offsets = np.concatenate([[0], np.cumsum(np.where(there, width, 0))]).astype(np.int32)
    missing = pa.array(~np.asarray(there, bool))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.ravel()), mask=missing)


def _embedder(spec: WorkerSpec) -> Embed:
    """What gives texts, none of them empty, their vectors in float32, and how many of them are longer than it reads."""
    import numpy as np

    with without_collection():
        import torch

        from stsflow.tasks.models.encode import TextsAlike, encode_alike
        from stsflow.tasks.models.loading import load_helper
    wanted = spec.job.wanted
    model = load_helper(spec.model, device=spec.device)
    ModelKind.named(spec.model.model_kind).flatten(model, "auto", spec.device, "float32")

    def embed(texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        if not texts:
            return np.empty((0, wanted.dimensions), np.float32), 0
        alike = TextsAlike.of(model, texts, wanted.prompt)
        with torch.inference_mode():
            rows = encode_alike(model, alike, wanted.prompt, wanted.input_type, wanted.batch_tokens)
        rows = rows[:, : wanted.dimensions]
        if wanted.normalized:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        numbers = [alike.number_of[text] for text in texts]
        return rows[numbers], sum(alike.cut[number] for number in numbers)

    return embed


def _ranges(spec: WorkerSpec, embed: Embed) -> Ranges | None:
    """Of int8: those that were given, or those of a sample of the texts, made once."""
    import pyarrow as pa

    wanted = spec.job.wanted
    if wanted.precision != "int8" or wanted.ranges is not None:
        return wanted.ranges
    if found := Ranges.load_or_none(ranges_file(spec.blocks)):
        return found
    count = min(spec.job.rows, CALIBRATION_TEXTS)
    places = [number * spec.job.rows // count for number in range(count)]
    texts: list[str] = []
    for number, block in enumerate(blocks_of(spec.job.files, wanted)):
        start = number * ROWS_OF_A_BLOCK
        inside = [place - start for place in places if start <= place < start + len(block.texts)]
        texts += filter(None, block.texts.take(pa.array(inside, pa.int64())).to_pylist())
    if not texts:
        raise ModelError("int8 takes its ranges from a sample of the texts, and those are empty; give --ranges-of")
    vectors = embed(texts)[0]
    ranges = Ranges(
        low=tuple(vectors.min(axis=0).tolist()), high=tuple(vectors.max(axis=0).tolist()),
        source=f"{len(texts):,} of these texts, evenly spread",
    )  # fmt: skip
    ranges.write(ranges_file(spec.blocks))
    return ranges


def _check_finite(vectors: NDArray[np.float32], written: NDArray[Any], spec: WorkerSpec, number: int) -> None:
    import numpy as np

    rows = f"a text in rows {number * ROWS_OF_A_BLOCK + 1:,} to {(number + 1) * ROWS_OF_A_BLOCK:,}"
    if not np.isfinite(vectors).all():
        raise ModelError(f"The model {spec.model.name} gives what is no number for {rows}.")
    if not np.isfinite(written).all():
        raise ModelError(
            f"The model {spec.model.name} gives numbers beyond those of float16 for {rows}: use float32 or --normalize."
        )


def main() -> None:
    """Make what the spec names; ends with 2, its log with the sentence that says why, when it is refused."""
    guard()
    with refusal_ends_the_process():
        make_blocks(WorkerSpec.load(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
