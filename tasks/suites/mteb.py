"""A task of the Massive Text Embedding Benchmark by the package `mteb` (Muennighoff et al., 2023)."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stsflow.tasks.ground.errors import EvaluationFailed, PreconditionError
from stsflow.tasks.ground.names import MtebTask
from stsflow.tasks.suites.family import Metric, Suite

if TYPE_CHECKING:
    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.evaluation import SuiteScores
    from stsflow.tasks.records.models import BaseModelRef


class MtebSuite(Suite):
    """A task of the Massive Text Embedding Benchmark by its name, scored by the package `mteb` itself.

    Needs the extra `mteb`. The data comes from the hub at the revision that the task names, or from a local folder in
    the hub's format (parquet, csv or json files that `datasets.load_dataset` reads).
    """

    kind: Literal["mteb"] = "mteb"
    heading: ClassVar[str] = "MTEB Task"
    task_type: ClassVar[str] = "mteb"
    brings: ClassVar[str] = "the package mteb"
    task: MtebTask
    """Name of the task, such as `KorSTS`."""
    folder: Path | None = None
    """Local folder with the task's data; default: the hub."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's own main score."""
        return ("main_score",)

    @property
    def primary(self) -> str:
        """The task's own main score."""
        return "main_score"

    @classmethod
    def metric(cls, name: str) -> Metric:  # noqa: ARG003 - there is one
        """Whatever the task measures; the package hands on no scores of single rows."""
        return Metric()

    def require(self, where: str, base: BaseModelRef) -> None:  # noqa: ARG002 - any will do
        """PreconditionError when the package is not installed or the folder is not there."""
        if find_spec("mteb") is None:
            raise PreconditionError(f"{where}: the package mteb is not installed; pip install 'stsflow[mteb]'")
        if self.folder is not None and not self.folder.is_dir():
            raise PreconditionError(f"{where}.folder: there is no folder {self.folder}")

    def score(self, scoring: Scoring) -> SuiteScores:
        """The task's main score as `mteb` works it out; its whole result goes to `<suite>.mteb.json`.

        There is no interval. Raises EvaluationFailed when the package is missing, knows no such task, or cannot have
        the data.
        """
        task = find_task(self, scoring.suite)
        import mteb
        import numpy as np

        try:
            task.load_data()
            rows = rows_of(task)  # counted now: the package lets go of the data when it has finished
            with scoring.embedder.prompted() as model:
                result = mteb.evaluate(
                    model,
                    task,
                    encode_kwargs={"batch_size": scoring.batch_size},
                    cache=None,
                    co2_tracker=False,
                    show_progress_bar=False,
                )
        except (OSError, ValueError, KeyError) as error:  # what `datasets` raises for data that is absent or misshapen
            raise EvaluationFailed(
                f"the MTEB task {self.task} could not be run: {type(error).__name__}: {error}"
            ) from error
        (found,) = result.task_results
        found.to_disk(scoring.folder / f"{scoring.suite}.mteb.json")
        scores = [subset for split in found.scores.values() for subset in split]
        return scoring.scores(
            self,
            title=self.title or f"MTEB {self.task}",
            split=self.split or ",".join(found.scores),
            rows=rows,
            data_digest=data_digest(self, task),
            metrics={"main_score": float(np.mean([subset["main_score"] for subset in scores]))},
            subsets={f"subset:{subset['hf_subset']}": {"main_score": float(subset["main_score"])} for subset in scores},
            pairs=None,
        )


def find_task(suite: MtebSuite, name: str) -> Any:
    """The task of that name, reading from the suite's folder when it has one."""
    from stsflow.tasks.ground.fingerprint import sha256_of_folder

    try:
        import mteb
    except ImportError:
        raise EvaluationFailed(
            f"evaluation.suites.{name}: mteb is not installed; pip install 'stsflow[mteb]'"
        ) from None
    try:
        task = mteb.get_task(suite.task)
    except KeyError as error:
        raise EvaluationFailed(f"evaluation.suites.{name}.task: {str(error.args[0]).strip()}") from None
    if suite.folder is not None:
        if not suite.folder.is_dir():
            raise EvaluationFailed(f"evaluation.suites.{name}.folder: there is no folder {suite.folder}")
        # A local folder has no commits; its content stands in for the revision that mteb writes into its result.
        content = sha256_of_folder(suite.folder)
        local = {**task.metadata.dataset, "path": str(suite.folder.absolute()), "revision": content}
        task.metadata = task.metadata.model_copy(update={"dataset": local})
    return task


def data_digest(suite: MtebSuite, task: Any) -> str:
    """What identifies the rows: the local folder's content, or the data set's pinned revision; with mteb's version."""
    from stsflow.tasks.ground.fingerprint import fingerprint

    return fingerprint(metadata.version("mteb"), suite.task, task.metadata.dataset["revision"])


def rows_of(task: Any) -> int:
    """Rows of the task's splits as far as it holds them as tables; 0 where it keeps them in another form."""
    splits = list(task.eval_splits)
    tables = [task.dataset] if any(split in task.dataset for split in splits) else list(task.dataset.values())
    return sum(getattr(table[split], "num_rows", 0) for table in tables for split in splits if split in table)
