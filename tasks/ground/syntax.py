"""Python source as a tree, from any thread."""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.Lock()


def parse_python(source: str | bytes) -> ast.Module:
    """The syntax tree of `source`; raises SyntaxError.

    One at a time: in CPython 3.11 two threads that build trees count their depth together, and one of them gets a
    SystemError (AST constructor recursion depth mismatch).
    """
    with _ONE_AT_A_TIME:
        return ast.parse(source)
