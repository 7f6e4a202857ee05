"""The code half of a key: a digest, by meaning, of every module that whatever makes something can reach.

Reached is what a module imports, in whichever of its functions, and what that imports in turn; a module that is named
in a string, as that of a child process is, counts as imported. Followed are our own modules, and those of other
packages that add a kind to a family that is reached; of libraries the versions are in the keys. One module is not
followed: `recipe/sections` names every kind there is, and the sections that a stage gets are in its key by their
values.

By meaning: comments, docstrings, layout and what only a type checker reads do not count.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Collection, Iterable
from functools import cache
from importlib.util import cache_from_source, resolve_name
from pathlib import Path
from typing import NamedTuple

from stsflow.tasks.ground.family import Kind, kinds_of_other_packages
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.syntax import parse_python

OURS = "stsflow"
DOTTED = re.compile(r"\w+(\.\w+)+(:\w+)?")
"""A module, or `module:function`."""
VALUES = "stsflow.tasks.recipe.sections"
"""What it and its modules hold is in the keys as values; what they import is every kind of every family."""


@cache  # what this process runs was read when it started
def code_of(*modules: str) -> str:
    """SHA-256 over the meaning of all code that `modules` reach; each is a module's name or `module:function`."""
    known = len(_known())
    found = reached_from(*(module.partition(":")[0] for module in modules))
    meanings = {name: _read(path).meaning for name, path in found.items()}
    if len(_known()) > known:
        _remember()
    return fingerprint(meanings)


def reached_from(*modules: str) -> dict[str, Path]:
    """The file of each module that these modules reach, themselves included, by the module's name."""
    others = {module.partition(".")[0] for module in kinds_of_other_packages()}
    kinds = [kind for kind in Kind.members() if kind.__module__.partition(".")[0] in others]
    roots = {OURS, *others, *(module.partition(".")[0] for module in modules)}
    found: dict[str, Path] = {}
    todo = list(modules)
    while todo or (todo := _of_families_in(found, kinds)):
        name = todo.pop()
        if name in found or _holds_values(name) or name.partition(".")[0] not in roots:
            continue
        if (path := _file_of(name)) is None:
            continue  # a name out of a module, or a string that only looks like one
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        todo += [".".join(name.split(".")[:length]) for length in range(1, name.count(".") + 1)]
        todo += [resolve_name(other, package) for other in _read(path).imports]
    if missing := [module for module in modules if module not in found and not _holds_values(module)]:
        raise ModuleNotFoundError(f"there is no source of {', '.join(missing)}")
    return found


def _holds_values(module: str) -> bool:
    return f"{module}.".startswith(f"{VALUES}.")


def _of_families_in(found: Collection[str], kinds: Iterable[type[Kind]]) -> list[str]:
    """The modules of those kinds whose family, or another class that they inherit from, is in the modules `found`."""
    return [
        kind.__module__
        for kind in kinds
        if kind.__module__ not in found
        and any(base.__module__ in found for base in kind.__mro__ if issubclass(base, Kind) and base is not Kind)
    ]


def _file_of(name: str) -> Path | None:
    root, *rest = name.split(".")
    package = sys.modules.get(root)
    if package is None or not hasattr(package, "__path__"):
        file = None if rest else getattr(package, "__file__", None)
        return Path(file) if file else None
    place = Path(package.__path__[0], *rest)
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


# ------------------------------------------------------------------------------------------------- what a file says


class _Said(NamedTuple):
    meaning: str
    imports: list[str]


class _Meaning(ast.NodeTransformer):
    """Leaves out what changes nothing: strings that stand alone, and what is there for type checkers."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if ast.unparse(node.test).endswith("TYPE_CHECKING") else node


def _read(path: Path) -> _Said:
    """What the file says. It is parsed once: what bytes say is kept where Python keeps its own bytecode."""
    text = path.read_bytes()
    key = hashlib.sha256(text).hexdigest()
    known = _known()
    if key not in known:
        known[key] = _understood(text)
    return known[key]


def _understood(text: bytes) -> _Said:
    tree = _Meaning().visit(parse_python(text))
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            inside = module if module.endswith(".") else f"{module}."
            names |= dict.fromkeys((module, *(inside + alias.name for alias in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and DOTTED.fullmatch(node.value):
            names[node.value.partition(":")[0]] = None
    return _Said(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), list(names))


@cache
def _known() -> dict[str, _Said]:
    try:
        return {key: _Said(*said) for key, said in json.loads(_cache_file().read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember() -> None:
    """Keep what is known for the next process. A folder that cannot be written costs that one half a second."""
    with contextlib.suppress(OSError):
        write_text_atomically(_cache_file(), json.dumps(_known()))


def _cache_file() -> Path:
    """Beside this module's bytecode; another version of this module reads anew."""
    here = Path(__file__)
    return Path(cache_from_source(here)).with_suffix(f".{hashlib.sha256(here.read_bytes()).hexdigest()[:16]}.json")
