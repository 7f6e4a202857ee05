"""What a model folder says about itself, read without loading it: config, weights, tokenizer, pooling.

Nothing here imports PyTorch or transformers, and nothing runs code that the folder carries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.fingerprint import CARD_FILES, fingerprint, sha256_of_file
from stsflow.tasks.ground.strict_json import read_json_list, read_json_object
from stsflow.tasks.models import length
from stsflow.tasks.models.kinds import EMBEDDINGS, ModelKind, kind_told_by, sign_of_encoder, sign_of_modules
from stsflow.tasks.records.prompts import Prompts

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

MODULES = "modules.json"
LIBRARY_CONFIG = "config_sentence_transformers.json"
TRANSFORMER_SETTINGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Where sentence-transformers looks for the settings of its first module: the first file that says anything."""
MODULES_WITH_WEIGHTS = ("Dense", "LayerNorm", "WeightedLayerPooling", "CNN", "LSTM", "WordWeights")
NUMBERS = (
    "hidden_size", "dim", "d_model", "n_embd", "num_hidden_layers", "n_layers", "n_layer", "num_layers",
    "num_attention_heads", "intermediate_size", "vocab_size", "max_position_embeddings", "n_positions",
    "max_sequence_length", "pad_token_id", "type_vocab_size", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "num_hidden_groups",
)  # fmt: skip
"""Fields of config.json that are whole numbers wherever they are set."""
LAYERS = (
    "num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "num_hidden_groups",
)  # fmt: skip
LARGEST_NUMBER = 10**9


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
    kind: ModelKind
    """What kind of model it is."""

    @classmethod
    def open(cls, root: Path, gives: frozenset[str] = EMBEDDINGS) -> ModelFolder:
        """Read config.json and modules.json under `root`; raises ModelError when it is not a model, or of a kind that
        does not give what is asked for. Whether it may be loaded is for `stsflow.tasks.models.admission` to say.
        """
        if not root.is_dir():
            found = "is a file" if root.exists() else "does not exist"
            raise ModelError(f"{root} {found}; a base model is a folder with config.json and {WEIGHTS}.")
        modules = _read_modules(root / MODULES)
        library = root / LIBRARY_CONFIG
        sign = sign_of_modules(modules, _read_library_config(library) if library.is_file() else {})
        kind = kind_told_by(root, sign, gives)
        encoder = root / modules[0]["path"] if modules else root
        if not (encoder / "config.json").is_file():
            raise ModelError(f"{encoder} has no config.json: it is not a sentence-transformers or transformers model.")
        config = _read_config(encoder / "config.json")
        folder = cls(root, encoder, config, modules, kind)
        if sign is None:
            task = folder.transformer_settings()[1].get("transformer_task")
            kind = kind_told_by(root, sign_of_encoder(config, task, plain=not modules), gives)
            folder = replace(folder, kind=kind)
        for module in modules[1:]:
            folder.settings_of(module)
        return folder

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
        return length.position_limit(self.config)

    @property
    def own_max_seq_length(self) -> int:
        """Longest input that the model itself asks for, as the library reads its files; see `length.own_length`."""
        tokenizer = self._optional_json("tokenizer_config.json")
        return length.own_length(self.config, self.transformer_settings()[1], tokenizer)

    def dimension(self, pooling: str) -> int:
        """Size of an embedding under `pooling` (`keep` or a fresh one)."""
        size = self.hidden_size
        for module in self.modules[1:]:
            kind, settings = module["type"].rpartition(".")[2], self.settings_of(module)
            if kind == "Pooling" and pooling == "keep":
                size *= max(1, _pooling_modes(settings))
            elif kind == "Dense":
                size = int(settings.get("out_features", size))
        cut = self.library_config().get("truncate_dim")
        return min(size, cut) if isinstance(cut, int) and cut > 0 else size

    def own_prompts(self) -> Prompts:
        """The prompts that the folder names in config_sentence_transformers.json.

        `query` and `document` are always among them, as in the library; documents of an older model that names
        `passage` or `corpus` alone have that one. Where no default is named, it is the query's: the library's `encode`
        would put nothing before texts that such a model has never seen bare.
        """
        config = self.library_config()
        said = {str(name): str(text or "") for name, text in (config.get("prompts") or {}).items()}
        document = next((said[name] for name in ("document", "passage", "corpus") if name in said), "")
        texts = {"query": "", "document": document} | said
        return Prompts(texts=texts, default=config.get("default_prompt_name") or ("query" if texts["query"] else None))

    def weights(self) -> tuple[Path, ...]:
        """The safetensors files, an index first where there is one; raises ModelError when there are none."""
        if (self.encoder / WEIGHTS).is_file():  # where both are there, transformers too takes this one
            return (self.encoder / WEIGHTS,)
        index = self.encoder / INDEX
        if index.is_file():
            parts = _parts_of(index)
            missing = [name for name in parts if not (self.encoder / name).is_file()]
            if missing:
                raise ModelError(f"{self.encoder} lacks {missing[0]}, which {INDEX} names: the model is incomplete.")
            return index, *(self.encoder / name for name in parts)
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
        return sum(math.prod(shape) for shape in self._tensors())

    def check_layers(self) -> None:
        """Raise ModelError when config.json states more layers than the weights have tensors: a layer has at least one,
        and layers that share theirs are few.
        """
        tensors = len(self._tensors())
        for name, layers in ((name, inner.get(name)) for inner in objects_within(self.config) for name in LAYERS):
            if isinstance(layers, int) and layers > max(tensors, 1):
                raise ModelError(
                    f"{self.encoder / 'config.json'}: {name} is {layers:,}, but the weights have {tensors:,} tensors: "
                    "they do not belong together."
                )

    def _tensors(self) -> list[tuple[int, ...]]:
        """Shapes of all tensors of the encoder's weights."""
        files = (path for path in self.weights() if path.suffix == ".safetensors")
        return [shape for path in files for shape in _shapes_in(path)]

    def transformer_settings(self) -> tuple[Path, Mapping[str, Any]]:
        """The file with the settings of the first module, and the settings: empty without such a file."""
        for name in TRANSFORMER_SETTINGS if self.modules else ():
            settings = self._optional_json(name)
            if settings:
                return self.encoder / name, settings
        return self.encoder / TRANSFORMER_SETTINGS[0], {}

    def settings_of(self, module: Mapping[str, Any]) -> Mapping[str, Any]:
        """The config.json of a module after the first; empty for a module without one."""
        path = self.root / str(module["path"]) / "config.json"
        if module is self.modules[0] or not path.is_file():
            return {}
        settings = read_json_object(path, ModelError)
        for name in ("in_features", "out_features", "word_embedding_dimension", "embedding_dimension", "dimension"):
            _check_number(path, settings, name)
        mode = settings.get("pooling_mode")
        if not (mode is None or isinstance(mode, str) or (isinstance(mode, list) and all(map(_is_text, mode)))):
            raise ModelError(f"{path}: pooling_mode must be a name or a list of names, not {str(mode)[:60]!r}.")
        return settings

    def library_config(self) -> Mapping[str, Any]:
        """config_sentence_transformers.json; empty without modules."""
        path = self.root / LIBRARY_CONFIG
        return _read_library_config(path) if self.modules and path.is_file() else {}

    def check_tokenizer(self) -> None:
        """Raise ModelError when the folder has no tokenizer."""
        if not any((self.encoder / name).is_file() for name in TOKENIZER_FILES):
            raise ModelError(f"{self.encoder} has no tokenizer: one of {', '.join(TOKENIZER_FILES)} is needed.")

    def _optional_json(self, name: str) -> Mapping[str, Any]:
        path = self.encoder / name
        return read_json_object(path, ModelError) if path.is_file() else {}


