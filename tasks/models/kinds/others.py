"""What a folder says of the kind of its model, by signs, and the kinds that are named and not (yet) trained here.

A sign is a name that the library, a module or a task has. A kind of `ModelKind` states its signs (`told_by`); a sign
that no kind states is of another model, which is refused by the words below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.models.kinds.bi_encoder import BiEncoder
from stsflow.tasks.models.kinds.family import ModelKind

EMBEDDINGS = frozenset({BiEncoder.gives})
"""What a model must give to be trained and measured here."""
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


class Sign(NamedTuple):
    """A name in a folder that tells the kind of its model."""

    name: str
    words: str
    """What a model with this sign is, for people."""


def sign_of_modules(modules: Sequence[Mapping[str, Any]], library: Mapping[str, Any]) -> Sign | None:
    """What config_sentence_transformers.json or modules.json say; None for no sign."""
    kinds = (OF_THE_LIBRARY, str(library.get("model_type"))), *((OF_A_MODULE, _class(module)) for module in modules)
    return next((Sign(name, table[name]) for table, name in kinds if name in table), None)


def sign_of_encoder(config: Mapping[str, Any], task: object, *, plain: bool) -> Sign | None:
    """What the encoder's config.json or its `transformer_task` say; None for no sign.

    `plain` is a folder without modules.json, whose architecture alone says what it was trained for.
    """
    if str(task) in OF_A_TASK:
        return Sign(str(task), OF_A_TASK[str(task)])
    architectures = config.get("architectures") or []
    for name in map(str, architectures) if plain and isinstance(architectures, list) else ():
        head = next((head for head in HEADS if name.endswith(head)), None)
        if head:
            return Sign(head, f"a cross-encoder or another classifier ({name}), which has no embeddings")
    if "vision_config" in config or "audio_config" in config:
        return Sign("modality", f"a model of images or sound ({config.get('model_type')})")
    return None


def kind_told_by(root: Path, sign: Sign | None, gives: frozenset[str] = EMBEDDINGS) -> ModelKind:
    """The kind of the model in `root`; raises ModelError for one that gives none of what is asked for."""
    if sign is None:
        return BiEncoder()
    for member in ModelKind.members():
        if sign.name in member.told_by and member.gives in gives:
            return member.model_validate({})
    helps = any(sign.name in member.told_by for member in ModelKind.members())
    raise ModelError(
        f"{root} is {sign.words}. Only dense text encoders can be trained and measured here: a transformer with "
        f"pooling.{' It can be a teacher.' if helps else ''}"
    )


def _class(module: Mapping[str, Any]) -> str:
    return str(module["type"]).rpartition(".")[2]
