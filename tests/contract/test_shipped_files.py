"""What the project ships fits together: recipes, constraints, README, Makefile."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main

from stsflow.flows.__main__ import app
from stsflow.tasks.losses import MultipleNegativesRanking
from stsflow.tasks.recipe.sections import RunConfig

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "flows" / "recipes").glob("*.yaml"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_recipes_that_are_promised_ship() -> None:
    assert {path.name for path in RECIPES} >= {
        "demo.yaml", "kornlu-minilm.yaml", "gte-multilingual-korean.yaml", "gte-multilingual-korean-full.yaml",
    }  # fmt: skip


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_shipped_recipe_validates(path: Path) -> None:
    assert RunConfig.from_recipe(path).name == path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_says_in_its_head_how_to_run_it(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("\nname:")[0]
    assert f"stsflow run flows/recipes/{path.name}" in head


def test_the_reference_recipe_states_what_its_card_states() -> None:
    config = RunConfig.from_recipe(ROOT / "flows" / "recipes" / "gte-multilingual-korean.yaml")
    training = config.training
    assert (training.epochs, training.batch_size, training.learning_rate, training.seed) == (10, 8, 5e-5, 42)
    assert (training.batch_sampler, training.multi_dataset_batch_sampler) == ("no_duplicates", "round_robin")
    assert (training.lr_scheduler, training.warmup, training.weight_decay) == ("linear", 0, 0)
    assert (config.model.max_seq_length, config.model.pooling) == (8192, "mean")
    assert config.data.train["kornli"].limit == 568_640
    assert config.loss_of("kornli") == MultipleNegativesRanking(scale=20.0, similarity="cosine")


def test_constraints_name_packages_and_versions_only() -> None:
    """A local version label or a file address would be this machine's, and no other could install it."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 100
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line), line


def test_every_pin_of_the_project_is_in_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(line.lower().replace("_", "-").split("==") for line in (ROOT / "constraints.txt").read_text().split())
    requirements = project["dependencies"] + [
        item for extra in project["optional-dependencies"].values() for item in extra
    ]
    for requirement in requirements:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")  # type: ignore[index]
        if name == "stsflow":
            continue
        assert name in pinned, requirement
        if "==" in requirement:
            assert pinned[name] == requirement.split("==")[1].split(";")[0].strip(), requirement


def commands_in(text: str) -> set[str]:
    return set(re.findall(r"^(?:\$ )?(?:\.venv/bin/)?stsflow ([a-z][a-z-]*)", text, re.MULTILINE)) | set(
        re.findall(r"`(?:\.venv/bin/)?stsflow ([a-z][a-z-]*)", text)
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_exists(path: Path) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert commands_in(path.read_text(encoding="utf-8")) <= known


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_in_the_documents_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:\$ )?make ([a-z][a-z-]*)", text, re.MULTILINE)) | set(
        re.findall(r"`make ([a-z][a-z-]*)", text)
    )
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_the_documents_name_exists(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_command_has_help_with_an_example() -> None:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        assert "stsflow" in (command.epilog or ""), name


def test_help_answers_without_the_heavy_libraries() -> None:
    code = (
        "import sys; sys.argv = ['stsflow', '--help']\n"
        "from stsflow.flows.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'prefect', 'mlflow', 'datasets', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_make_alone_lists_the_targets() -> None:
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(re.search(rf"^{target}\s", done.stdout, re.MULTILINE) for target in ("demo", "test", "chaos", "lint"))


def test_the_schema_describes_every_field() -> None:
    """The Prefect form and the editor's completion show these descriptions."""
    definitions = RunConfig.model_json_schema()["$defs"]
    bare = [
        f"{name}.{field}"
        for name, definition in definitions.items()
        for field, schema in definition.get("properties", {}).items()
        if "description" not in schema
        and field != "kind"
        and "loss" not in field
        and "source" not in field
        and "shape" not in field
    ]
    assert not bare
