"""What a model is measured on: the family of suites, and what the rest of the product must know of each kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, JsonValue

from stsflow.tasks.ground.family import Kind
from stsflow.tasks.ground.names import Language, Licence
from stsflow.tasks.ground.schema import MOST_ROWS
from stsflow.tasks.shapes import Roles, Shape
from stsflow.tasks.sources import Source

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from stsflow.tasks.evaluation.scoring import Scoring
    from stsflow.tasks.records.data import PreparedSet
    from stsflow.tasks.records.evaluation import SuiteScores
    from stsflow.tasks.records.models import BaseModelRef
    from stsflow.tasks.records.quality import SuiteQuality
    from stsflow.tasks.suites.paired import Paired


@dataclass(frozen=True)
class Metric:
    """What is known of a metric, whatever it came out as."""

    low: float = -inf
    high: float = inf
    higher_is_better: bool = True
    paired: Paired | None = None
    """How two models are compared by it on the same rows; None: it does not follow from values of single rows."""

    def gain(self, difference: float) -> float:
        """A score, or the difference of two, with the sign that makes more of it better."""
        return difference if self.higher_is_better else -difference


class Suite(Kind):
    """One thing that a model is measured on.

    A kind states its metrics, how a model is scored, and the words in which that is told.
    """

    split: str = ""
    """Name of the split for the card, such as `dev` or `test`; default: the suite's own name."""
    title: str = ""
    """Name for the card; default: the suite's own name."""
    language: tuple[Language, ...] = ()
    """Language codes of the texts."""
    license: Licence = ""
    """Licence of the data (SPDX identifier, lower case)."""
    expect_rows: int | None = Field(default=None, ge=1, le=MOST_ROWS)
    """Rows that the source must have; another number is refused."""

    heading: ClassVar[str] = "Evaluation"
    """What it measures, as a heading of the card."""
    task_type: ClassVar[str] = "sentence-similarity"
    """What it measures, as the hub calls it in a card's header."""
    measured_as: ClassVar[str] = ""
    """A sentence of the card, in markdown and without its full stop, on how it measures."""
    brings: ClassVar[str] = ""
    """What it has its rows from, when the data stage prepares none."""
    looked_at_first: ClassVar[tuple[str, ...]] = ()
    """Metrics that a person looks at first, in short tables; none: all of them."""
    texts_of_rows: ClassVar[tuple[str, ...]] = ()
    """Columns of its file of per-row values that hold texts, by which slices of the rows are made; none: there are no
    slices."""
    chooses_by: ClassVar[str] = ""
    """Function (`package.module:name`) that gives its metrics while a model trains, without files and intervals, of the
    columns of its rows and of `embed`, which gives the embeddings of lists of texts; empty: no checkpoint is chosen on
    it. Named and not imported: a training is made again when this function changes, and for nothing else of a suite."""

    measures: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    """What a model must give to be measured on it, one of these; see `ModelKind.gives`."""

    @property
    def chooses_with(self) -> dict[str, JsonValue]:
        """What that function needs of this suite besides, by the names of its parameters."""
        return {}

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of its metrics, in the order of its tables."""

    @property
    @abstractmethod
    def primary(self) -> str:
        """The metric that it is judged by where none is named."""

    @classmethod
    @abstractmethod
    def metric(cls, name: str) -> Metric:
        """What is known of the metric `name`, of any suite of this kind."""

    @abstractmethod
    def score(self, scoring: Scoring) -> SuiteScores:
        """Score one model on this suite; leaves its files in the scoring's folder."""

    @property
    def reference(self) -> str:
        """What is scored on its rows without a model, for comparison, such as `bm25`; empty: nothing is."""
        return ""

    def score_reference(self, data: PreparedSet, pairs: Path) -> dict[str, float]:
        """The metrics of the reference on these rows; writes its per-row values to the parquet file `pairs`."""
        raise NotImplementedError

    @property
    def roles(self) -> Roles | None:
        """What the columns of its rows are for; None where the data stage prepares none."""
        return None

    @property
    def symmetric(self) -> bool:
        """Whether its texts are all alike; see `Shape.symmetric`."""
        return False

    @property
    def scores_embeddings(self) -> bool:
        """Whether it asks for nothing but embeddings of rows that the data stage prepares, whoever gives them."""
        return False

    def require(self, where: str, base: BaseModelRef) -> None:
        """Raise RecipeError or PreconditionError when no model made from `base` can be scored on it here.

        `where` is its place in the recipe.
        """

    def why_undefined(self, name: str, rows: pa.Table) -> str:  # noqa: ARG002 - for kinds that need it
        """Why its metrics are not defined on these rows, in words; empty when they are.

        Raises DataError for rows on which no model can be scored at all; `name` is the suite's.
        """
        return ""


class SuiteOfRows(Suite):
    """A suite whose rows the data stage prepares; any other brings its own data."""

    source: Source
    """Where the rows come from."""
    shape: Shape
    """What the rows become."""

    @property
    def roles(self) -> Roles:
        """Those of its shape."""
        return self.shape.roles

    def quality(self, rows: pa.Table) -> SuiteQuality | None:  # noqa: ARG002 - for kinds that can tell
        """What is known of the rows by themselves; None where nothing is."""
        return None

    @property
    def scores_embeddings(self) -> bool:
        """Where it measures models by their embeddings."""
        return "embeddings" in self.measures

    @property
    def symmetric(self) -> bool:
        """As the shape of its rows has it."""
        return self.shape.symmetric


def suites_of_rows(suites: Mapping[str, Suite]) -> dict[str, SuiteOfRows]:
    """Those of `suites` whose rows the data stage prepares."""
    return {name: suite for name, suite in suites.items() if isinstance(suite, SuiteOfRows)}


def require_suites(suites: Mapping[str, Suite], base: BaseModelRef) -> None:
    """Raise when a suite cannot be scored on a model made from `base`; see `Suite.require`."""
    for name, suite in suites.items():
        suite.require(f"evaluation.suites.{name}", base)
