"""`python -m stsflow.tasks.exporting.worker SPEC`: make the folder of one export in a process of its own.

Ends with 2 when the model cannot be had in this form, its log with the sentence that says why.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stsflow.tasks.exporting.making import Making, write_manifest
from stsflow.tasks.exports import Export
from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import refusal_ends_the_process
from stsflow.tasks.ground.family import kinds_of_other_packages
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.records.prompts import Prompts

kinds_of_other_packages()  # before the spec below, whose field takes the kinds that are known by then


class MakingSpec(Record):
    """What the worker is asked to make."""

    export: Export
    model: Path
    """Folder of the tuned model."""
    model_digest: str
    weights_sha256: str
    similarity: str
    folder: Path
    """Empty, to be filled."""
    source: Path | None
    """Folder of the export that this one is made from."""
    texts: tuple[str, ...]
    """Training texts behind their prompts, where it calibrates."""
    result: Path


class Made(Record):
    """What became of it."""

    dimension: int


def make(spec: MakingSpec) -> None:
    """Fill the folder and leave the result."""
    folder = ModelFolder.open(spec.model)
    making = Making(spec.model, spec.folder, spec.source, spec.texts)
    besides = spec.export.make(making)
    prompts = folder.own_prompts() if spec.export.takes_prompts else Prompts()
    dimension = write_manifest(
        spec.export, spec.folder, model_digest=spec.model_digest, weights_sha256=spec.weights_sha256,
        prompts=prompts, max_seq_length=folder.own_max_seq_length, similarity=spec.similarity,
        besides=besides,
    )  # fmt: skip
    Made(dimension=dimension).write(spec.result)


def main() -> None:
    """Do what the spec says that the command line names."""
    guard()
    with refusal_ends_the_process():
        make(MakingSpec.load(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
