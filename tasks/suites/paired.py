"""How two models are compared on the same rows, from the per-row values that scoring left of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from stsflow.tasks.statistics.correlation import Floats
    from stsflow.tasks.statistics.many import UnderSwaps

Rows = Mapping[str, Any]
"""Columns of a suite's file of per-row values."""


class Paired(Protocol):
    """A metric that follows from values of single rows."""

    def resampled(self, models: Sequence[Rows], resamples: int, seed: int) -> Floats:
        """The metric of each model in each of `resamples` resamples of the rows, (models, resamples); `nan` where it is
        not defined. All models see the same resamples, so that two lines may be subtracted."""

    def p_value(self, first: Rows, second: Rows, permutations: int, seed: int) -> float | None:
        """Two-sided, by permutation of the models within rows; None where it is not defined."""

    def under_swaps(self, first: Rows, second: Rows) -> UnderSwaps | None:
        """Second minus first for each exchange of the models within rows; None where it is not defined."""

    def quality(self, rows: Rows) -> Floats:
        """How right the model is on each row; higher is better."""


@dataclass(frozen=True)
class Correlation:
    """A correlation with the column `gold`; of several columns, the highest one."""

    kind: Literal["pearson", "spearman"]
    columns: tuple[str, ...]

    def resampled(self, models: Sequence[Rows], resamples: int, seed: int) -> Floats:
        """The metric of each model in each resample."""
        import numpy as np

        from stsflow.tasks.statistics.bootstrap import bootstrap_correlations, maximum_over

        columns = {f"{model}_{name}": rows[name] for model, rows in enumerate(models) for name in self.columns}
        values = bootstrap_correlations(models[0]["gold"], columns, resamples, seed)[self.kind]
        return np.stack(
            [maximum_over([values[f"{model}_{name}"] for name in self.columns]) for model in range(len(models))]
        )

    def p_value(self, first: Rows, second: Rows, permutations: int, seed: int) -> float | None:
        """None for the highest of several, which is not one similarity."""
        from stsflow.tasks.statistics.permutation import paired_permutation_p

        if len(self.columns) > 1:
            return None
        (name,) = self.columns
        found = paired_permutation_p(first["gold"], first[name], second[name], self.kind, permutations, seed)
        return None if isnan(found) else found

    def under_swaps(self, first: Rows, second: Rows) -> UnderSwaps | None:
        """None for the highest of several."""
        from stsflow.tasks.statistics.permutation import correlations_under_swaps

        if len(self.columns) > 1:
            return None
        (name,) = self.columns
        return correlations_under_swaps(first["gold"], first[name], second[name], self.kind)

    def quality(self, rows: Rows) -> Floats:
        """Minus how far the row's rank by the model lies from its rank by gold scores, as a share of all ranks."""
        import numpy as np

        from stsflow.tasks.statistics.correlation import midranks

        off = np.abs(midranks(rows[self.columns[0]]) - midranks(rows["gold"]))
        return np.asarray(-off / max(1, len(off) - 1), dtype=np.float64)


@dataclass(frozen=True)
class MeanOfRows:
    """The mean of a column."""

    column: str

    def resampled(self, models: Sequence[Rows], resamples: int, seed: int) -> Floats:
        """The metric of each model in each resample."""
        import numpy as np

        from stsflow.tasks.statistics.bootstrap import bootstrap_means

        columns = {str(model): rows[self.column] for model, rows in enumerate(models)}
        means = bootstrap_means(columns, resamples, seed)
        return np.stack([means[str(model)] for model in range(len(models))])

    def p_value(self, first: Rows, second: Rows, permutations: int, seed: int) -> float | None:
        """By turning the sign of single rows' differences."""
        from stsflow.tasks.statistics.permutation import paired_mean_permutation_p

        return paired_mean_permutation_p(first[self.column], second[self.column], permutations, seed)

    def under_swaps(self, first: Rows, second: Rows) -> UnderSwaps | None:
        """By turning the sign of single rows' differences."""
        from stsflow.tasks.statistics.permutation import means_under_swaps

        return means_under_swaps(first[self.column], second[self.column])

    def quality(self, rows: Rows) -> Floats:
        """The row's own value."""
        import numpy as np

        return np.asarray(rows[self.column], dtype=np.float64)
