"""What a kind is, its family says: nobody else asks for its class or compares its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import pytest
from house import FAMILIES, room_of
from own_imports import own_modules

from stsflow.tasks.ground.family import Kind


@cache
def kinds() -> dict[str, str]:
    """Class names and recipe names of every family and kind, each with the room of its family."""
    for family in FAMILIES:
        import_module(f"stsflow.tasks.{family}")
    found: dict[str, str] = {}
    for family in (family for family in Kind.__subclasses__() if family.__module__ in own_modules()):
        room = room_of(family.__module__)
        found[family.__name__] = room
        for kind in family.members():
            found[kind.__name__] = found[kind.kind_name()] = room
    return found


def classes_asked_for(tree: ast.AST) -> Iterator[str]:
    """Names of classes in `isinstance(…)` and in the patterns of `match`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            yield from (name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name))
        elif isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name):
            yield node.cls.id


def names_compared(tree: ast.AST) -> Iterator[str]:
    """Texts that a `.kind` or `["kind"]` is compared with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(_is_kind(side) for side in sides):
                yield from (
                    str(one.value) for side in sides if not _is_kind(side) for one in ast.walk(side)
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                )  # fmt: skip


def _is_kind(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "kind"
    return isinstance(node, ast.Attribute) and node.attr == "kind"


@pytest.mark.parametrize("module", sorted(own_modules()))
def test_nobody_outside_a_family_asks_which_kind_it_is(module: str) -> None:
    tree = ast.parse(own_modules()[module].read_text(encoding="utf-8"))
    asked = {*classes_asked_for(tree), *names_compared(tree)}
    assert not {name for name in asked if kinds().get(name, room_of(module)) != room_of(module)}


def test_the_two_ways_of_asking_are_seen() -> None:
    code = 'isinstance(suite, StsSuite | int)\nsuite.kind in ("sts", "mteb")\nsection["kind"] == "files"'
    tree = ast.parse(code)
    assert "StsSuite" in set(classes_asked_for(tree))
    assert set(names_compared(tree)) == {"sts", "mteb", "files"}
    assert {"StsSuite", "sts", "Loss", "files"} <= kinds().keys()
