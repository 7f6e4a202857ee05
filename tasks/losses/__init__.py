"""The training losses that a recipe can name: one file a kind, all below `Loss`, which says what a loss must tell."""

from stsflow.tasks.losses.adaptive_layer import AdaptiveLayer
from stsflow.tasks.losses.angle import AnglE
from stsflow.tasks.losses.cached_gist import CachedGist
from stsflow.tasks.losses.cached_multiple_negatives_ranking import CachedMultipleNegativesRanking
from stsflow.tasks.losses.contrastive import Contrastive
from stsflow.tasks.losses.cosent import CoSENT
from stsflow.tasks.losses.cosine_similarity import CosineSimilarity
from stsflow.tasks.losses.distill_kl_div import DistillKLDiv
from stsflow.tasks.losses.embed_distill import EmbedDistill
from stsflow.tasks.losses.family import Loss, PlainLoss
from stsflow.tasks.losses.gist import Gist
from stsflow.tasks.losses.margin_mse import MarginMSE
from stsflow.tasks.losses.matryoshka import Matryoshka
from stsflow.tasks.losses.matryoshka_2d import Matryoshka2d
from stsflow.tasks.losses.mse import EmbeddingMSE
from stsflow.tasks.losses.multiple_negatives_ranking import MultipleNegativesRanking
from stsflow.tasks.losses.online_contrastive import OnlineContrastive
from stsflow.tasks.losses.triplet import TripletMargin

__all__ = [
    "AdaptiveLayer", "AnglE", "CachedGist", "CachedMultipleNegativesRanking", "CoSENT", "Contrastive",
    "CosineSimilarity", "DistillKLDiv", "EmbedDistill", "EmbeddingMSE", "Gist", "Loss", "MarginMSE", "Matryoshka",
    "Matryoshka2d", "MultipleNegativesRanking", "OnlineContrastive", "PlainLoss", "TripletMargin",
]  # fmt: skip
