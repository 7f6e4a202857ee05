"""The whole recipe, typed, a file for each section. A default lives here, next to its type and its meaning."""

from stsflow.tasks.recipe.sections.card import CardConfig
from stsflow.tasks.recipe.sections.data import DataConfig, LeakageConfig, Policy, TrainingSet
from stsflow.tasks.recipe.sections.drift import DriftConfig
from stsflow.tasks.recipe.sections.evaluation import EvaluationConfig, GuardedSuite
from stsflow.tasks.recipe.sections.mining import CorpusFile, MiningConfig
from stsflow.tasks.recipe.sections.model import ModelConfig, PromptsConfig, TeacherConfig
from stsflow.tasks.recipe.sections.plan import PlanConfig, TokensConfig
from stsflow.tasks.recipe.sections.release import ApprovalConfig, MergeConfig, PushConfig, ReleaseConfig
from stsflow.tasks.recipe.sections.run import RunConfig
from stsflow.tasks.recipe.sections.tracking import TrackingConfig
from stsflow.tasks.recipe.sections.training import AdapterConfig, TrainingConfig

__all__ = [
    "AdapterConfig",
    "ApprovalConfig",
    "CardConfig",
    "CorpusFile",
    "DataConfig",
    "DriftConfig",
    "EvaluationConfig",
    "GuardedSuite",
    "LeakageConfig",
    "MergeConfig",
    "MiningConfig",
    "ModelConfig",
    "PlanConfig",
    "Policy",
    "PromptsConfig",
    "PushConfig",
    "ReleaseConfig",
    "RunConfig",
    "TeacherConfig",
    "TokensConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TrainingSet",
]
