"""The code that the card shows: with sentence-transformers, and with transformers alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from stsflow.tasks.card.escape import string_literal
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.records.prompts import Prompts

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip

_POOL = {
    "mean": "(tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)",
    "mean_sqrt_len_tokens": "(tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt()",
    "cls": "tokens[torch.arange(len(tokens)), mask.squeeze(-1).argmax(1)]",
    "max": 'tokens.masked_fill(mask == 0, float("-inf")).max(1).values',
    "lasttoken": "tokens[torch.arange(len(tokens)), tokens.size(1) - 1 - mask.squeeze(-1).flip(1).argmax(1)]",
}


class ModelModules(Record):
    """What follows the encoder in a sentence-transformers model folder."""

    pooling: tuple[str, ...] = ("mean",)
    """Pooling modes; several are concatenated."""
    normalize: bool = False
    """Embeddings are brought to length one."""
    others: tuple[str, ...] = ()
    """Class names of further modules, which transformers alone does not have."""
    prompts: Prompts = Prompts()
    """What the model puts before texts, as it was saved."""


def read_modules(model: Path) -> ModelModules:
    """The modules of the model folder `model`, from its modules.json and the folders that it names."""
    pooling: tuple[str, ...] = ()
    normalize, apart, others = False, False, []
    for module in _json_list(model / "modules.json"):
        kind = str(module["type"]).rsplit(".", 1)[-1]
        if kind == "Pooling":
            config = _json_object(model / str(module["path"]) / "config.json")
            pooling, apart = _pooling_modes(config), config.get("include_prompt") is False
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            others.append(kind)
    settings = _json_object(model / "config_sentence_transformers.json")
    named, default = settings.get("prompts"), settings.get("default_prompt_name")
    prompts = Prompts(
        texts={str(key): str(value or "") for key, value in named.items()} if isinstance(named, dict) else {},
        default=str(default) if default else None,
    )
    if apart and prompts.some:
        others.append("Pooling without the prompt's tokens")
    return ModelModules(
        pooling=pooling or ("mean",),
        normalize=normalize,
        others=tuple(others),
        prompts=prompts,
    )


def sentence_transformers_code(
    kind: ModelKind, model_id: str, sentences: Sequence[str], dimension: int, prompts: Prompts, remote_code: bool
) -> str:
    """Code that loads a model of this kind and prints shapes; comments give what is printed."""
    literals = [string_literal(text) for text in sentences]
    return kind.usage(string_literal(model_id), literals, dimension, prompts, remote_code=remote_code)


def transformers_code(
    model_id: str, sentences: Sequence[str], length: int, modules: ModelModules, remote_code: bool
) -> str | None:
    """Code that gives the same embeddings with transformers alone; None when the model has modules beyond that."""
    if modules.others or any(mode not in _POOL for mode in modules.pooling):
        return None
    trust = ", trust_remote_code=True" if remote_code else ""
    pooled = [_POOL[mode] for mode in modules.pooling]
    prompt = modules.prompts.of(None)
    lines = [
        "import torch",
        "from transformers import AutoModel, AutoTokenizer",
        "",
        f"name = {string_literal(model_id)}",
        f"tokenizer = AutoTokenizer.from_pretrained(name{trust})",
        f"model = AutoModel.from_pretrained(name{trust}).eval()",
        "",
        "sentences = [",
        *(f"    {string_literal(text)}," for text in sentences),
        "]",
    ]
    if prompt:
        lines.append(f"sentences = [{json.dumps(prompt, ensure_ascii=False)} + text for text in sentences]")
    lines += [
        f'batch = tokenizer(sentences, padding=True, truncation=True, max_length={length}, return_tensors="pt")',
        "with torch.inference_mode():",
        "    tokens = model(**batch).last_hidden_state",
        'mask = batch["attention_mask"].unsqueeze(-1).to(tokens.dtype)',
        f"embeddings = {pooled[0]}" if len(pooled) == 1 else f"embeddings = torch.cat([{', '.join(pooled)}], dim=1)",
    ]
    if modules.normalize:
        lines.append("embeddings = torch.nn.functional.normalize(embeddings, dim=1)")
    return "\n".join([*lines, "print(embeddings.shape)"])


def _pooling_modes(config: dict[str, JsonValue]) -> tuple[str, ...]:
    mode = config.get("pooling_mode")
    if isinstance(mode, str):
        return (mode,)
    if isinstance(mode, list):
        return tuple(str(item) for item in mode)
    return tuple(name for key, name in _LEGACY_POOLING.items() if config.get(key))


def _json_object(path: Path) -> dict[str, JsonValue]:
    loaded = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return loaded if isinstance(loaded, dict) else {}


def _json_list(path: Path) -> list[dict[str, JsonValue]]:
    loaded = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return loaded if isinstance(loaded, list) else []
