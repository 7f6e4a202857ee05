"""How two models are compared on the same rows, from the per-row values that scoring left of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from stsflow.tasks.statistics.correlation import Floats

Rows = Mapping[str, Any]
"""Columns of a suite's file of per-row values."""


class Paired(Protocol):
    """A metric that follows from values of single rows."""

    def differences(self, first: Rows, second: Rows, resamples: int, seed: int) -> Floats:
        """Second minus first in each of `resamples` resamples of the rows; `nan` where a value is not defined."""

    def p_value(self, first: Rows, second: Rows, permutations: int, seed: int) -> float | None:
        """Two-sided, by permutation of the models within rows; None where it is not defined."""


@dataclass(frozen=True)
class Correlation:
    """A correlation with the column `gold`; of several columns, the highest one."""

    kind: Literal["pearson", "spearman"]
    columns: tuple[str, ...]

    def differences(self, first: Rows, second: Rows, resamples: int, seed: int) -> Floats:
        """Second minus first in each resample."""
        from stsflow.tasks.statistics.bootstrap import bootstrap_correlations, maximum_over

        both = {f"{model}_{name}": rows[name] for model, rows in ((1, first), (2, second)) for name in self.columns}
        values = bootstrap_correlations(first["gold"], both, resamples, seed)[self.kind]
        best = {model: maximum_over([values[f"{model}_{name}"] for name in self.columns]) for model in (1, 2)}
        return best[2] - best[1]

    def p_value(self, first: Rows, second: Rows, permutations: int, seed: int) -> float | None:
        """None for the highest of several, which is not one similarity."""
        from stsflow.tasks.statistics.permutation import paired_permutation_p

        if len(self.columns) > 1:
            return None
        (name,) = self.columns
        found = paired_permutation_p(first["gold"], first[name], second[name], self.kind, permutations, seed)
        return None if isnan(found) else found


@dataclass(frozen=True)
class MeanOfRows:
    """The mean of a column."""

    column: str

    def differences(self, first: Rows, second: Rows, resamples: int, seed: int) -> Floats:
        """Second minus first in each resample."""
        from stsflow.tasks.statistics.bootstrap import bootstrap_means

        means = bootstrap_means({"1": first[self.column], "2": second[self.column]}, resamples, seed)
        return means["2"] - means["1"]

    def p_value(self, first: Rows, second: Rows, permutations: int, seed: int) -> float | None:
        """By turning the sign of single rows' differences."""
        from stsflow.tasks.statistics.permutation import paired_mean_permutation_p

        return paired_mean_permutation_p(first[self.column], second[self.column], permutations, seed)
