"""What a model is measured on. Each kind of suite states its data, its metrics and its primary metric.

| kind | data | metrics |
|---|---|---|
| `sts` | pairs with a gold score | Pearson and Spearman of five similarities |
| `matryoshka` | the same | the two of the cosine, with embeddings cut to several sizes |
| `quantised` | the same | the two of the cosine, with embeddings of an index in fewer bits |
| `triplets` | anchor, positive, negative | share of rows whose positive is closer than the negative |
| `retrieval` | judged query and passage pairs | nDCG, MRR, MAP, recall, precision of the first k |
| `quantised_retrieval` | the same | the same, from an index in fewer bits |
| `mteb` | a task of the package `mteb`, by name | that task's main score |

The family is in `family.py`; each kind has a file of its own, whose top imports nothing heavy.
"""

from stsflow.tasks.suites.family import Metric, Suite, SuiteOfRows, require_suites, suites_of_rows  # isort: skip
from stsflow.tasks.suites.sts import STS_METRICS, StsSuite  # isort: skip - the order in which messages name them
from stsflow.tasks.suites.matryoshka import MatryoshkaSuite  # isort: skip
from stsflow.tasks.suites.quantised import QuantisedSuite  # isort: skip
from stsflow.tasks.suites.triplets import TripletSuite  # isort: skip
from stsflow.tasks.suites.retrieval import RetrievalSuite  # isort: skip
from stsflow.tasks.suites.quantised_retrieval import QuantisedRetrievalSuite  # isort: skip
from stsflow.tasks.suites.mteb import MtebSuite  # isort: skip

__all__ = [
    "STS_METRICS", "MatryoshkaSuite", "Metric", "MtebSuite", "QuantisedRetrievalSuite", "QuantisedSuite",
    "RetrievalSuite", "StsSuite", "Suite", "SuiteOfRows", "TripletSuite", "require_suites", "suites_of_rows",
]  # fmt: skip
