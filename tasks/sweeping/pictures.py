"""Pictures of a sweep, as Optuna draws them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from stsflow.tasks.sweeping.trials import Trials, calm

logger = logging.getLogger(__name__)


def draw_trials(trials: Trials, folder: Path) -> tuple[Path, ...]:
    """PNG files in `folder`: scores in the order of the trials, and scores by settings."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as drawings

    folder.mkdir(parents=True, exist_ok=True)
    found = []
    draws: dict[str, Any] = {
        "history": drawings.plot_optimization_history, "settings": drawings.plot_parallel_coordinate,
    }  # fmt: skip
    for name, draw in draws.items():
        path = folder / f"{name}.png"
        try:
            with calm():
                drawn = draw(trials.study)
                drawn.figure.savefig(path, dpi=150, bbox_inches="tight")
                pyplot.close(drawn.figure)
        except (ValueError, RuntimeError) as error:  # a picture must not cost a sweep
            logger.warning("the picture %s could not be drawn: %s", path.name, error)
            continue
        found.append(path)
    return tuple(found)
