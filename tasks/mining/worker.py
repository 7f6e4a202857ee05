"""Mining in a process of its own: `python -m stsflow.tasks.mining.worker SPEC` mines sets, writes their rows.

The flow's process stays free of torch. Nothing of the size of a corpus is in memory but its texts, in Arrow: embeddings
lie on the disk, candidates come for some anchors at a time and are filtered at once.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import refusal_ends_the_process
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.mining.request import RESULT, MiningResult, MiningSpec


def main() -> None:
    """Read the spec that the command line names, mine its sets, leave `mined.json` in its folder.

    Ends with 2 when something is refused, its log with the sentence that says why.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    spec = MiningSpec.load(Path(sys.argv[1]))
    with without_collection():
        from stsflow.tasks.mining.mine import mined_sets
    with refusal_ends_the_process():
        MiningResult(sets=mined_sets(spec)).write(spec.folder / RESULT)


if __name__ == "__main__":
    guard()
    main()
