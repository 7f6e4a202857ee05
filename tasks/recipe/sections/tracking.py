"""`tracking`: where the record goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stsflow.tasks.ground.names import LONGEST_TAG_VALUE, ExperimentName, TagName
from stsflow.tasks.ground.schema import Section


class TrackingConfig(Section):
    """Where the record goes."""

    experiment: ExperimentName = "stsflow"
    """MLflow experiment."""
    log_model: bool = True
    """Log the tuned model to MLflow (sentence-transformers flavour)."""
    tags: dict[TagName, Annotated[str, Field(max_length=LONGEST_TAG_VALUE)]] = Field(default={}, max_length=100)
    """Further tags of the MLflow run."""
