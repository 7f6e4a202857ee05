"""Scoring of a task of the Massive Text Embedding Benchmark by the package `mteb` (Muennighoff et al., 2023)."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import numpy as np

from tasks.errors import EvaluationFailed
from tasks.evaluation.scoring import Scoring
from tasks.evaluation.suites import MtebSuite
from tasks.files import write_text_atomically
from tasks.fingerprint import fingerprint, sha256_of_folder
from tasks.records import SuiteScores


def score_mteb(suite: MtebSuite, scoring: Scoring) -> SuiteScores:
    """The task's main score as `mteb` works it out; its whole result goes to `<suite>.mteb.json`.

    There is no interval, because the package hands on no scores of single rows. Raises EvaluationFailed when the
    package is missing, knows no such task, or cannot have the data.
    """
    task = find_task(suite, scoring.suite)
    import mteb

    try:
        result = mteb.evaluate(
            scoring.model,
            task,
            encode_kwargs={"batch_size": scoring.batch_size},
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
        )
    except (OSError, ValueError, KeyError) as error:  # what `datasets` raises for data that is absent or misshapen
        raise EvaluationFailed(
            f"the MTEB task {suite.task} could not be run: {type(error).__name__}: {error}"
        ) from error
    (found,) = result.task_results
    write_text_atomically(scoring.folder / f"{scoring.suite}.mteb.json", json.dumps(found.to_dict(), indent=2) + "\n")
    scores = [subset for split in found.scores.values() for subset in split]
    splits = ",".join(found.scores)
    return SuiteScores(
        suite=scoring.suite,
        kind=suite.kind,
        title=suite.title or f"MTEB {suite.task}",
        split=suite.split or splits,
        rows=rows_of(task, list(found.scores)),
        data_digest=data_digest(suite, task),
        model_digest=scoring.model_digest,
        primary=suite.primary,
        metrics={"main_score": float(np.mean([subset["main_score"] for subset in scores]))},
        subsets={str(subset["hf_subset"]): {"main_score": float(subset["main_score"])} for subset in scores},
    )


def find_task(suite: MtebSuite, name: str) -> Any:
    """The task of that name, reading from the suite's folder when it has one."""
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
    return fingerprint(metadata.version("mteb"), suite.task, task.metadata.dataset["revision"])


def rows_of(task: Any, splits: list[str]) -> int:
    """Rows of the task's splits as far as it holds them as tables; 0 where it keeps them in another form."""
    data = task.dataset or {}
    tables = [data] if any(split in data for split in splits) else list(data.values())
    return sum(len(table[split]) for table in tables for split in splits if split in table and hasattr(table, "keys"))
