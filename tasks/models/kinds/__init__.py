"""Which kind of model a folder holds: dense text encoders are what is trained and measured here; others are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.errors import ModelError

OF_THE_LIBRARY = {
    "SparseEncoder": "a sparse encoder",
    "CrossEncoder": "a cross-encoder, which scores pairs and has no embeddings",
    "MultiVectorEncoder": "a multi-vector model, with one embedding for each token",
}
"""`model_type` of config_sentence_transformers.json."""
OF_A_MODULE = {
    "StaticEmbedding": "a static embedding model, without an encoder",
    "BoW": "a bag of words, without an encoder",
    "WordEmbeddings": "a word-embedding model, without an encoder",
    "CLIPModel": "a CLIP model, of images and texts",
    "Router": "a router, with several models in one",
    "Asym": "a router, with several models in one",
    "MLMTransformer": "a sparse encoder",
    "SpladePooling": "a sparse encoder",
    "SparseAutoEncoder": "a sparse encoder",
    "SparseStaticEmbedding": "a sparse encoder",
    "LogitScore": "a cross-encoder, which scores pairs and has no embeddings",
    "MultiVectorMask": "a multi-vector model, with one embedding for each token",
}
OF_A_TASK = {
    "sequence-classification": "a cross-encoder, which scores pairs and has no embeddings",
    "fill-mask": "a masked language model or sparse encoder, with numbers for each word of its vocabulary",
    "text-generation": "a text generator",
    "any-to-any": "a text generator",
    "retrieval": "a retrieval model of images and texts",
}
"""`transformer_task` of sentence_bert_config.json."""
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")


def refuse_other_kinds(root: Path, modules: Sequence[Mapping[str, Any]], library: Mapping[str, Any]) -> None:
    """Raise ModelError when modules.json or config_sentence_transformers.json say that it is no dense text encoder."""
    kind = OF_THE_LIBRARY.get(str(library.get("model_type")))
    for module in modules:
        kind = kind or OF_A_MODULE.get(str(module["type"]).rpartition(".")[2])
    if kind:
        raise _other(root, kind)


def refuse_other_encoders(root: Path, config: Mapping[str, Any], task: object, *, plain: bool) -> None:
    """Raise ModelError when the encoder's config.json or its `transformer_task` say so.

    `plain` is a folder without modules.json, whose architecture alone says what it was trained for.
    """
    kind = OF_A_TASK.get(str(task))
    architectures = config.get("architectures") or []
    if plain and isinstance(architectures, list):
        head = next((name for name in map(str, architectures) if name.endswith(HEADS)), None)
        kind = kind or (head and f"a cross-encoder or another classifier ({head}), which has no embeddings")
    if "vision_config" in config or "audio_config" in config:
        kind = kind or f"a model of images or sound ({config.get('model_type')})"
    if kind:
        raise _other(root, kind)


def _other(root: Path, kind: str) -> ModelError:
    return ModelError(
        f"{root} is {kind}. Only dense text encoders can be trained and measured here: a transformer with pooling."
    )
