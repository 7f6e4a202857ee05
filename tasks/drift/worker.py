"""Texts measured in a process of its own: `python -m stsflow.tasks.drift.worker SPEC` leaves numbers, and no text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.errors import ModelError, refusal_ends_the_process
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.models.hardware import Device
from stsflow.tasks.records.prompts import Side

NUMBERS = "numbers.safetensors"


TEXTS = "texts.json"


class MeasureSpec(Record):
    """What the worker is asked to do."""

    model: Path
    side: Side | None
    batch_size: int
    device: Device
    folders: tuple[Path, ...]
    """Each with a list of texts, which the caller deletes; it takes their numbers."""


def measure_texts(spec: MeasureSpec) -> None:
    """Write into each folder, of each of its texts, the embedding (of length 1), the tokens, how many of them are
    unknown, and the shares of its scripts."""
    import numpy as np
    from safetensors.numpy import save_file

    from stsflow.tasks.drift.scripts import script_shares
    from stsflow.tasks.tokens.counting import counter_of

    with without_collection():
        from stsflow.tasks.models.encode import encode_distinct, own_prompt
        from stsflow.tasks.models.loading import load_encoder
    model, counter = load_encoder(spec.model, device=spec.device), counter_of(spec.model, workers=1)
    prompt = own_prompt(model, spec.side)
    for folder in spec.folders:
        texts: list[str] = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        embeddings = encode_distinct(model, texts, batch_size=spec.batch_size, side=spec.side, prompt=prompt)
        if not np.isfinite(embeddings).all():
            raise ModelError(f"{spec.model} gives embeddings that are no numbers")
        tokens, unknown = counter.count([prompt + text for text in texts])
        names, shares = script_shares(texts)
        lengths = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        save_file(
            {"embeddings": embeddings / lengths, "tokens": tokens, "unknown": unknown, "scripts": shares},
            folder / NUMBERS,
            metadata={"scripts": json.dumps(names)},
        )


def main() -> None:
    """Measure what the spec names; ends with 2, its log with the sentence that says why, when the model is refused."""
    guard()
    with refusal_ends_the_process():
        measure_texts(MeasureSpec.load(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
