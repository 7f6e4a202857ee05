"""Everything that a model folder would make a loader do, allowed or refused before anything of it is loaded.

A folder is data. It opens no file outside of itself, no pickle, and runs no code but that of the libraries; only a
recipe with a pinned commit allows the folder's own. What sentence-transformers and transformers would do on the word
of a file (import a name, open a path, fetch another repository) is either of a known harmless form or refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.files import links_that_leave
from stsflow.tasks.ground.strict_json import read_json_object
from stsflow.tasks.models.folder import ModelFolder, objects_within, weights_of_modules
from stsflow.tasks.models.kinds import EMBEDDINGS

PACKAGES = r"sentence_transformers\.(models|sentence_transformer\.modules|base\.modules)"
MODULES = "Transformer|Pooling|Dense|Normalize|LayerNorm|Dropout|WeightedLayerPooling|CNN|LSTM|WordWeights"
MODULE = re.compile(rf"{PACKAGES}(\.[A-Za-z_]+)?\.({MODULES})")
"""Classes that modules.json may name: the library would import any name that begins with its own."""
ACTIVATION = re.compile(r"torch\.nn\.modules\.(activation\.[A-Za-z0-9]+|linear\.Identity)|torch\.nn\.[A-Z][A-Za-z0-9]*")
"""Activation functions of a dense module: the library would import anything that begins with `torch.`."""
TOKENIZER = re.compile(r"[A-Za-z0-9_]*(Tokenizer|TokenizerFast|TokenizersBackend|PythonBackend|CommonBackend)")
"""Classes that a tokenizer may be: transformers takes any attribute of its package."""

TRANSFORMER_SETTINGS = frozenset({
    "transformer_task", "modality_config", "module_output_name", "processing_kwargs", "unpad_inputs", "query_length",
    "document_length", "query_expansion", "max_seq_length", "do_lower_case",
})  # fmt: skip
ARGUMENTS = {
    "model": frozenset({"attn_implementation", "add_pooling_layer", "dtype", "torch_dtype"}),
    "tokenizer": frozenset({
        "padding_side", "truncation_side", "model_max_length", "use_fast", "do_lower_case", "add_bos_token",
        "add_eos_token", "add_prefix_space", "clean_up_tokenization_spaces",
    }),
    "config": frozenset({"is_causal", "use_cache", "use_bidirectional_attention", "torch_dtype", "dtype"}),
}  # fmt: skip
"""What sentence_bert_config.json may hand to transformers: names that choose how, never what or from where."""
KINDS_OF_ARGUMENTS = {
    "model_args": "model", "model_kwargs": "model", "tokenizer_args": "tokenizer", "processor_kwargs": "tokenizer",
    "config_args": "config", "config_kwargs": "config",
}  # fmt: skip
ATTENTION = frozenset({None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3"})
"""Others are names of repositories whose compiled code transformers fetches."""
ELSEWHERE = {
    "transformers_weights": "names another file for the weights",
    "gguf_file": "names another file for the weights",
    "quantization_config": "says that the weights are quantised, and what is trained here is not",
    "compression_config": "says that the weights are quantised, and what is trained here is not",
    "kernel_config": "names code to fetch",
    "use_kernels": "names code to fetch",
    "fusion_config": "replaces parts of the architecture's code",
    "distributed_config": "spreads the model over machines",
}
SHARDS_OF_A_TRAINING = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
OTHER_INPUT = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")


def admit(root: Path, *, remote_code: bool = False, gives: frozenset[str] = EMBEDDINGS) -> ModelFolder:
    """The folder, read and found to be a model that may be loaded, of a kind that gives one of `gives`.

    `remote_code` says that a recipe allows the folder's own code; it never comes from a file of the folder or from a
    record. Raises ModelError with one sentence: not a model, another kind of model, damaged, incomplete, a path that
    leaves the folder, a pickle, or code.
    """
    check_contained(root)
    folder = ModelFolder.open(root, gives)
    folder.kind.check(root, folder.config)
    folder.weights()
    folder.parameters()
    folder.check_layers()
    folder.check_tokenizer()
    for name in TOKENIZER_SETTINGS:
        if (folder.encoder / name).is_file():
            read_json_object(folder.encoder / name, ModelError)
    _refuse_what_lies_elsewhere(folder)
    if not remote_code:
        _refuse_code(folder)
    return folder


def check_contained(root: Path) -> None:
    """Raise ModelError unless every file below `root` is one, and every link stays in the folder.

    The links of a snapshot in the hub's cache lead to the files of the same repository beside it, which is allowed.
    """
    if not any((root / name).is_file() for name in ("config.json", "modules.json")):
        return  # not a model at all, which is said by whoever reads it; it may be a home directory
    real = root.resolve()
    for link in links_that_leave(real):
        raise ModelError(
            f"{link} is a link that leaves the folder, to {os.path.realpath(link)}: everything of a model lies inside "
            "its folder. Copy the file there."
        )
    for path in real.rglob("*"):
        if path.exists() and not (path.is_dir() or path.is_file()):
            raise ModelError(f"{path} is neither a file nor a folder.")


def _refuse_what_lies_elsewhere(folder: ModelFolder) -> None:
    """Adapters, pickles of modules, checkpoints of other formats, and configurations that name other files."""
    encoder = folder.encoder
    for path in {encoder, folder.root}:
        if (path / "adapter_config.json").is_file():
            raise ModelError(
                f"{path} holds an adapter (adapter_config.json), whose base model lies elsewhere; merge the two first: "
                "`merge_and_unload()` of peft, then save."
            )
    for name in OTHER_INPUT:
        if (encoder / name).is_file():
            raise ModelError(f"{encoder / name} prepares images or sound; only models of texts can be used here.")
    if any(SHARDS_OF_A_TRAINING.fullmatch(path.name) for path in encoder.iterdir()):
        raise ModelError(f"{encoder} holds a distributed checkpoint of a training; save the model as a whole first.")
    for module, path in weights_of_modules(folder):
        if not (path / "model.safetensors").is_file() and (path / "pytorch_model.bin").is_file():
            raise ModelError(
                f"{path} has the weights of its {module} module in pytorch_model.bin only, a pickle, which can run "
                "code when it is opened; load it where you trust it and save it again, as model.safetensors."
            )
    for inner in objects_within(folder.config):
        for key in ELSEWHERE.keys() & inner.keys():
            if inner[key] not in (None, False):
                raise ModelError(f"{encoder / 'config.json'}: {key} {ELSEWHERE[key]}: {_shown(inner[key])}.")


def _refuse_code(folder: ModelFolder) -> None:
    """Names of classes and functions that a file would have imported, unless they are the libraries' own."""
    for module in folder.modules:
        if not MODULE.fullmatch(module["type"]):
            raise ModelError(
                f"{folder.root / 'modules.json'}: the type {_shown(module['type'])} is not a module of "
                f"sentence-transformers that is known here ({MODULES.replace('|', ', ')}); importing it could run "
                "foreign code, which only a recipe with model.trust_remote_code and a pinned commit allows."
            )
        activation = folder.settings_of(module).get("activation_function")
        _check_activation(folder.root / module["path"] / "config.json", activation)
    for activation in folder.kind.functions_named(folder.config, folder.library_config()):
        _check_activation(folder.root, activation)
    _refuse_arguments(folder)
    for file in ("tokenizer_config.json", "config.json"):
        path = folder.encoder / file
        name = read_json_object(path, ModelError).get("tokenizer_class") if path.is_file() else None
        if name is not None and not (isinstance(name, str) and TOKENIZER.fullmatch(name)):
            raise ModelError(f"{path}: the tokenizer class {_shown(name)} is no tokenizer of transformers.")
    for inner in objects_within(folder.config):
        for key in ("attn_implementation", "_attn_implementation"):
            _check_attention(folder.encoder / "config.json", inner.get(key))


