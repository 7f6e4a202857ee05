"""What a model is, and with which classes of the library it is loaded and trained, is said by its kind alone."""

from __future__ import annotations

import ast
from pathlib import Path

from own_imports import ROOT, own_modules

KINDS = ROOT / "tasks" / "models" / "kinds"


def names_in(path: Path) -> set[str]:
    """Every name that the code of a file uses or imports; words in docstrings and comments are none."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_only_the_kinds_of_model_name_the_librarys_classes_of_models() -> None:
    classes = {"SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder"}
    trained = {f"{name}{end}" for name in classes for end in ("", "Trainer", "TrainingArguments")}
    others = [path for path in own_modules().values() if not path.is_relative_to(KINDS)]
    assert {path.name: sorted(found) for path in others if (found := names_in(path) & trained)} == {}
