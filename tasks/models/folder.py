"""What a model folder says about itself, read without loading it: config, weights, tokenizer, pooling.

Nothing here imports PyTorch or transformers, and nothing runs code that the folder carries.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.errors import ModelError
from tasks.fingerprint import fingerprint, sha256_of_file

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)

# Families whose position table begins at padding_idx + 1 (fairseq's numbering), so that as many rows are never used.
POSITIONS_AFTER_PADDING = frozenset({
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "roberta-prelayernorm", "xmod", "data2vec-text",
    "ibert", "longformer", "flaubert",
})  # fmt: skip

# A tokenizer without a length of its own carries this or a larger number.
NO_LENGTH = 1_000_000


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a sentence-transformers model or a plain transformers encoder."""

    root: Path
    """The folder that was named."""
    encoder: Path
    """Where config.json, weights and tokenizer lie: `root`, or the first module's folder."""
    config: Mapping[str, Any]
    """config.json."""
    modules: tuple[Mapping[str, Any], ...]
    """modules.json; empty for a plain encoder."""

    @classmethod
    def open(cls, root: Path) -> ModelFolder:
        """Read config.json and modules.json under `root`; raises ModelError when it is not a model."""
        if not root.is_dir():
            found = "is a file" if root.exists() else "does not exist"
            raise ModelError(f"{root} {found}; a base model is a folder with config.json and {WEIGHTS}.")
        modules = _read_json(root / "modules.json") if (root / "modules.json").is_file() else []
        encoder = root / str(modules[0].get("path", "")) if modules else root
        if not (encoder / "config.json").is_file():
            raise ModelError(f"{encoder} has no config.json: it is not a sentence-transformers or transformers model.")
        config = _read_json(encoder / "config.json")
        if "model_type" not in config:
            raise ModelError(f"{encoder / 'config.json'} has no model_type: the architecture is not known.")
        return cls(root, encoder, config, tuple(modules))

    @property
    def architecture(self) -> str:
        """`model_type` of config.json."""
        return str(self.config["model_type"])

    @property
    def carries_code(self) -> bool:
        """Whether config.json points to Python code of the folder or of another repository."""
        return bool(self.config.get("auto_map"))

    @property
    def is_native(self) -> bool:
        """Whether the installed transformers knows the architecture without foreign code."""
        return self.architecture in native_architectures()

    @property
    def hidden_size(self) -> int:
        """Size of a token's vector."""
        for name in ("hidden_size", "dim", "d_model", "n_embd"):
            if isinstance(self.config.get(name), int):
                return int(self.config[name])
        raise ModelError(f"{self.encoder / 'config.json'} has no hidden_size: the size of an embedding is not known.")

    @property
    def position_limit(self) -> int | None:
        """Longest input, special tokens included, that the positions allow; None when nothing limits it."""
        for name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
            rows = self.config.get(name)
            if isinstance(rows, int) and rows > 0:
                return rows - self._unused_positions
        return None

    @property
    def _unused_positions(self) -> int:
        return int(self.config.get("pad_token_id") or 0) + 1 if self.architecture in POSITIONS_AFTER_PADDING else 0

    @property
    def own_max_seq_length(self) -> int:
        """Longest input that the model itself asks for, never more than the positions allow."""
        lengths = [self.position_limit or NO_LENGTH]
        settings = self._optional_json("sentence_bert_config.json")
        tokenizer = self._optional_json("tokenizer_config.json")
        for value in (settings.get("max_seq_length"), tokenizer.get("model_max_length")):
            if isinstance(value, int | float) and 1 < value < NO_LENGTH:
                lengths.append(int(value))
                break  # sentence-transformers' own setting goes before the tokenizer's
        shortest = min(lengths)
        return shortest if shortest < NO_LENGTH else 512

    def dimension(self, pooling: str) -> int:
        """Size of an embedding under `pooling` (`keep` or a fresh one)."""
        size = self.hidden_size
        for module in self.modules[1:]:
            kind = str(module.get("type", "")).rpartition(".")[2]
            path = self.root / str(module.get("path", "")) / "config.json"
            settings = _read_json(path) if path.is_file() else {}
            if kind == "Pooling" and pooling == "keep":
                size *= max(1, _pooling_modes(settings))
            elif kind == "Dense":
                size = int(settings.get("out_features", size))
        return size

    def weights(self) -> tuple[Path, ...]:
        """The safetensors files, an index first where there is one; raises ModelError when there are none."""
        index = self.encoder / INDEX
        if index.is_file():
            parts = sorted(set(_read_json(index).get("weight_map", {}).values()))
            missing = [name for name in parts if not (self.encoder / name).is_file()]
            if missing:
                raise ModelError(f"{self.encoder} lacks {missing[0]}, which {INDEX} names: the model is incomplete.")
            return index, *(self.encoder / name for name in parts)
        if (self.encoder / WEIGHTS).is_file():
            return (self.encoder / WEIGHTS,)
        pickled = sorted(path.name for path in self.encoder.glob("*.bin"))
        if pickled:
            raise ModelError(
                f"{self.encoder} has its weights in {pickled[0]} only, a pickle, which can run code when it is opened; "
                f"if you trust it, convert it once: `AutoModel.from_pretrained(folder).save_pretrained(folder)` with "
                f"transformers writes {WEIGHTS}."
            )
        raise ModelError(f"{self.encoder} has no weights: {WEIGHTS} (or {INDEX} and its parts) is needed.")

    def weights_sha256(self) -> str:
        """SHA-256 of model.safetensors; for a sharded model the fingerprint of the index and its parts."""
        files = self.weights()
        if len(files) == 1:
            return sha256_of_file(files[0])
        return fingerprint({path.name: sha256_of_file(path) for path in files})

    def parameters(self) -> int:
        """Number of weights, from the safetensors headers; raises ModelError when a file is cut short."""
        return sum(
            math.prod(entry["shape"])
            for path in self.weights() if path.suffix == ".safetensors"
            for entry in _safetensors_header(path).values()
        )  # fmt: skip

    def check_tokenizer(self) -> None:
        """Raise ModelError when the folder has no tokenizer."""
        if not any((self.encoder / name).is_file() for name in TOKENIZER_FILES):
            raise ModelError(f"{self.encoder} has no tokenizer: one of {', '.join(TOKENIZER_FILES)} is needed.")

    def _optional_json(self, name: str) -> Mapping[str, Any]:
        path = self.encoder / name
        return dict(_read_json(path)) if path.is_file() else {}


