"""What a stage made is found again by a key that holds the code which made it: all of it, by what it means."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stsflow
from stsflow.tasks.made import code
from stsflow.tasks.made.code import VALUES, code_of, reached_from
from stsflow.tasks.recipe import sections

TASKS = Path(__file__).resolve().parents[2] / "tasks"
# Stage: where its work begins; modules without which it cannot make what it makes; some that it has nothing to do with.
STAGES = {
    "data": (
        "data.build",
        "reading.delimited reading.quoting scenes.wording sources.hub shapes.shaped shapes.nli_triplets "
        "leakage.near_duplicates",
        "training.trainer batching.build card.render plan.forecast",
    ),
    "tokens": ("tokens.statistics", "tokens.counting tokens.padding tokens.worker", "training.trainer evaluation.run"),
    "preflight": ("models.preflight_worker", "models.soundness models.loading", "training.trainer evaluation.run"),
    "training": (
        "training.worker",
        "training.trainer training.checkpoints batching.no_duplicates losses models.encode models.padding_free",
        "suites statistics.bootstrap rules card.render reading.download leakage.overlap plan.forecast tracking.store "
        "training.task evaluation.run",
    ),
    "evaluation": (
        "evaluation.worker suites.retrieval",
        "evaluation.scoring suites.retrieval models.encode models.loading statistics.bootstrap",
        "training.trainer card.render rules evaluation.task",
    ),
    "merged": (
        "merging.worker merging.merge",
        "merging.average merging.choose models.loading rules.not_worse evaluation.guard",
        "training.trainer card.render tracking.store",
    ),
    "exports": (
        "exporting.worker exports.onnx_int8",
        "exporting.making exporting.graph exporting.quantise exporting.runtime exports.onnx models.loading",
        "evaluation.scoring exporting.gate exporting.measure training.trainer card.render rules tracking.store",
    ),
    "figures of exports": (
        "exporting.measuring_worker exports.onnx suites.sts",
        "exporting.measure exporting.runtime evaluation.scoring evaluation.latency statistics.bootstrap",
        "exporting.gate exporting.export training.trainer card.render tracking.store",
    ),
    "comparisons": (
        "evaluation.resampled",
        "evaluation.scoring suites.paired statistics.permutation statistics.bootstrap",
        "training.trainer card.render evaluation.worker",
    ),
}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project's sources in a folder of their own, which keys are worked out from."""
    shutil.copytree(TASKS, tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(stsflow, "__path__", [str(tmp_path)])
    monkeypatch.setattr(code, "_remember", lambda: None)
    code_of.cache_clear()
    yield tmp_path / "tasks"
    code_of.cache_clear()


def modules(names: str) -> list[str]:
    return [f"stsflow.tasks.{name}" for name in names.split()]


def key(start: str) -> str:
    code_of.cache_clear()
    return code_of(*modules(start))


def with_other_words(source: str) -> str:
    """The same code with another layout, other docstrings and comments, and one more import for type checkers."""
    lines = source.splitlines(keepends=True)
    for node in reversed(list(ast.walk(ast.parse(source)))):
        alone = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if alone and node.lineno == node.end_lineno:
            lines[node.lineno - 1] = lines[node.lineno - 1].replace('"""', '"""Other words: ', 1)
    text = "".join(lines).replace(
        "from __future__ import annotations\n", "from __future__ import annotations\n\n# new\n"
    )
    return text + "\n\nif TYPE_CHECKING:\n    from somewhere import Nothing\n"


@pytest.mark.parametrize(("start", "needed", "apart"), STAGES.values(), ids=STAGES)
def test_code_that_matters_changes_the_key_and_words_do_not(copied: Path, start: str, needed: str, apart: str) -> None:
    before = key(start)
    reached = reached_from(*modules(start))
    for path in reached.values():
        path.write_text(with_other_words(path.read_text()))
    assert key(start) == before
    for name in modules(needed):
        path = reached[name]
        source = path.read_text()
        path.write_text(source + "\nCHANGED = True\n")
        assert key(start) != before, name
        path.write_text(source)
    assert not set(modules(apart)) & set(reached)
    for name in apart.split():
        place = copied / Path(*name.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        path.write_text(path.read_text() + "\nCHANGED = True\n")
    assert key(start) == before


@pytest.mark.parametrize(
    "line", ["RATE = 1e-5", "RATE = 1e-4  # a comment", "RATE = 0.0_001", '"""Words."""\nRATE = 1e-4']
)
def test_only_the_first_of_these_is_another_rate(copied: Path, line: str) -> None:
    path = copied / "training" / "worker.py"
    source = path.read_text()
    path.write_text(f"{source}\nRATE = 1e-4\n")
    before = key("training.worker")
    path.write_text(f"{source}\n{line}\n")
    assert (key("training.worker") == before) == (line != "RATE = 1e-5")


def test_a_module_that_is_named_in_a_string_counts(copied: Path) -> None:
    """A child process is started by its module's name."""
    (copied / "new.py").write_text('COMMAND = ["-m", "stsflow.tasks.newer"]\nCALL = "stsflow.tasks.called:it"\n')
    (copied / "newer.py").write_text("from . import newest\n")
    (copied / "newest.py").write_text("")
    (copied / "called.py").write_text("def it(): ...")
    assert {"stsflow.tasks.newer", "stsflow.tasks.newest", "stsflow.tasks.called"} < set(
        reached_from("stsflow.tasks.new")
    )


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"stsflow\.tasks\.nowhere"):
        code_of("stsflow.tasks.nowhere")


def test_what_is_not_followed_holds_values_alone() -> None:
    """A section computes nothing: what a stage owes to one is in its key. No worker gets a whole recipe."""
    found = inspect.getmembers(sections, lambda one: inspect.isclass(one) and one.__module__.startswith(f"{VALUES}."))
    assert len(found) > 15
    for name, section in found:
        if name != "RunConfig":
            own = {name for name, one in vars(section).items() if inspect.isfunction(one) or isinstance(one, property)}
            assert not {name for name in own if not name.startswith("_")}, section


OWN_LOSS = """
from typing import Literal

from elsewhere.scale import SCALE
from stsflow.tasks.losses import MultipleNegativesRanking


class OwnLoss(MultipleNegativesRanking):
    kind: Literal["own"] = "own"
"""
KEYS = """
from stsflow.tasks.made.code import code_of
print(*(code_of(f"stsflow.tasks.{start}") for start in ("training.worker", "models.preflight_worker")))
"""


def test_kinds_of_other_packages_count_where_their_family_is_reached(tmp_path: Path) -> None:
    files = {
        "elsewhere/__init__.py": "", "elsewhere/own_loss.py": OWN_LOSS, "elsewhere/scale.py": "SCALE = 1",
        "elsewhere-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n",
        "elsewhere-1.dist-info/entry_points.txt": "[stsflow.kinds]\nown = elsewhere.own_loss\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def keys() -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", KEYS], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    training, preflight = keys()
    (tmp_path / "elsewhere" / "scale.py").write_text("SCALE = 2")
    assert keys()[0] != training and keys()[1] == preflight
