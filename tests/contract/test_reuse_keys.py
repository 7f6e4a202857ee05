"""What a stage made is found again by a key that holds the code which made it: all of it, as its imports say."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_imports import imports

from stsflow.tasks.data import build
from stsflow.tasks.evaluation import resampled, run
from stsflow.tasks.ground.fingerprint import TASKS, code_of, files_of
from stsflow.tasks.models import preflight
from stsflow.tasks.tokens import statistics
from stsflow.tasks.training import request

# Stage, where its work begins, the places in its key, and what it reaches without owing it a result.
SHAPING = "rows are in the key by their digest"
VALUES = "it states a section; the section's values are in the key"
STAGES = [
    ("training", ("training/worker.py",), request.CODE, {}),
    (
        "evaluation",
        ("evaluation/worker.py", "suites/__init__.py"),
        run.CODE,
        dict.fromkeys(("sources/__init__.py", "data/__init__.py"), SHAPING),
    ),
    (
        "comparisons",
        ("evaluation/resampled.py",),
        resampled.CODE,
        {"evaluation/embedded.py": "a type of what scoring holds; a comparison reads files that are there"},
    ),
    ("tokens", ("tokens/worker.py", "tokens/statistics.py"), statistics.CODE, {}),
    ("preflight", ("models/preflight_worker.py",), preflight.CODE, {}),
    ("data", ("data/build.py",), build.CODE, {"suites/__init__.py": VALUES}),
]
# What `data/shapes.py` reaches inside its functions, to read and shape rows.
ROWS_IN_THE_KEY = dict.fromkeys(
    ("data/charset.py", "data/integrity.py", "data/reading.py", "shapes/shaping.py", "data/__init__.py"), SHAPING
)
BELOW = ("ground", "records", "recipe")


def reached(starts: tuple[str, ...], left_out: dict[str, str]) -> set[Path]:
    """Every module of a stage that the code can import, through every function.

    What lies in ground/, records/ and recipe/ carries values and is not followed: the values are in the keys.
    """
    seen: set[Path] = set()
    todo = [TASKS / start for start in starts]
    while todo:
        path = todo.pop()
        name = path.relative_to(TASKS).as_posix()
        if path in seen or not path.exists() or path.relative_to(TASKS).parts[0] in BELOW or name in left_out:
            continue
        seen.add(path)
        for found in imports(path):
            if found.startswith("stsflow.tasks."):
                module = TASKS / Path(*found.split(".")[2:])
                todo += [module.with_suffix(".py"), module / "__init__.py"]
    return seen


@pytest.mark.parametrize(("stage", "starts", "places", "left_out"), STAGES, ids=[stage[0] for stage in STAGES])
def test_the_key_of_a_stage_holds_all_code_that_it_reaches(
    stage: str, starts: tuple[str, ...], places: tuple[str, ...], left_out: dict[str, str]
) -> None:
    not_counted = left_out if stage == "data" else {**ROWS_IN_THE_KEY, **left_out}
    missing = reached(starts, not_counted) - set(files_of(*places))
    assert sorted(path.relative_to(TASKS).as_posix() for path in missing) == []


def test_statistics_are_in_the_training_and_models_in_the_evaluation() -> None:
    assert TASKS / "statistics" / "correlation.py" in files_of(*request.CODE)
    assert TASKS / "models" / "encode.py" in files_of(*run.CODE)


def test_other_places_give_another_key() -> None:
    assert code_of("statistics") != code_of("statistics", "shapes") != code_of("models")
    assert not [path for path in files_of("training") if path.name == "task.py"]
