"""A suite for one file that a person names on the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from tasks.data.shapes import ScoredPairs
from tasks.data.sources import FilesSource
from tasks.errors import DataError
from tasks.evaluation.suites import StsSuite

DEFAULT_COLUMNS = ("sentence1", "sentence2", "score")
DEFAULT_SCORE_RANGE = (0.0, 5.0)


def suite_of_file(
    file: Path,
    columns: tuple[str, str, str] = DEFAULT_COLUMNS,
    score_range: tuple[float, float] = DEFAULT_SCORE_RANGE,
    quoting: Literal["none", "minimal"] = "none",
) -> dict[str, StsSuite]:
    """One STS suite over the rows of `file`, by a name made of the file's.

    `columns` name first sentence, second sentence and score; `score_range` is the scale of the scores. Raises DataError
    when there is no such file or the range is not one.
    """
    if not file.is_file():
        raise DataError(f"--data {file}: there is no such file")
    if not score_range[0] < score_range[1]:
        raise DataError(
            f"--score-range {score_range[0]:g} {score_range[1]:g}: the first number must be the smaller one"
        )
    first, second, score = columns
    shape = ScoredPairs(sentence1=first, sentence2=second, score=score, score_range=score_range)
    source = FilesSource(paths=(str(file.absolute()),), quoting=quoting)
    return {name_of_file(file): StsSuite(source=source, shape=shape, title=file.name)}


def name_of_file(file: Path) -> str:
    """The file's name as a suite may be called: lower case, digits, single dashes; `file` when nothing is left."""
    words = re.findall(r"[a-z0-9]+", file.name.split(".")[0].lower())
    return "-".join(words)[:64].strip("-") or "file"
