"""`python -m stsflow.tasks.merging.worker SPEC`: average base and tuned model in a process of its own.

The base model is loaded as the training loaded it and saved once, so that both have their tensors under the same names.
Ends with 2 when the two cannot be averaged, its log with the sentence that says why.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import refusal_ends_the_process
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.models import BaseModelRef


class MergeSpec(Record):
    """What the worker is asked to do."""

    base: BaseModelRef
    tuned: tuple[Path, ...]
    """The tuned model, or the models whose mean it is."""
    seed: int
    """Of the training: what the base model's files lack is drawn as it was there."""
    targets: dict[float, Path]
    """By share of the tuned model, the empty folder for its average with the base model; of 1 alone, for their mean."""


def merge(spec: MergeSpec) -> None:
    """Fill the folders of all weights."""
    with without_collection():
        from transformers import set_seed

        from stsflow.tasks.merging.average import average
        from stsflow.tasks.models.kinds import ModelKind
        from stsflow.tasks.models.loading import load_encoder

    with tempfile.TemporaryDirectory(prefix=".base.", dir=next(iter(spec.targets.values())).parent) as folder:
        set_seed(spec.seed)
        model = load_encoder(spec.base, device="cpu", pooling=spec.base.pooling)
        ModelKind.named(spec.base.model_kind).save(model, Path(folder))
        del model
        for weight, target in spec.targets.items():
            shares = dict.fromkeys(spec.tuned, weight / len(spec.tuned))
            average(shares if weight == 1 else {Path(folder): 1 - weight} | shares, target)


def main() -> None:
    """Do what the spec says that the command line names."""
    guard()
    with refusal_ends_the_process():
        merge(MergeSpec.load(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