@cache
def native_architectures() -> frozenset[str]:
    """Every `model_type` of the installed transformers, read from the table in its source without importing it."""
    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("transformers is not installed: `pip install stsflow` brings it.")
    source = Path(spec.submodule_search_locations[0]) / "models" / "auto" / "auto_mappings.py"
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CONFIG_MAPPING_NAMES":
            pairs = (item for item in ast.walk(node.value) if isinstance(item, ast.Tuple))
            names.update(str(item.elts[0].value) for item in pairs if isinstance(item.elts[0], ast.Constant))
    return frozenset(names)


def _pooling_modes(settings: Mapping[str, Any]) -> int:
    mode = settings.get("pooling_mode")
    if mode is not None:
        return 1 if isinstance(mode, str) else len(mode)
    return sum(bool(value) for name, value in settings.items() if name.startswith("pooling_mode_"))


def _safetensors_header(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file by name (format: 8 bytes length, JSON header, then the data)."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(8)
        if first == b"version ":
            raise ModelError(f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its repository.")
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > size - 8:
            raise ModelError(f"{path} is damaged: it is not a whole safetensors file ({size:,} bytes).")
        try:
            header = json.loads(stream.read(length))
        except ValueError:
            raise ModelError(f"{path} is damaged: its safetensors header cannot be read.") from None
    header.pop("__metadata__", None)
    expected = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size != expected:
        raise ModelError(f"{path} is damaged: it has {size:,} bytes where its header says {expected:,}.")
    return dict(header)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}.") from None
