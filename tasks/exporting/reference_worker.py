"""`python -m stsflow.tasks.exporting.reference_worker SPEC`: what exports are held to, of the tuned model itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stsflow.tasks.exporting.measure import TEXTS_OF_A_BATCH, measure_speed
from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import refusal_ends_the_process
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.exports import Speed


class ReferenceSpec(Record):
    """The model, and where its embeddings go."""

    model: Path
    texts: Path
    """JSON list of the sample, prompts before its texts."""
    embeddings: Path
    """The .npy file to write."""
    result: Path


class ModelSpeed(Record):
    """How fast it is on the CPU."""

    speed: tuple[Speed, ...]


def embed(spec: ReferenceSpec) -> None:
    """Write the embeddings of the sample in float32 and how fast they come."""
    with without_collection():
        import numpy as np

        from stsflow.tasks.models.encode import encode_distinct
        from stsflow.tasks.models.loading import load_encoder

    texts = json.loads(spec.texts.read_text(encoding="utf-8"))
    model = load_encoder(spec.model, device="cpu").eval()
    np.save(spec.embeddings, encode_distinct(model, texts, batch_size=TEXTS_OF_A_BATCH, prompt=""))
    speed = measure_speed(
        lambda some: model.encode(list(some), prompt="", batch_size=TEXTS_OF_A_BATCH, show_progress_bar=False), texts
    )
    ModelSpeed(speed=speed).write(spec.result)


def main() -> None:
    """Do what the spec says that the command line names."""
    guard()
    with refusal_ends_the_process():
        embed(ReferenceSpec.load(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
