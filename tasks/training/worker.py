"""The trainer process: `python -m stsflow.tasks.training.worker SPEC`.

It reads a WorkerSpec, trains (from the last good checkpoint where there is one), and leaves `model/` and, last of all,
`result.json` in the training's folder. What it does meanwhile is in `events.jsonl`; why it failed, in `failure.json`.
It needs torch, transformers, sentence-transformers, datasets and accelerate, and knows nothing of Prefect or MLflow.
"""

from __future__ import annotations

import fcntl
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.no_room import is_disk_full, is_out_of_memory
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.training.processes import stay_until_done
from stsflow.tasks.training.request import WorkerSpec

LOCK_SECONDS = 60


class Failure(Record):
    """Why a worker ended without a model (failure.json)."""

    code: str
    """out_of_memory, loss_not_finite, disk_full, refused or error."""
    message: str
    set: str | None = None
    """Training set of the batch that failed."""
    rows: tuple[int, ...] = ()
    """Its rows, numbered from 0 in the prepared set."""
    batch: int | None = None
    """Number of the batch in its epoch, from 0."""
    epoch: int | None = None
    step: int | None = None


def failure_file(folder: TrainingFolder) -> Path:
    """Where the worker says why it failed."""
    return folder.root / "failure.json"


def main(arguments: list[str]) -> int:
    """Run the worker; 0 when the model is there, 1 with failure.json otherwise."""
    guard()
    (path,) = arguments
    spec = WorkerSpec.load(Path(path))
    folder = TrainingFolder(spec.folder)
    rank = int(os.environ.get("RANK", "0"))
    try:
        with sole_worker(folder.root / f"worker-{rank}.lock"):
            with without_collection():
                from stsflow.tasks.training.session import run_session

            run_session(spec, folder, rank)
            stay_until_done(rank)
    except Exception as error:  # whatever it is, the watching process must learn of it in one sentence
        failure = failure_of(error, folder)
        if failure.code == "error":
            traceback.print_exc()
        else:  # understood: the log ends with what it was, not with where in the libraries it came up
            print(f"{failure.code}: {failure.message}", file=sys.stderr)
        sys.stderr.flush()
        _leave_failure(folder, failure)
        return 1
    return 0


def failure_of(error: BaseException, folder: TrainingFolder) -> Failure:
    """The exception, told apart by what can be done about it."""
    from stsflow.tasks.ground.errors import Refused

    code, facts = getattr(error, "code", None), getattr(error, "facts", None)
    if isinstance(code, str) and isinstance(facts, dict):
        return Failure(code=code, message=str(error), **facts)
    if is_disk_full(error, folder.root):
        return Failure(code="disk_full", message=str(error))
    if is_out_of_memory(error):
        return Failure(code="out_of_memory", message=str(error))
    if isinstance(error, Refused):
        return Failure(code="refused", message=error.message)
    return Failure(code="error", message=f"{type(error).__name__}: {error}")


def _leave_failure(folder: TrainingFolder, failure: Failure) -> None:
    path = failure_file(folder)
    if path.exists():  # another process of the same training was first: what followed there is a consequence
        return
    try:
        failure.write(path)
    except OSError:
        print(f"failure: {failure.model_dump_json()}", file=sys.stderr, flush=True)


@contextmanager
def sole_worker(lock: Path) -> Iterator[None]:
    """Hold the lock while working, so that a dying predecessor and its successor never write at the same time."""
    import signal

    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        signal.signal(signal.SIGALRM, _lock_timed_out)
        signal.alarm(LOCK_SECONDS)
        fcntl.flock(stream, fcntl.LOCK_EX)
        signal.alarm(0)
        yield


def _lock_timed_out(_number: int, _frame: object) -> None:
    raise TimeoutError(f"another trainer process has been at work in this folder for {LOCK_SECONDS} seconds")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
