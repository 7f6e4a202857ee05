"""What rows become: triplets, n-tuples, pairs, pairs with a score or a label, scored lists, translations, texts.

A shape names the columns of its source (dotted for nested fields: `labels.label`) and says which columns come out:

| shape | columns that come out |
|---|---|
| `nli_triplets`, `triplets` | anchor, positive, negative: str, stripped, non-empty |
| `pairs` | anchor, positive: str, stripped, non-empty |
| `n_tuples` | anchor, positive, negative_1, negative_2, …: str, stripped, non-empty |
| `taught` | as of n-tuples, and scores: list of float, one for each text beside the anchor |
| `labelled_pairs` | sentence1, sentence2: str, stripped, non-empty; label: 0 or 1 |
| `parallel` | source, translation: str, stripped, non-empty |
| `texts` | text: str, stripped, non-empty |
| `scored_pairs` | sentence1, sentence2: str, stripped, non-empty; score: float in 0..1 |

Judged pairs, the shape of retrieval suites, are scored pairs whose sentence1 may be empty.
"""

from __future__ import annotations

from stsflow.tasks.shapes.family import Roles, Shape
from stsflow.tasks.shapes.labelled_pairs import LabelledPairs
from stsflow.tasks.shapes.n_tuples import NTuples
from stsflow.tasks.shapes.nli_triplets import NliTriplets
from stsflow.tasks.shapes.pairs import Pairs
from stsflow.tasks.shapes.parallel import Parallel
from stsflow.tasks.shapes.scored_pairs import JudgedPairs, ScoredPairs
from stsflow.tasks.shapes.taught import Taught
from stsflow.tasks.shapes.texts import Texts
from stsflow.tasks.shapes.triplets import Triplets

__all__ = [
    "JudgedPairs", "LabelledPairs", "NTuples", "NliTriplets", "Pairs", "Parallel", "Roles", "ScoredPairs",
    "Shape", "Taught", "Texts", "Triplets",
]  # fmt: skip