def native_architectures() -> frozenset[str]:
    """Every `model_type` of the installed transformers, read from the table in its source without importing it."""
    return frozenset(length.configuration_classes())


def _pooling_modes(settings: Mapping[str, Any]) -> int:
    mode = settings.get("pooling_mode")
    if mode is not None:
        return 1 if isinstance(mode, str) else len(mode)
    return sum(bool(value) for name, value in settings.items() if name.startswith("pooling_mode_"))


def _shapes_in(path: Path) -> Iterator[tuple[int, ...]]:
    """Shapes of the tensors in a safetensors file, read from its header by the library, which holds it to the file."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as stream:
        if stream.read(8) == b"version ":
            raise ModelError(f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its repository.")
    try:
        with safe_open(path, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118  it is no mapping
                yield tuple(tensors.get_slice(name).get_shape())
    except SafetensorError as error:
        raise ModelError(
            f"{path} is damaged: it is not a whole safetensors file ({path.stat().st_size:,} bytes). "
            f"{str(error)[:300]}."
        ) from error


def weights_of_modules(folder: ModelFolder) -> Iterator[tuple[str, Path]]:
    """Class and folder of each module after the encoder that has weights of its own."""
    for module in folder.modules[1:]:
        kind = module["type"].rpartition(".")[2]
        if kind in MODULES_WITH_WEIGHTS:
            yield kind, folder.root / module["path"]


def _read_modules(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The entries of modules.json, each with a type and a path inside the folder; none without the file."""
    if not path.is_file():
        return ()
    modules = read_json_list(path, ModelError)
    if not modules:
        raise ModelError(f"{path} names no module.")
    for module in modules:
        fields = [module.get(name) for name in ("type", "path", "name")] if isinstance(module, dict) else [None]
        if not all(map(_is_text, fields)):
            raise ModelError(f"{path} must be a list of objects with `name`, `path` and `type`, all of them texts.")
        if not stays_inside(module["path"]):
            raise ModelError(
                f"{path}: the module path {module['path'][:80]!r} leaves the folder; everything of a model lies inside."
            )
        if PureWindowsPath(module["path"]).parts[:1] and PureWindowsPath(module["path"]).parts[0] in CARD_FILES:
            raise ModelError(
                f"{path}: the module path {module['path'][:80]!r} lies where cards and exports do; no digest covers it."
            )
    return tuple(modules)


