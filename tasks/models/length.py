"""How long a text a model reads, found where sentence-transformers and transformers find it, without importing them.

What transformers knows of an architecture (which field holds its positions, defaults that config.json leaves out, where
positions begin) is read from its source, so that no list here has to follow it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.syntax import parse_python

NO_LENGTH = 1_000_000
"""Stands for no limit. A tokenizer without a length of its own carries this or a larger number."""
POSITIONS = "max_position_embeddings"
FROM_PADDING = "create_position_ids_from_input_ids"
"""How transformers numbers positions from padding_idx + 1 on (fairseq's way), so that as many rows are never used."""


def stated_positions(config: Mapping[str, Any]) -> int | None:
    """What `config.max_position_embeddings` is once transformers has read config.json; None where there is none."""
    known = architecture(str(config.get("model_type")))
    if known is None:
        found = next((config[name] for name in (POSITIONS, "n_positions") if name in config), None)
    else:
        name = known.names.get(POSITIONS, POSITIONS)
        found = config.get(name, config.get(POSITIONS, known.defaults.get(name)))
    return found if isinstance(found, int) and found > 0 else None  # XLNet says -1


def position_limit(config: Mapping[str, Any]) -> int | None:
    """Longest input, special tokens included, that the positions allow; None when nothing limits it."""
    rows = stated_positions(config)
    if rows is None or config.get("position_biased_input") is False:  # DeBERTa with relative positions alone
        return None
    known = architecture(str(config.get("model_type")))
    if known is None or not known.from_padding or config.get("position_embedding_type") == "rotary":
        return rows
    padding = config.get("pad_token_id", known.defaults.get("pad_token_id"))
    return rows - (padding if isinstance(padding, int) else 0) - 1


def own_length(config: Mapping[str, Any], settings: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    """Longest input that the library gives the model, never more than the positions allow; NO_LENGTH for any length.

    `settings` are those of sentence-transformers for its first module, `tokenizer` is tokenizer_config.json. A length
    in the settings counts alone; the tokenizer's is cut at `max_position_embeddings`.
    """
    arguments = settings.get("tokenizer_args", settings.get("processor_kwargs"))  # the older name wins, as there
    asked = _length(arguments.get("model_max_length") if isinstance(arguments, Mapping) else None) or _length(
        settings.get("max_seq_length")
    )
    if asked is None:
        own = _length(tokenizer.get("model_max_length")) or _length(tokenizer.get("max_len"))
        asked = min(own or NO_LENGTH, stated_positions(config) or NO_LENGTH)
    return min(asked, position_limit(config) or NO_LENGTH, NO_LENGTH)


def _length(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 1 else None


@dataclass(frozen=True)
class Architecture:
    """What transformers' source says of one `model_type`."""

    names: Mapping[str, str] = field(default_factory=dict)
    """The configuration's own name of a standard field."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of fields that config.json leaves out."""
    from_padding: bool = False
    """Whether positions are numbered from padding_idx + 1 on."""


@cache
def configuration_classes() -> Mapping[str, str]:
    """Name of the configuration class by `model_type`, of every architecture of the installed transformers."""
    table: dict[str, str] = {}
    for node in ast.walk(parse_python((_models() / "auto" / "auto_mappings.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CONFIG_MAPPING_NAMES":
            for item in ast.walk(node.value):
                if isinstance(item, ast.Tuple) and len(item.elts) == 2:
                    name, made = item.elts
                    if isinstance(name, ast.Constant) and isinstance(made, ast.Constant):
                        table[str(name.value)] = str(made.value)
    return table


@cache
def architecture(model_type: str) -> Architecture | None:
    """What the installed transformers knows of `model_type`; None when it does not know it."""
    name = configuration_classes().get(model_type)
    near = _models() / model_type.replace("-", "_")
    for path in (*near.glob("configuration_*.py"), *sorted(_models().glob("*/configuration_*.py"))):
        text = path.read_text(encoding="utf-8")
        if name is None or f"class {name}(" not in text:
            continue
        made = next(node for node in parse_python(text).body if isinstance(node, ast.ClassDef) and node.name == name)
        modeling = path.with_name(path.name.replace("configuration", "modeling"))
        if not modeling.is_file():  # data2vec_text and its kind: one configuration, several models
            modeling = path
        return Architecture(
            names=_constants(made).get("attribute_map", {}),
            defaults=_constants(made),
            from_padding=FROM_PADDING in modeling.read_text(encoding="utf-8"),
        )
    return None


def _constants(made: ast.ClassDef) -> dict[str, Any]:
    """Names of a class's body that are given a literal."""
    found = {}
    for node in made.body:
        (target,) = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[:1]
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and value is not None:
            try:
                found[target.id] = ast.literal_eval(value)
            except ValueError:
                continue
    return found


def _models() -> Path:
    from stsflow.tasks.ground.errors import ModelError

    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("transformers is not installed: `pip install stsflow` brings it.")
    return Path(spec.submodule_search_locations[0]) / "models"
