"""A saved model's settings in the words of the format before sentence-transformers 5.4, beside those of today.

Text Embeddings Inference, vLLM, llama.cpp and others look, or have looked, for the kind of pooling in a field for each
kind, and for the longest input in sentence_bert_config.json. Where they are missing, one refuses the folder, another
pools by default, which is wrong without a word. The library itself drops them where its own are there.
"""

from __future__ import annotations

import json
from pathlib import Path

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.strict_json import read_json_list, read_json_object

FLAGS = {
    "cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens", "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens", "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}  # fmt: skip
SETTINGS = "sentence_bert_config.json"


def add_older_words(folder: Path, longest: int | None) -> None:
    """Add those fields to the model that was just saved in `folder`; `longest` is its longest input in tokens."""
    for module in read_json_list(folder / "modules.json", ModelError):
        path = folder / module["path"] / "config.json"
        if not str(module["type"]).endswith(".Pooling"):
            continue
        modes = read_json_object(path, ModelError)["pooling_mode"]
        modes = [modes] if isinstance(modes, str) else modes
        _add(path, {flag: mode in modes for mode, flag in FLAGS.items()})
    if longest is not None and (folder / SETTINGS).is_file():
        _add(folder / SETTINGS, {"max_seq_length": longest})


def _add(path: Path, fields: dict[str, object]) -> None:
    values = dict(read_json_object(path, ModelError))
    write_text_atomically(path, json.dumps(values | fields, indent=4, ensure_ascii=False))
