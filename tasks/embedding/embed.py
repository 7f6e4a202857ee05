"""Embed the texts of files into one Parquet file of vectors; what ends it costs a block, and the same call goes on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from stsflow.tasks.embedding.inputs import Input, check_columns, files_of, read_to_the_end
from stsflow.tasks.embedding.request import (
    BATCH_TOKENS,
    Description,
    Job,
    Layout,
    Precision,
    Ranges,
    Wanted,
    block_file,
    job_file,
)
from stsflow.tasks.embedding.vectors import description_of, libraries, put_together
from stsflow.tasks.embedding.worker import WorkerSpec
from stsflow.tasks.ground.errors import DataError, EmbeddingFailed, ModelError, PreconditionError
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_file
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.models.hardware import Device, choose_device
from stsflow.tasks.models.in_blocks import Blocks, make_blocks
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import Side

logger = logging.getLogger(__name__)

WORKER = "stsflow.tasks.embedding.worker"
BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "binary": 0.125}
"""Of one number of a vector."""
FEW_TEXTS = 100
"""Fewer than these tell little of the range of a dimension."""


class Asked(Record):
    """What a person asks for."""

    column: str = "text"
    keep: tuple[str, ...] = ()
    layout: Layout = Layout()
    prompt_name: str | None = None
    input_type: Side | None = None
    dimensions: int | None = None
    normalized: bool = False
    precision: Precision = "float32"
    ranges_of: Path | None = None
    """A file of vectors of the same model, whose ranges int8 takes."""
    batch_tokens: int = BATCH_TOKENS


class Embedded(Record):
    """A file of vectors."""

    out: Path
    made: bool
    """False where it was there."""
    bytes: int
    about: Description


def embed_file(
    model: BaseModelRef, named: str, place: Path, asked: Asked, out: Path, workspace: Workspace, *,
    overwrite: bool = False, make: Callable[[WorkerSpec], None] | None = None,
) -> Embedded:  # fmt: skip
    """Vectors of the texts in the file or folder `place`, one row for each of its rows, in order, in the file `out`.

    What was made of the same is found; `out` of anything else is replaced with `overwrite` alone. Raises DataError for
    what cannot be read, ModelError for what the model cannot give, PreconditionError where `out` cannot be written, all
    before work begins; EmbeddingFailed when the child ends, which the same call goes on from. `make` makes the blocks
    that are missing; default: a child process.
    """
    files = files_of(place)
    check_columns(files, asked.column, asked.keep)
    _check_place(out, place, files)
    wanted = _wanted(model, asked, files)
    blocks = out.with_name(f".{out.name}.blocks")
    with lease(workspace.lease(f"embed-{fingerprint(str(out))[:24]}"), on_wait=lambda who: _say_whom(out, who)):
        if out.exists() and not overwrite:
            found = _found(out, wanted)
            shutil.rmtree(blocks, ignore_errors=True)  # of a command that ended just before it was done
            return found
        device = cast("Device", choose_device("auto").chosen)
        job = _job(wanted, files, blocks, fingerprint(code_of(WORKER), libraries(), device), overwrite)
        _check_room(job, out)
        (make or run_in_a_child)(WorkerSpec(model=model, job=job, device=device, blocks=blocks))
        description = put_together(job, named, device, blocks, out)
        shutil.rmtree(blocks)
    return Embedded(out=out, made=True, bytes=out.stat().st_size, about=description)


def _wanted(model: BaseModelRef, asked: Asked, files: Sequence[Input]) -> Wanted:
    if asked.prompt_name is not None and asked.prompt_name not in model.prompts.texts:
        known = ", ".join(model.prompts.texts) or "none"
        raise ModelError(f"--prompt-name: {model.name} has no prompt {asked.prompt_name!r}; it has: {known}")
    if asked.dimensions is not None and not 1 <= asked.dimensions <= model.dimension:
        raise ModelError(
            f"--dimensions: found {asked.dimensions}; {model.name} gives {model.dimension}, so 1 to {model.dimension} "
            "are allowed"
        )
    wanted = Wanted(
        model_digest=model.digest, max_seq_length=model.max_seq_length,
        prompt=model.prompts.of(asked.input_type, asked.prompt_name), input_type=asked.input_type,
        dimensions=asked.dimensions or model.dimension, normalized=asked.normalized, precision=asked.precision,
        ranges=None, batch_tokens=asked.batch_tokens, column=asked.column, keep=asked.keep, layout=asked.layout,
        files=tuple(sha256_of_file(file.path) for file in files),
    )  # fmt: skip
    return wanted if asked.ranges_of is None else wanted.model_copy(update={"ranges": _ranges(asked.ranges_of, wanted)})


def _ranges(file: Path, wanted: Wanted) -> Ranges:
    if wanted.precision != "int8":
        raise PreconditionError(f"--ranges-of: only int8 has ranges, and --precision is {wanted.precision}")
    found = description_of(file)
    if found is None or found.ranges is None:
        raise DataError(f"--ranges-of {file}: this is no file of int8 vectors that stsflow embed wrote")
    other = [
        name for name in wanted.differing(found.wanted) if name in ("model_digest", "dimensions", "normalized")
    ]  # fmt: skip
    if other:
        raise DataError(f"--ranges-of {file}: its vectors have another {' and '.join(other)} than these will have")
    return found.ranges


def _check_place(out: Path, place: Path, files: Sequence[Input]) -> None:
    if out.is_dir():
        raise PreconditionError(f"--out {out}: this is a folder; name a file in it")
    if not out.parent.is_dir():
        raise PreconditionError(f"--out {out}: there is no folder {out.parent}")
    if any(out.resolve() == file.path for file in files):
        raise PreconditionError(f"--out {out}: this is a file that texts are read from")
    if place.is_dir() and out.resolve().parent == place.resolve():
        raise PreconditionError(f"--out {out}: texts are read from every file of this folder; write into another one")


def _found(out: Path, wanted: Wanted) -> Embedded:
    """What lies at `out`, which is what is wanted; raises PreconditionError where it is not."""
    description = description_of(out)
    if description is None:
        raise PreconditionError(
            f"--out {out}: a file is there that is no whole file of vectors; --overwrite replaces it"
        )
    if other := description.wanted.differing(wanted):
        raise PreconditionError(
            f"--out {out}: vectors are there that were made otherwise ({_listed(description.wanted, wanted, other)}); "
            "name another file, or replace them with --overwrite"
        )
    return Embedded(out=out, made=False, bytes=out.stat().st_size, about=description)


def _listed(there: Wanted, wanted: Wanted, names: Sequence[str]) -> str:
    small = {"dimensions", "normalized", "precision", "batch_tokens", "column", "input_type", "max_seq_length"}
    return ", ".join(
        f"{name}: {getattr(there, name)} there, {getattr(wanted, name)} asked for" if name in small else f"other {name}"
        for name in names
    )


def _job(wanted: Wanted, files: Sequence[Input], blocks: Path, made_by: str, overwrite: bool) -> Job:
    """The job whose blocks lie, or will lie, in the folder; the input is read to its end before it is begun."""
    there = Job.load_or_none(job_file(blocks))
    if there is not None and (other := there.wanted.differing(wanted)):
        if not overwrite:
            raise PreconditionError(
                f"{blocks} holds the beginning of vectors that were asked for otherwise "
                f"({_listed(there.wanted, wanted, other)}); name another --out, or drop it with --overwrite"
            )
        there = None
    if there is not None and there.made_by == made_by:
        done = sum(block_file(blocks, number).exists() for number in range(there.blocks))
        logger.info("%d of %d blocks are there and are kept", done, there.blocks)
        return there
    if there is not None:
        logger.info("blocks of another version, or of another device, are made again")
    found, empty = read_to_the_end(files, wanted.column, wanted.keep, wanted.layout)
    if blocks.exists():
        shutil.rmtree(blocks)
    job = Job(wanted=wanted, made_by=made_by, files=found, empty=empty)
    if empty == job.rows:
        raise DataError(f"{files[0].shown}: no row has a text in the column {wanted.column!r}")
    blocks.mkdir(mode=0o700)
    job.write(job_file(blocks))
    return job


def _check_room(job: Job, out: Path) -> None:
    needed = 2 * job.rows * (job.wanted.dimensions * BYTES[job.wanted.precision])
    free = shutil.disk_usage(out.parent).free
    if needed > free + sum(file.stat().st_size for file in out.parent.glob(f".{out.name}.blocks/*.arrow")):
        raise PreconditionError(
            f"--out {out}: {job.rows:,} vectors and their blocks take some {needed / 2**30:.1f} GiB, and the disk has "
            f"{free / 2**30:.1f} GiB free; a smaller --precision or fewer --dimensions take less"
        )


def run_in_a_child(spec: WorkerSpec) -> None:
    """Have the blocks made that are not there."""
    job, wanted = spec.job, spec.job.wanted
    blocks = Blocks(spec.blocks, tuple(block_file(spec.blocks, number) for number in range(job.blocks)), "are embedded")
    if blocks.done == job.blocks:
        return
    numbers = f"{wanted.precision}, {wanted.dimensions} dimensions"
    logger.info("%s embeds %s rows (%s)", spec.model.name, f"{job.rows:,}", numbers)
    if wanted.precision == "int8" and wanted.ranges is None and job.rows - job.empty < FEW_TEXTS:
        logger.warning("int8 takes its ranges from %d texts, which tell little; see --ranges-of", job.rows - job.empty)
    make_blocks(WORKER, spec, blocks, EmbeddingFailed, "the process that embeds")


def _say_whom(out: Path, who: str) -> None:
    logger.info("waiting for another command that writes %s: %s", out, who)
