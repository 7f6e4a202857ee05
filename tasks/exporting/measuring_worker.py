"""`python -m stsflow.tasks.exporting.measuring_worker SPEC`: measure one export in a process without PyTorch."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from stsflow.tasks.exporting.measure import MeasuringSpec, measure_export
from stsflow.tasks.exports import Export
from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import refusal_ends_the_process
from stsflow.tasks.ground.schema import Record


class MeasuredSpec(Record):
    """What is to be measured, and where the figures go."""

    export: Export
    measuring: MeasuringSpec
    result: Path


def main() -> None:
    """Do what the spec says that the command line names."""
    guard()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    spec = MeasuredSpec.load(Path(sys.argv[1]))
    with refusal_ends_the_process():
        texts = json.loads(spec.measuring.texts.read_text(encoding="utf-8"))
        measure_export(spec.measuring, spec.export.reader(spec.measuring.folder), texts).write(spec.result)


if __name__ == "__main__":
    main()
