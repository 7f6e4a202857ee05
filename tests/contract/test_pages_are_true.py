"""What a page names is there: files, tests, and in the design the classes and members."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from house import PAGE, page_with_picture
from own_imports import ROOT, own_modules

PAGES = ["README.md", "CONTRIBUTING.md", "mlflow/README.md", "benchmarks/README.md"] + [
    path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))
]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    for place, function in set(re.findall(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`", text_of(page))):
        path = ROOT / place
        assert path.exists(), f"{page} names {place}"
        if function:
            names = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
            assert function in names, f"{page} names {place}::{function}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_ours_that_a_page_names_is_there(page: str) -> None:
    for place in set(re.findall(r"`((?:flows|tasks|infra|mlflow|benchmarks|docs)/[\w./-]+)`", text_of(page))):
        assert (ROOT / place).exists(), f"{page} names {place}"


@pytest.mark.parametrize("page", PAGES)
def test_every_module_of_ours_that_a_page_names_is_there(page: str) -> None:
    for module in set(re.findall(r"\bstsflow\.(?:flows|tasks)(?:\.\w+)*", text_of(page))):
        assert module in {*own_modules(), "stsflow.flows", "stsflow.tasks"}, f"{page} names {module}"


@cache
def defined() -> dict[str, set[str]]:
    """Classes and functions of the product, and what is defined in each class or in those that it names as bases."""
    own: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for path in own_modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                own.setdefault(node.name, set())
            elif isinstance(node, ast.ClassDef):
                held = own.setdefault(node.name, set())
                bases.setdefault(node.name, set()).update(ast.unparse(base) for base in node.bases)
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        held.add(item.name)
                    elif isinstance(item, ast.AnnAssign):
                        held.add(ast.unparse(item.target))
    for _ in range(4):  # no class stands deeper
        for name, above in bases.items():
            own[name] |= {member for base in above for member in own.get(base, ())}
    return own


def test_every_class_that_the_design_names_is_defined() -> None:
    text = text_of("docs/design.md")
    for name, member in set(re.findall(r"`([A-Z][a-z]\w*)(?:\.(\w+))?`", text)):
        assert name in defined(), name
        assert not member or member in defined()[name], f"{name}.{member}"


def test_the_newcomers_walk_names_members_of_the_families() -> None:
    """In its rows: the class to write below, and what that one must define."""
    _, _, walk = text_of("docs/design.md").partition("## A newcomer's walk")
    rows = [line for line in walk.partition("\n## ")[0].splitlines() if line.startswith("| a ") and " below `" in line]
    assert len(rows) >= 7
    for row in rows:
        family, told = re.search(r"below `(\w+)` with ([^|]+)", row).groups()  # type: ignore[union-attr]
        for member in re.findall(r"`(\w+)`", told):
            assert member in defined()[family], f"{family} has no {member}"


def test_every_room_has_its_row_in_the_design() -> None:
    page = text_of("docs/design.md")
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tasks").glob("*/__init__.py")}
    assert not [room for room in sorted(rooms) if f"`{room}/`" not in page]


def test_the_picture_is_of_today() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_picture(page), "make picture"


def test_the_page_on_security_names_many() -> None:
    assert len(re.findall(r"`tests/", text_of("docs/security.md"))) > 30
