"""A suite for one file that a person names on the command line."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.recipe.messages import explain
from stsflow.tasks.shapes import ScoredPairs
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import StsSuite

DEFAULT_COLUMNS = ("sentence1", "sentence2", "score")
DEFAULT_SCORE_RANGE = (0.0, 5.0)
# What a recipe calls the options of the command line: its user has no recipe to look into.
OPTIONS = (
    (r"The shape in the recipe says which columns to read", "`--columns` says which columns to read"),
    (r"shape\.score_range", "--score-range"),
    (r"`(quoting|delimiter|decimal|encoding): ([^`]+)`", r"`--\1 \2`"),
    (r"`(quoting|delimiter|decimal|encoding)`", r"`--\1`"),
    (r"`columns`", "`--positional`"),
    (r" \(the source's `max_\w+`\)", ""),
    (r"raise that limit or unpack the file yourself", "unpack the file yourself"),
    (r"raise that limit", "read it through a recipe, which can raise the limit"),
    (r"; set `format`", "; give the file one of them"),
)


def suite_of_file(
    file: Path,
    columns: tuple[str, str, str] = DEFAULT_COLUMNS,
    score_range: tuple[float, float] = DEFAULT_SCORE_RANGE,
    positional: tuple[str, ...] = (),
    **reading: str,
) -> dict[str, StsSuite]:
    """One STS suite over the rows of `file`, by a name made of the file's.

    `columns` name first sentence, second sentence and score; `score_range` is the scale of the scores; `positional`
    are the columns of a file without a header, left to right; `reading` are further fields of `FilesSource`, such as
    `quoting`, `delimiter`, `decimal`, `encoding`. Raises DataError when there is no such file or an option is illegal.
    """
    shown = without_credentials(str(file))
    if not _is_there(file):
        raise DataError(f"--data {shown}: there is no such file")
    first, second, score = columns
    if not score_range[0] < score_range[1]:
        raise DataError(
            f"--score-range {score_range[0]:g} {score_range[1]:g}: the first number must be the smaller one"
        )
    try:
        source = FilesSource.model_validate(
            {"paths": (str(file.absolute()),), "header": not positional, "columns": positional, **reading}
        )
        shape = ScoredPairs(sentence1=first, sentence2=second, score=score, score_range=score_range)
        return {name_of_file(file): StsSuite(source=source, shape=shape, title=file.name)}
    except ValidationError as error:
        kind = {model.__name__: model for model in (FilesSource, ScoredPairs, StsSuite)}[error.title]
        raise DataError(explain(error, kind, f"--data {shown}")) from None


def in_options(message: str) -> str:
    """A message about the data in the words of the command line."""
    for words, option in OPTIONS:
        message = re.sub(words, option, message)
    return message


def name_of_file(file: Path) -> str:
    """The file's name as a suite may be called: lower case, digits, single dashes; `file` when nothing is left."""
    words = re.findall(r"[a-z0-9]+", file.name.split(".")[0].lower())
    return "-".join(words)[:64].strip("-") or "file"


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # a name that is too long, a null character
        return False
