"""Which weight of the curve becomes the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stsflow.tasks.records.merging import MergePoint


def chosen_weight(points: Sequence[MergePoint], suite: str, gain: Callable[[float], float]) -> float:
    """Of the weights that keep every guard, the one that is best on `suite`; of equals the largest.

    The base model itself is never chosen. Where no weight keeps the guards, it is 1: the tuned model, which the gate
    refuses. `gain` makes a score one of which more is better; one that is not defined is worse than any.
    """
    kept = [point for point in points if point.weight > 0 and point.keeps_guards]

    def worth(point: MergePoint) -> tuple[bool, float, float]:
        value = gain(point.scores[suite])
        return (value == value, value if value == value else 0.0, point.weight)

    return max(kept, key=worth).weight if kept else 1.0
