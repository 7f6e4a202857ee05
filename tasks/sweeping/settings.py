"""How a sweep is run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stsflow.tasks.ground.schema import LARGEST_SEED, Section
from stsflow.tasks.recipe.sections.bounds import MOST_SEEDS
from stsflow.tasks.sweeping.places import Place, Threads
from stsflow.tasks.sweeping.space import SearchSpace

Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "halving", "none"]


class SweepConfig(Section):
    """A sweep over the settings of one recipe."""

    space: SearchSpace
    """What is tried."""
    trials: int = Field(ge=1, le=100_000)
    """How many in all, those of earlier starts of the same sweep counted."""
    parallel: int = Field(default=1, ge=1, le=1_000)
    """Trials at a time."""
    place: Place = Threads()
    """Where their trainers run."""
    sampler: Sampler = "tpe"
    """`tpe`: by what the trials before scored (Tree-structured Parzen Estimator); `random`: whatever they did."""
    pruner: Pruner = "median"
    """`median`: end a trial below the median of those that are done, at the same evaluation; `halving`: end the worse
    half of all at evaluations 1, 2, 4, 8 and so on; `none`: run every trial to its end."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Of the sampler."""
    confirm_seeds: int = Field(default=0, ge=0, le=MOST_SEEDS)
    """Train the best trials once more under this many other seeds, and choose by the mean."""