def _refuse_arguments(folder: ModelFolder) -> None:
    path, settings = folder.transformer_settings()
    for name, value in settings.items():
        kind = KINDS_OF_ARGUMENTS.get(name)
        if name not in TRANSFORMER_SETTINGS and kind is None and value is not None:
            raise ModelError(
                f"{path}: {_shown(name)} is none of the settings that a model may bring ({_shown(value)})."
            )
        if kind is None or value is None:
            continue
        if not isinstance(value, dict):
            raise ModelError(f"{path}: {name} must be an object.")
        for argument, given in value.items():
            if argument not in ARGUMENTS[kind] or isinstance(given, dict | list):
                raise ModelError(
                    f"{path}: {name} may not set {_shown(argument)} (to {_shown(given)}); a model's files may set "
                    f"{', '.join(sorted(ARGUMENTS[kind]))} there."
                )
            if argument == "attn_implementation":
                _check_attention(path, given)
    modalities = settings.get("modality_config") or {}
    if not isinstance(modalities, dict) or any(
        not isinstance(reading, dict) or reading.get("method") != "forward" for reading in modalities.values()
    ):
        raise ModelError(f"{path}: modality_config may name no other method of the model than `forward`.")


def _check_activation(path: Path, name: object) -> None:
    if name is not None and not (isinstance(name, str) and ACTIVATION.fullmatch(name)):
        raise ModelError(f"{path}: the activation function {_shown(name)} is none of torch.nn's.")


def _check_attention(path: Path, name: object) -> None:
    if isinstance(name, dict | list) or name not in ATTENTION:
        raise ModelError(
            f"{path}: the attention {_shown(name)} is none of transformers' own; its code would be fetched."
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"
