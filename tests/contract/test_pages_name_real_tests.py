"""A page that names the test of a promise names one that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((CHECKOUT / "docs").glob("*.md")))]


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    for place, function in set(re.findall(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`", text)):
        path = CHECKOUT / place
        assert path.exists(), f"{page} names {place}"
        if function:
            names = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
            assert function in names, f"{page} names {place}::{function}"


def test_the_page_on_security_names_many() -> None:
    text = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
    assert len(re.findall(r"`tests/", text)) > 30
