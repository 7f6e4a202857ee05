"""The product as it is installed: a wheel in an environment of its own, used from a folder with packages like ours.

Every user of Prefect has folders called `flows` and `tasks`, many have one called `mlflow`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from venv import EnvBuilder
from zipfile import ZipFile

import pytest
from live_services import free_port
from patience import patience
from small_recipe import CHECKOUT, environment, result_of, write_small_recipe

POISONOUS = ("flows", "tasks", "mlflow", "prefect", "torch", "typer")
# The smallest run that goes through every process that is started.
SHORT = ("--set", "training.max_steps=2", "--set", "training.eval_steps=2", "--set", "evaluation.resamples=100")


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and a folder of a user's to work in."""

    sdist: Path
    wheel: Path
    bin: Path
    folder: Path

    def run(self, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the user's folder."""
        variables = environment(self.folder / ".stsflow", **variables)
        variables.pop("PYTHONPATH", None)
        return subprocess.run(
            [str(self.bin / program), *arguments],
            cwd=self.folder, env=variables, capture_output=True, text=True, timeout=patience(300), check=False,
        )  # fmt: skip

    def stsflow(self, *arguments: str) -> dict[str, Any]:
        """What `stsflow ARGUMENTS --json` printed."""
        return result_of(self.run("stsflow", *arguments, "--json"))


def done(command: Sequence[str], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=patience(120), check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def built_from() -> list[str]:
    """What the image copies to build the package from: all that it takes."""
    stage = (CHECKOUT / "infra" / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[1]
    return [name for line in re.findall(r"^COPY (.+) \S+$", stage, re.MULTILINE) for name in line.split()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Installed:
    """The wheel of the source distribution of this checkout, installed beside the libraries of this environment."""
    place = tmp_path_factory.mktemp("installed")
    source, built, folder = place / "source", place / "built", place / "home" / "project"
    for name in built_from():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / name).is_dir():
            shutil.copytree(
                CHECKOUT / name, source / name, symlinks=True,
                ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
            )  # fmt: skip
        else:
            shutil.copy(CHECKOUT / name, source / name)
    done([sys.executable, "-c", f"from setuptools.build_meta import build_sdist; build_sdist({str(built)!r})"], source)
    (sdist,) = built.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--no-input"]
    done([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(sdist)], place)
    (wheel,) = built.glob("*.whl")

    EnvBuilder(symlinks=True).create(place / "environment")
    scripts = place / "environment" / "bin"
    libraries = Path(sysconfig.get_path("purelib", vars={"base": str(place / "environment")}))
    # A folder on the path, whose own .pth files are not read: our libraries and not this checkout.
    (libraries / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    done([*pip, "--python", str(scripts / "python"), "install", "--no-deps", "--no-index", str(wheel)], place)

    for name in POISONOUS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('shadowed by {name}')", encoding="utf-8")
    write_small_recipe(folder / "small.yaml", tiny_bert)
    return Installed(sdist, wheel, scripts, folder)


def files_of_the_product() -> set[str]:
    """What of the checkout belongs to the package, by the names that it has when installed."""
    return {"stsflow/__init__.py", "stsflow/prefect.yaml"} | {
        f"stsflow/{path.relative_to(CHECKOUT).as_posix()}"
        for top in ("flows", "tasks")
        for path in (CHECKOUT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(installed: Installed) -> None:
    with ZipFile(installed.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == files_of_the_product()


def test_the_source_distribution_holds_files_and_no_links(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as sdist:
        assert not [member.name for member in sdist if not (member.isreg() or member.isdir())]


def test_it_is_the_installed_package_that_runs(installed: Installed) -> None:
    where = installed.run("python", "-P", "-c", "import stsflow.tasks; print(stsflow.tasks.__file__)").stdout
    assert Path(where).is_relative_to(installed.bin.parent)


def test_a_run_from_a_folder_with_packages_of_those_names(installed: Installed) -> None:
    summary = installed.stsflow("run", "small.yaml", *SHORT)
    assert Path(summary["card"]).read_text(encoding="utf-8").startswith("---")
    assert summary["promoted"] is True
    # By its module, which Python starts with the current folder on its path.
    run = Path(summary["model_dir"]).parent
    sent = result_of(installed.run("python", "-m", "stsflow.flows", "sync", run.name, "--json"))
    assert sent["mlflow_run_id"] == summary["mlflow_run_id"], sent


@pytest.mark.slow
def test_a_deployment_from_a_folder_with_packages_of_those_names(installed: Installed) -> None:
    ports = ("--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
    up = installed.stsflow("up", *ports)["services"]
    try:
        made = installed.stsflow("deploy", "small.yaml", *SHORT)["deployments"]
        assert set(made) == {"finetune/finetune", "assess/assess", "retrain/retrain"}
        user, password = Path(up["auth_file"]).read_text(encoding="utf-8").strip().split(":")
        client = {"PREFECT_API_URL": f"http://127.0.0.1:{up['prefect_port']}/api"}
        client["PREFECT_API_AUTH_STRING"] = f"{user}:{password}"
        started = installed.run(
            "python", "-P", "-m", "prefect", "--no-prompt", "deployment", "run", "finetune/finetune",
            "--watch", "--watch-timeout", "280", **client,
        )  # fmt: skip
        assert "finished successfully" in started.stdout, started.stdout + started.stderr
    finally:
        installed.run("stsflow", "down")