def stays_inside(path: str) -> bool:
    """Whether a relative path leads to no place outside of the folder it starts from, on any system."""
    parts = PureWindowsPath(path)  # knows both separators
    return not parts.anchor and ".." not in parts.parts and "\0" not in path


def _read_config(path: Path) -> Mapping[str, Any]:
    config = read_json_object(path, ModelError)
    if "model_type" not in config:
        raise ModelError(f"{path} has no model_type: the architecture is not known.")
    if not _is_text(config["model_type"]):
        raise ModelError(f"{path}: model_type must be a text, not {str(config['model_type'])[:60]!r}.")
    for inner in objects_within(config):
        for name in NUMBERS:
            _check_number(path, inner, name)
    return config


def objects_within(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The configuration and every object in it: those of a model's parts."""
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from objects_within(value)


def _read_library_config(path: Path) -> Mapping[str, Any]:
    """config_sentence_transformers.json, with prompts and names of the right type."""
    config = read_json_object(path, ModelError)
    prompts = config.get("prompts", {})
    if not isinstance(prompts, dict) or not all(text is None or _is_text(text) for text in prompts.values()):
        raise ModelError(f"{path}: prompts must be an object of texts.")
    for name in ("default_prompt_name", "similarity_fn_name", "model_type"):
        if config.get(name) is not None and not _is_text(config[name]):
            raise ModelError(f"{path}: {name} must be a text, not {str(config[name])[:60]!r}.")
    return config


def _check_number(path: Path, settings: Mapping[str, Any], name: str) -> None:
    value = settings.get(name)
    if value is not None and (type(value) is not int or abs(value) > LARGEST_NUMBER):
        raise ModelError(f"{path}: {name} must be a whole number up to {LARGEST_NUMBER:,}, not {str(value)[:60]}.")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _parts_of(index: Path) -> list[str]:
    """The weights files that an index names: files beside it, and nothing else."""
    named = read_json_object(index, ModelError).get("weight_map")
    if not isinstance(named, dict) or not named or not all(map(_is_text, named.values())):
        raise ModelError(f"{index} has no weight_map that names a file for each tensor: it is damaged.")
    parts = sorted(set(named.values()))
    for part in parts:
        if PureWindowsPath(part).name != part or not part.endswith(".safetensors"):
            raise ModelError(
                f"{index} names {part[:80]!r}; the parts of a model are safetensors files beside their index."
            )
    return parts
