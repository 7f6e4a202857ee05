"""The Parquet file of vectors: put together from its blocks, and what it says of itself."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from stsflow.tasks.embedding.inputs import VECTOR
from stsflow.tasks.embedding.request import Description, Job, Ranges, block_file, ranges_file
from stsflow.tasks.embedding.worker import CUT
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.sets.blocks import read_blocks

KEY = b"stsflow.embedding"
LIBRARIES = ("stsflow", "sentence-transformers", "transformers", "tokenizers", "torch", "numpy")


def description_of(file: Path) -> Description | None:
    """What the file says of itself; None for a file that is no whole file of vectors of ours."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as found:
            said = (found.schema_arrow.metadata or {}).get(KEY)
            rows = found.metadata.num_rows
        description = Description.model_validate_json(said) if said is not None else None
    except (pa.ArrowException, OSError, ValueError):
        return None
    return description if description is not None and description.rows == rows else None


def libraries() -> dict[str, str]:
    """Versions of what makes vectors."""
    return {name: version for name, version in versions().items() if name in LIBRARIES}


def put_together(job: Job, model: str, device: str, blocks: Path, out: Path) -> Description:
    """Write `out` from the blocks, all of which are there, one of them in memory at a time; it appears whole.

    The bytes hang on the blocks and on what is said of them alone.
    """
    import pyarrow.parquet as pq

    files = [block_file(blocks, number) for number in range(job.blocks)]
    schemas = [read_blocks([file]).schema for file in files]
    ranges = job.wanted.ranges or Ranges.load_or_none(ranges_file(blocks))
    description = Description(
        model=model, wanted=job.wanted, files=tuple(file.shown for file in job.files), rows=job.rows, empty=job.empty,
        cut=sum(int(schema.metadata[CUT]) for schema in schemas), ranges=ranges, device=device, versions=libraries(),
    )  # fmt: skip
    typed = schemas[0].with_metadata({KEY: description.model_dump_json()})
    keep = [name for name in typed.names if name != VECTOR]
    making = blocks / "whole.parquet"
    with making.open("wb") as sink:
        with pq.ParquetWriter(
            sink, typed, compression="zstd", use_dictionary=keep or False, write_statistics=keep or False
        ) as writer:
            for file in files:
                table = read_blocks([file]).replace_schema_metadata(typed.metadata)
                writer.write_table(table, row_group_size=table.num_rows)
        sink.flush()
        os.fsync(sink.fileno())
    making.replace(out)
    return description
