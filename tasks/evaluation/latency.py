"""How long a model takes for one text alone, measured so that other work on the machine does not decide it.

The same few texts are encoded in several blocks. Other work can only make a block slower, so the best one counts.
Where every block was disturbed, the processor time of the process bounds it: on a CPU some thread of ours computes at
every moment of an undisturbed encoding, so that all threads together never take less than it would. The smaller of the
two is therefore never below the latency on a quiet machine, and load cannot raise it above the processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from stsflow.tasks.records.evaluation import Latency

TEXTS, BLOCKS = 16, 5
LONGEST_SECONDS = 20.0
"""No further block is begun after this; a large model has taken long enough by then."""


def measure_latency(
    encode: Callable[[str], object],
    texts: Sequence[str],
    *,
    on_cpu: bool,
    wall: Callable[[], float] = time.perf_counter,
    processor: Callable[[], float] = time.process_time,
) -> Latency | None:
    """Medians over texts spread over `texts`, of the best block; None without texts.

    `on_cpu` is false where a GPU does the work: the processor's time says nothing of it then.
    """
    chosen = texts[:: max(1, len(texts) // TEXTS)][:TEXTS]
    if not chosen:
        return None
    encode(chosen[0])  # whatever the first call sets up is no latency
    began = wall()
    walls: list[float] = []
    processors: list[float] = []
    while len(walls) < BLOCKS and (not walls or wall() - began < LONGEST_SECONDS):
        taken = [_one(encode, text, wall, processor) for text in chosen]
        walls.append(1000.0 * median(seconds for seconds, _ in taken))
        processors.append(1000.0 * median(seconds for _, seconds in taken))
    best = min(walls)
    return Latency(
        milliseconds=min(best, *processors) if on_cpu else best,
        wall_best=best, wall_worst=max(walls), processor=min(processors), blocks=len(walls), texts=len(chosen),
    )  # fmt: skip


def _one(
    encode: Callable[[str], object], text: str, wall: Callable[[], float], processor: Callable[[], float]
) -> tuple[float, float]:
    from_wall, from_processor = wall(), processor()
    encode(text)
    return wall() - from_wall, processor() - from_processor
