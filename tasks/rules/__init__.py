"""When a candidate may become champion: typed rules, all of which must hold.

The family is in `family.py`, what rules look at in `candidacy.py`; each kind has a file of its own.
"""

from stsflow.tasks.rules.family import Rule  # isort: skip - the kinds stand in the order in which messages name them
from stsflow.tasks.rules.beats_base import BeatsBase  # isort: skip
from stsflow.tasks.rules.beats_champion import BeatsChampion  # isort: skip
from stsflow.tasks.rules.not_worse import NotWorse  # isort: skip
from stsflow.tasks.rules.no_slice_worse import NoSliceWorse  # isort: skip
from stsflow.tasks.rules.minimum_score import MinimumScore  # isort: skip
from stsflow.tasks.rules.maximum_size import MaximumSize  # isort: skip
from stsflow.tasks.rules.maximum_latency import MaximumLatency  # isort: skip
from stsflow.tasks.rules.no_unexplained_leakage import NoUnexplainedLeakage  # isort: skip

__all__ = [
    "BeatsBase", "BeatsChampion", "MaximumLatency", "MaximumSize", "MinimumScore", "NoSliceWorse",
    "NoUnexplainedLeakage", "NotWorse", "Rule",
]  # fmt: skip
