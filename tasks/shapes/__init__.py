"""What rows become: triplets, pairs, or pairs with a score.

A shape names the columns of its source (dotted for nested fields: `labels.label`) and says which columns come out:

| shape | columns that come out |
|---|---|
| `nli_triplets`, `triplets` | anchor, positive, negative: str, stripped, non-empty |
| `pairs` | anchor, positive: str, stripped, non-empty |
| `scored_pairs` | sentence1, sentence2: str, stripped, non-empty; score: float in 0..1 |

Judged pairs, the shape of retrieval suites, are scored pairs whose sentence1 may be empty.
"""

from __future__ import annotations

from stsflow.tasks.shapes.family import Roles, Shape
from stsflow.tasks.shapes.nli_triplets import NliTriplets
from stsflow.tasks.shapes.pairs import Pairs
from stsflow.tasks.shapes.scored_pairs import JudgedPairs, ScoredPairs
from stsflow.tasks.shapes.triplets import Triplets

__all__ = ["JudgedPairs", "NliTriplets", "Pairs", "Roles", "ScoredPairs", "Shape", "Triplets"]
