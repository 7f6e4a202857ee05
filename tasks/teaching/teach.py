"""Have the rows of training sets labelled by a teacher: prepared sets in, sets with a column of its numbers out.

The teacher runs in a child process, block by block of rows. A block that is on the disk is not made again, so that what
ends a run costs one block; what was said of the same rows by the same teacher is found by content.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import RecipeError, TeachingFailed
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.models.hardware import AskedDevice, Device, choose_device
from stsflow.tasks.models.in_blocks import Blocks, make_blocks
from stsflow.tasks.models.kinds import EMBEDDINGS, ModelKind
from stsflow.tasks.recipe.sections import TeacherConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.teaching import Teaching
from stsflow.tasks.sets.blocks import read_blocks
from stsflow.tasks.sets.rows import read_rows, write_rows
from stsflow.tasks.shapes import Roles, Shape
from stsflow.tasks.teaching.worker import TeachSpec, block_file, blocks_of

logger = logging.getLogger(__name__)

WORKER = "stsflow.tasks.teaching.worker"
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy")
TEACHES = frozenset({"embeddings", "scores"})
"""What a model may give to be a teacher."""


class _Taught(Record):
    """A labelled set in its folder."""

    path: Path
    columns: tuple[str, ...]
    digest: str
    teaching: Teaching


def teach_sets(
    data: PreparedData, teacher: BaseModelRef, config: TeacherConfig, taught: Mapping[str, Roles], workspace: Workspace,
    *, device: AskedDevice = "auto", fresh: bool = False,
) -> PreparedData:  # fmt: skip
    """The data with each training set that `taught` names labelled, whose columns then have the roles that it says.

    A label is a list of float32: a score for each text beside the anchor, or the embedding of the anchor. Rows and
    texts stay as they are. Raises RecipeError where the teacher does not give what is asked for, ModelError when it
    does not load or says what is no number, TeachingFailed with the end of the child's log for whatever else ends it.
    """
    kind = ModelKind.named(teacher.model_kind)
    for name, roles in taught.items():
        if roles.teaches == "embedding" and kind.gives not in EMBEDDINGS:
            raise RecipeError(
                f"teacher: {teacher.name} gives {kind.gives} of pairs and no embeddings, and the loss of {name} learns "
                "from embeddings; use a loss that learns from scores, or a teacher that embeds texts"
            )
    chosen = cast("Device", choose_device(device).chosen)
    sets, keys = [], []
    for item in data.train:
        if item.name not in taught:
            sets.append(item)
            continue
        asked = TeachSpec(
            teacher=teacher, data=item, roles=taught[item.name], batch_size=config.batch_size,
            dimension=config.dimension, device=chosen, blocks=workspace.root,
        )  # fmt: skip
        keys.append(_key(asked))
        sets.append(_taught_set(asked, keys[-1], workspace, fresh))
    return data.model_copy(update={"train": tuple(sets), "fingerprint": fingerprint(data.fingerprint, keys)})


def _key(asked: TeachSpec) -> str:
    """Of rows, teacher, what is asked of it, code, versions and device."""
    teacher, found = asked.teacher, versions()
    return fingerprint(
        [teacher.digest, teacher.max_seq_length, teacher.pooling, teacher.trust_remote_code],
        [
            asked.data.digest,
            Shape.of(asked.data.shape).symmetric,
            asked.roles.texts,
            asked.roles.taught,
            asked.roles.teaches,
            asked.roles.negatives,
        ],
        [asked.batch_size, asked.dimension, asked.device],
        code_of(WORKER, __name__),
        {name: found[name] for name in LIBRARIES if name in found},
    )


def _taught_set(asked: TeachSpec, key: str, workspace: Workspace, fresh: bool) -> PreparedSet:
    blocks = workspace.made("taught", key).with_suffix(".blocks")
    spec = asked.model_copy(update={"blocks": blocks})
    if fresh:
        shutil.rmtree(blocks, ignore_errors=True)
    found = find_or_make(
        workspace, "taught", key, _Taught, lambda folder: _label(spec, folder), fresh=fresh,
        what=f"what the teacher says of {asked.data.name}",
    )  # fmt: skip
    shutil.rmtree(blocks, ignore_errors=True)
    update = {"path": found.path, "columns": found.columns, "digest": found.digest, "roles": asked.roles}
    return asked.data.model_copy(update=update | {"teaching": found.teaching})


def _label(spec: TeachSpec, folder: Path) -> _Taught:
    started = time.monotonic()
    _run(spec)
    rows, name = read_rows(spec.data), str(spec.roles.taught)
    labels = read_blocks(block_file(spec.blocks, start) for start in blocks_of(spec.data.rows))
    kept = rows.select([column for column in rows.column_names if column != name])
    table = kept.append_column(name, labels.column("label"))
    digest = write_rows(table, folder / "rows")
    teaching = _described(spec, labels.column("label"), time.monotonic() - started)
    return _Taught(path=folder / "rows", columns=tuple(table.column_names), digest=digest, teaching=teaching)


def _described(spec: TeachSpec, labels: pa.ChunkedArray, seconds: float) -> Teaching:
    numbers = pc.list_flatten(labels)
    limits = pc.min_max(numbers).as_py()
    width, roles = len(numbers) // spec.data.rows, spec.roles
    disagrees = None
    if roles.teaches == "scores" and roles.negatives:
        scores = numbers.to_numpy().reshape(-1, width)
        disagrees = int((scores[:, -roles.negatives :].max(axis=1) >= scores[:, 0]).sum())
    return Teaching(
        teacher=spec.teacher, gives=roles.teaches, digest_before=spec.data.digest, numbers=width,
        minimum=limits["min"], mean=float(np.float64(pc.mean(numbers).as_py())), maximum=limits["max"],
        disagrees=disagrees, seconds=seconds,
    )  # fmt: skip


def _run(spec: TeachSpec) -> None:
    """Let the child make the blocks that are not there."""
    spec.blocks.mkdir(parents=True, exist_ok=True)
    name, rows = spec.teacher.name, f"{spec.data.rows:,}"
    logger.info("%s gives %s for the %s rows of %s", name, spec.roles.teaches, rows, spec.data.name)
    files = tuple(block_file(spec.blocks, start) for start in blocks_of(spec.data.rows))
    blocks = Blocks(spec.blocks, files, f"of {spec.data.name} are labelled")
    make_blocks(WORKER, spec, blocks, TeachingFailed, f"the teacher {name}, on {spec.data.name},")
