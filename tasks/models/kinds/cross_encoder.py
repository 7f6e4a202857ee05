"""Models that read two texts together and give a score; they have no embeddings, and help to train models that have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.models.kinds.family import Described, ModelKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CrossEncoder(ModelKind):
    """A transformer with a head that gives one number for a pair of texts."""

    kind: Literal["cross_encoder"] = "cross_encoder"
    told_by: ClassVar[frozenset[str]] = frozenset(
        {"CrossEncoder", "sequence-classification", "ForSequenceClassification"}
    )
    library_class: ClassVar[str] = "CrossEncoder"
    gives: ClassVar[str] = "scores"

    def check(self, path: Path, config: Mapping[str, Any]) -> None:
        labels = config.get("id2label")
        if (count := len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)) != 1:
            raise ModelError(
                f"{path} gives {count} numbers for a pair of texts; one is needed, a score (num_labels: 1)."
            )

    def functions_named(self, config: Mapping[str, Any], library: Mapping[str, Any]) -> tuple[object, ...]:
        own = config.get("sentence_transformers")
        return (
            library.get("activation_fn"), config.get("sbert_ce_default_activation_function"),
            own.get("activation_fn") if isinstance(own, dict) else own,
        )  # fmt: skip

    def load(self, path: Path, *, device: str, remote_code: bool) -> Any:
        import torch
        from sentence_transformers import CrossEncoder as Library

        return Library(
            str(path), device=device, local_files_only=True, trust_remote_code=remote_code,
            model_kwargs={"dtype": torch.float32},
        )  # fmt: skip

    def describe(self, model: Any) -> Described:
        return Described(architecture=str(model), dimension=0, max_seq_length=model.max_seq_length, similarity="")

    def score(
        self, model: Any, firsts: Sequence[str], seconds: Sequence[str], *, batch_size: int, alike: bool
    ) -> NDArray[np.float32]:
        import numpy as np

        del alike  # it reads both in one
        pairs = list(zip(firsts, seconds, strict=True))
        found = model.predict(pairs, batch_size=batch_size, show_progress_bar=False)
        return np.asarray(found, np.float32).reshape(len(pairs))
