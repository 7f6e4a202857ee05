"""Dense text encoders: a text becomes one embedding, and two texts are compared by theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, cast

from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.models.kinds.family import Described, ModelKind
from stsflow.tasks.records.prompts import Prompts, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from stsflow.tasks.models.hardware import Precision

Encoder: TypeAlias = "SentenceTransformer"
"""A loaded model of this kind."""


class BiEncoder(ModelKind):
    """A transformer with pooling."""

    kind: Literal["bi_encoder"] = "bi_encoder"
    library_class: ClassVar[str] = "SentenceTransformer"
    gives: ClassVar[str] = "embeddings"

    def load(self, path: Path, *, device: str, remote_code: bool) -> Encoder:
        import torch
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(path), device=device, local_files_only=True, trust_remote_code=remote_code,
            # Half-precision checkpoints would otherwise be trained in half precision, optimiser state included.
            model_kwargs={"dtype": torch.float32},
        )  # fmt: skip

    def embed(
        self, model: Encoder, texts: Sequence[str], *, batch_size: int, side: Side | None = None
    ) -> NDArray[np.float32]:
        from stsflow.tasks.models.encode import encode_distinct

        return encode_distinct(model, texts, batch_size=batch_size, side=side)

    def score(
        self, model: Encoder, firsts: Sequence[str], seconds: Sequence[str], *, batch_size: int, alike: bool
    ) -> NDArray[np.float32]:
        import numpy as np

        first = self.embed(model, firsts, batch_size=batch_size, side=None if alike else "query")
        second = self.embed(model, seconds, batch_size=batch_size, side=None if alike else "document")
        return np.asarray(model.similarity_pairwise(first, second), np.float32)

    def save(self, model: Encoder, folder: Path) -> None:
        from stsflow.tasks.models.length import NO_LENGTH
        from stsflow.tasks.models.older_readers import add_older_words

        model.save_pretrained(str(folder), create_model_card=False)
        longest = model.max_seq_length
        add_older_words(folder, longest if longest is not None and longest < NO_LENGTH else None)

    def describe(self, model: Encoder) -> Described:
        return Described(
            architecture=str(model),
            dimension=int(model.get_embedding_dimension() or 0),
            max_seq_length=model.max_seq_length,
            similarity=str(model.similarity_fn_name or "cosine"),
        )

    def flatten(self, model: Encoder, asked: Literal["auto", "on", "off"], device: str, precision: str) -> LeverState:
        from stsflow.tasks.models.padding_free import enable_padding_free

        return enable_padding_free(model, asked, device, cast("Precision", precision))

    def trainer_class(self) -> type[Any]:
        from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer

        return SentenceTransformerTrainer  # type: ignore[no-any-return]  # the library has no types

    def arguments_class(self) -> type[Any]:
        from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

        return SentenceTransformerTrainingArguments  # type: ignore[no-any-return]  # the library has no types

    def usage(self, model_id: str, texts: Sequence[str], dimension: int, prompts: Prompts, *, remote_code: bool) -> str:
        count, trust = len(texts), ", trust_remote_code=True" if remote_code else ""
        named = f", prompt_name={json.dumps(prompts.default, ensure_ascii=False)}" if prompts.of(None) else ""
        lines = [
            f"from sentence_transformers import {self.library_class}",
            "",
            f"model = {self.library_class}({model_id}{trust})",
            "sentences = [",
            *(f"    {text}," for text in texts),
            "]",
            f"embeddings = model.encode(sentences{named})",
            "print(embeddings.shape)",
            f"# ({count}, {dimension})",
            "",
            "similarities = model.similarity(embeddings, embeddings)",
            "print(similarities.shape)",
            f"# torch.Size([{count}, {count}])",
        ]
        if prompts.of("query") != prompts.of("document"):
            lines += [
                "",
                "# In search, queries and documents have prompts of their own:",
                "queries = model.encode_query(sentences[:1])",
                "documents = model.encode_document(sentences[1:])",
                "print(model.similarity(queries, documents).shape)",
                f"# torch.Size([1, {count - 1}])",
            ]
        return "\n".join(lines)
