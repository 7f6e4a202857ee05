"""The kinds of model, one file a kind below `ModelKind`. Dense text encoders are what is trained and measured here."""

from stsflow.tasks.models.kinds.bi_encoder import BiEncoder, Encoder
from stsflow.tasks.models.kinds.cross_encoder import CrossEncoder
from stsflow.tasks.models.kinds.family import Described, ModelKind
from stsflow.tasks.models.kinds.others import EMBEDDINGS, kind_told_by, sign_of_encoder, sign_of_modules

__all__ = [
    "EMBEDDINGS", "BiEncoder", "CrossEncoder", "Described", "Encoder", "ModelKind", "kind_told_by", "sign_of_encoder",
    "sign_of_modules",
]  # fmt: skip
