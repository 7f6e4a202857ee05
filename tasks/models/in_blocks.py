"""Long work with a model, in a child process that leaves it block by block: what ends it costs one block."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.errors import ModelError, Refused, RunFailed
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.process_environment import process_environment

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_WORDS = 20.0


@dataclass(frozen=True)
class Blocks:
    """The files of one work, by their numbers."""

    folder: Path
    files: tuple[Path, ...]
    what: str
    """What is done to them, such as `of the corpus are embedded`."""

    @property
    def done(self) -> int:
        """How many are there."""
        return sum(file.exists() for file in self.files)


def make_blocks(worker: str, spec: Record, blocks: Blocks, failed: type[RunFailed], who: str) -> None:
    """Have the blocks made that are not there, and say now and then how far it is.

    Raises ModelError with what the child refused, `failed` with the end of its log when it ends otherwise. `who` is the
    child, in words.
    """
    before = blocks.done
    if before == len(blocks.files):
        return
    started = told = time.monotonic()

    def say() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > SECONDS_BETWEEN_WORDS and (done := blocks.done) > before:
            told = now
            left = (len(blocks.files) - done) * (now - started) / (done - before)
            logger.info("%d of %d blocks %s, some %.0f min left", done, len(blocks.files), blocks.what, left / 60)

    log = blocks.folder / "worker.log"
    log.unlink(missing_ok=True)
    command = python_module(worker, str(spec.write(blocks.folder / "spec.json")))
    ended = run_child(command, log, environment=process_environment(), on_tick=say)
    if ended.code == Refused.exit_code:
        raise ModelError(last_lines(log, 1))
    if ended.code != 0:
        raise failed(
            f"{who} ended with code {ended.code}; blocks that are done are kept, and the same command goes on from "
            f"there. The end of {log}:\n{last_lines(log)}"
        )
