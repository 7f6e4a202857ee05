"""A family of kinds: told apart by name, open to kinds of other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from stsflow.tasks.ground.family import Kind
from stsflow.tasks.ground.schema import Section


class Fruit(Kind):
    """A family."""


class Apple(Fruit):
    kind: Literal["apple"] = "apple"
    weight: float = 1.0


class Plum(Fruit):
    kind: Literal["plum"] = "plum"


class SmallApple(Apple):
    """The same kind with another default: no member of its own."""

    weight: float = 0.5


class Basket(Section):
    fruit: Fruit
    small: SmallApple = SmallApple()


class Lonely(Kind):
    """A family of one."""


class Only(Lonely):
    kind: Literal["only"] = "only"


class Island(Section):
    one: Lonely


def test_a_field_of_the_family_takes_each_kind_by_its_name() -> None:
    assert Basket.model_validate({"fruit": {"kind": "apple", "weight": 2}}).fruit == Apple(weight=2)
    assert Basket.model_validate({"fruit": {"kind": "plum"}}).fruit == Plum()
    assert Basket.model_validate_json(Basket(fruit=Plum()).model_dump_json()) == Basket(fruit=Plum())
    assert Island.model_validate({"one": {"kind": "only"}}).one == Only()


def test_a_kind_that_the_family_lacks_is_refused_with_the_names_that_it_has() -> None:
    with pytest.raises(ValidationError, match="'apple', 'plum'"):
        Basket.model_validate({"fruit": {"kind": "pear"}})
    with pytest.raises(ValidationError):
        Basket.model_validate({"fruit": {"kind": "plum", "weight": 2}})


def test_members_name_themselves() -> None:
    assert Fruit.members() == (Apple, Plum)
    assert (Fruit.of("plum"), Apple.kind_name()) == (Plum, "apple")
    assert Fruit.is_family() and not Apple.is_family()
    assert Basket.model_json_schema()["properties"]["fruit"]["discriminator"]["mapping"].keys() == {"apple", "plum"}


def test_kinds_of_an_installed_package_are_imported(tmp_path: Path) -> None:
    (tmp_path / "orchard.py").write_text("print('imported')")
    described = tmp_path / "orchard-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: orchard\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[stsflow.kinds]\nfruit = orchard\n")
    code = "from stsflow.tasks.ground.family import kinds_of_other_packages as look; print(look())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "imported\n('orchard',)\n"


def test_a_kind_that_holds_kinds_takes_those_of_an_installed_package(tmp_path: Path) -> None:
    module = """
from typing import Literal
from stsflow.tasks.losses import CoSENT

class Pull(CoSENT):
    kind: Literal["pull"] = "pull"
"""
    (tmp_path / "pulls.py").write_text(module)
    described = tmp_path / "pulls-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: pulls\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[stsflow.kinds]\npull = pulls\n")
    code = """
from stsflow.tasks.recipe.sections import TrainingConfig
losses = {"sts": {"kind": "matryoshka", "loss": {"kind": "pull"}, "dimensions": [16, 8]}}
print(TrainingConfig.model_validate({"losses": losses}).losses["sts"].loss.kind)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout == "pull\n", done.stderr
