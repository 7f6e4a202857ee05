"""The house holds: who may import whom, read from the sources' own import statements."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from house import FAMILIES, RANK, loaded_by_a_recipe, room_of
from own_imports import ROOT, imports, own_imports, own_modules

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "datasets",
    "pyarrow",
    "scipy",
    "matplotlib",
    "mlflow",
    "prefect",
)
MODULES = sorted(own_modules().values())
TESTS = sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_flows_and_task_files_import_prefect(path: Path) -> None:
    if path.is_relative_to(ROOT / "flows") or path.name == "task.py":
        return
    assert "prefect" not in {package(name) for name in imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_tracking_imports_mlflow(path: Path) -> None:
    if path.is_relative_to(ROOT / "tasks" / "tracking"):
        return
    assert "mlflow" not in {package(name) for name in imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_in_tasks_imports_flows(path: Path) -> None:
    if path.is_relative_to(ROOT / "tasks"):
        assert not [name for name in imports(path) if name.startswith("stsflow.flows")]


@pytest.mark.parametrize("module", sorted(own_modules().keys() - {"stsflow.tasks"}))
def test_rooms_import_what_lies_above_them(module: str) -> None:
    room = room_of(module)
    if room in FAMILIES and module not in loaded_by_a_recipe():
        return
    for name in own_imports(module, at_the_top=room in FAMILIES):
        assert RANK[room_of(name)] <= RANK[room], f"{module} imports {name}"


def test_nothing_imports_itself_in_a_circle() -> None:
    """Imports inside functions count: what needs them is one idea in two files. Type-checking blocks do not."""
    order: TopologicalSorter[str] = TopologicalSorter()
    for module in own_modules():
        order.add(module, *own_imports(module))
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=name_of)
def test_our_own_code_has_one_name(path: Path) -> None:
    """`tasks` and `flows` are names of every Prefect user; what is ours is imported as `stsflow`."""
    assert not {package(name) for name in imports(path)} & {"tasks", "flows"}


def test_families_stay_light() -> None:
    """Whatever the top of a family loads, the process that reads a recipe loads."""
    for module in loaded_by_a_recipe():
        top = {package(found) for found in imports(own_modules()[module], at_the_top=True)}
        assert not top & {*HEAVY, "numpy", "pandas"}, module


def test_the_config_module_does_not_load_torch() -> None:
    import subprocess
    import sys

    code = f"import sys, stsflow.tasks.recipe.sections; print([m for m in {(*HEAVY, 'numpy')!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_flow_process_does_not_load_the_training_stack() -> None:
    import subprocess
    import sys

    code = (
        "import sys, stsflow.flows.finetune, stsflow.flows.__main__;"
        "print([m for m in ('torch','transformers','sentence_transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("worker", ["tasks/training/worker.py", "tasks/evaluation/worker.py"])
def test_workers_need_neither_prefect_nor_mlflow(worker: str) -> None:
    """They run on a bare GPU machine: everything they can reach is followed, through every import in every function."""
    seen: set[Path] = set()
    todo = [ROOT / worker]
    while todo:
        path = todo.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for name in imports(path):
            assert package(name) not in ("prefect", "mlflow"), f"{name_of(path)} imports {name}"
            if name.startswith("stsflow.tasks"):
                module = ROOT / Path(*name.split(".")[1:])
                todo += [module.with_suffix(".py"), module / "__init__.py"]


def test_the_gpu_benchmark_needs_the_training_stack_alone() -> None:
    """A rented GPU has torch, transformers, sentence-transformers and datasets, and none of our other dependencies."""
    import subprocess
    import sys

    ours = ("pydantic", "prefect", "mlflow", "typer", "rich", "matplotlib", "jinja2", "psutil")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ours!r}));"
        "import benchmarks.gpu.training, benchmarks.gpu.shapes as shapes;"
        "import stsflow.tasks.models.merge_columns; from stsflow.tasks.models.padding_free import enable_padding_free;"
        "small = shapes.Shape('bert', 1, 32, 4, 64, 21_000);"
        "print(enable_padding_free(shapes.build(small, 'cpu'), 'on', 'cpu', 'float32').chosen)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "on", done.stderr


def test_the_mlflow_folder_holds_no_python() -> None:
    """An `__init__.py` there would shadow the package of that name."""
    assert not list((ROOT / "mlflow").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_prepared_sets_are_read_in_one_room(path: Path) -> None:
    """How rows lie on the disk is known to tasks/sets alone."""
    if not path.is_relative_to(ROOT / "tasks" / "sets"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in ("load_from_disk(", "save_to_disk(", "ipc.open_stream(") if word in text]
