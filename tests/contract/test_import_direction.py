"""The house holds: who may import whom, read from the sources' own import statements."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_imports import imports

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("data", "models", "tokens", "plan", "training", "evaluation", "card", "release", "tracking")
BELOW_THE_STAGES = ("statistics", "batching", "models", "leakage", "sources", "shapes", "losses", "suites", "rules")
VARIANTS = ("sources", "shapes", "losses", "suites", "rules", "models/sources.py")
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
MODULES = sorted(path for folder in ("flows", "tasks") for path in (ROOT / folder).rglob("*.py"))
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


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_import_each_other(stage: str) -> None:
    """They meet in records. Families, leakage, statistics, batching and models lie below the stages."""
    others = {*STAGES} - {stage, *BELOW_THE_STAGES}
    for path in sorted((ROOT / "tasks" / stage).rglob("*.py")):
        if path.name == "task.py" or stage == "tracking":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] == ["stsflow", "tasks"] and len(parts) > 2 and parts[2] in others:
                pytest.fail(f"{name_of(path)} imports {name}")


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=name_of)
def test_our_own_code_has_one_name(path: Path) -> None:
    """`tasks` and `flows` are names of every Prefect user; what is ours is imported as `stsflow`."""
    assert not {package(name) for name in imports(path)} & {"tasks", "flows"}


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_families_stay_light(name: str) -> None:
    place = ROOT / "tasks" / name
    path = place if place.is_file() else place / "__init__.py"
    top = {package(found) for found in imports(path, at_the_top=True)}
    assert not top & {*HEAVY, "numpy", "pandas"}


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
