"""YAML as plain values: nothing in a text can run code, take the memory, or mean what its writer did not.

Bounded: size, depth, and the number of values with every alias written out (a few lines of aliases can stand for
billions). Without tags: `!!python/…` would build objects and `!!int abc` has no meaning. Without merge keys. Whatever
is wrong with a text is a `yaml.YAMLError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

LARGEST_TEXT = 2**20
DEEPEST = 64
MOST_VALUES = 100_000
MERGE = "tag:yaml.org,2002:merge"


class PlainLoader(yaml.SafeLoader):
    """Safe YAML with three changes: a repeated key is an error, only `true` and `false` are booleans, 5e-5 a number.

    YAML 1.1 also reads on, off, yes and no as booleans, which would turn `padding_free: off` and the language code
    `no` into something else; and it reads an exponent as a number only after a point.
    """

    depth = 0
    values = 0

    def get_event(self) -> Any:
        """The next event; raises a ComposerError where the text goes too deep, is too long, or has a tag."""
        event: Any = super().get_event()  # type: ignore[no-untyped-call]  # the library has no types
        if isinstance(event, yaml.NodeEvent):
            self.values += 1
            if tag := getattr(event, "tag", None):
                _refuse(f"a tag ({tag}) is not read here; write the value plainly", event.start_mark)
            if self.values > MOST_VALUES:
                _refuse(f"more than {MOST_VALUES:,} values", event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            self.depth += 1
            if self.depth > DEEPEST:
                _refuse(f"nested more than {DEEPEST} deep", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.depth -= 1
        return event


PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("bool", "timestamp")]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}  # fmt: skip
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_yaml(text: str) -> Any:
    """The value that `text` stands for; raises `yaml.YAMLError`, with `problem_mark` where a place can be named."""
    if len(text) > LARGEST_TEXT:
        _refuse(f"the text has {len(text):,} characters; at most {LARGEST_TEXT:,} are read", None)
    loader = PlainLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node)
        if _expanded(node, {}) > MOST_VALUES:
            _refuse(f"more than {MOST_VALUES:,} values, with its aliases written out", node.start_mark)
        return loader.construct_document(node)
    except ValueError as error:  # of Python itself: a number of thousands of digits
        raise yaml.constructor.ConstructorError(None, None, str(error).partition(";")[0], None) from None
    finally:
        loader.dispose()


def _check_keys(root: yaml.Node) -> None:
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += _children(node)
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = (key.tag, str(key.value))
            if key.tag == MERGE:  # the library gives the wrong one of two values where a merged mapping has its own
                _refuse("a merge key (`<<`) is not read here; write the keys out", key.start_mark)
            if isinstance(key, yaml.ScalarNode) and name in keys:
                _refuse(f"the key {key.value!r} occurs twice", key.start_mark)
            keys.add(name)


def _expanded(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Values under `node` when every alias is written out; raises a ComposerError for one that contains itself."""
    known = sizes.get(id(node), 0)
    if known is None:
        _refuse("an alias stands for something that it is itself a part of", node.start_mark)
    elif not known:
        sizes[id(node)] = None
        known = 1 + sum(_expanded(child, sizes) for child in _children(node))
        sizes[id(node)] = known
    return known or 0


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for part in node.value if isinstance(node, yaml.CollectionNode) else ():
        yield from part if isinstance(part, tuple) else (part,)


def _refuse(problem: str, mark: Any) -> None:
    raise yaml.composer.ComposerError(None, None, problem, mark)
