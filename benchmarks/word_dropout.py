"""Do masks cut from words train like the library's? Loss and gradient over many draws of both, on one batch.

    python -m benchmarks.word_dropout --draws 300 --precision float32

The packaged MiniLM in training mode, MultipleNegativesRankingLoss, eight triplets. Every draw has a loss and a gradient
(all weights but the word embeddings). If both kinds of dropout are the same distribution, then their mean losses differ
by no more than their standard errors say, and the mean gradient of one kind is as close to that of the other as to that
of another half of its own draws: cosines within and across are alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, Literal

from benchmarks.padding_free import packaged_model, triplets

KINDS: dict[str, Literal["on", "off"]] = {"library": "off", "words": "on"}


def main() -> None:
    """Draw, compare, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300, help="of each kind")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    arguments = parser.parse_args()
    folder = packaged_model()
    assert folder is not None, "install the extra `demo`: it carries the model"
    print(json.dumps(compare(folder, arguments.draws, arguments.precision), indent=1))


def compare(folder: Path, draws: int, precision: Literal["float32", "bf16"]) -> dict[str, Any]:
    """Mean loss and gradient norm of each kind with standard errors; cosines between mean gradients of halves."""
    import torch

    torch.manual_seed(1)
    columns = triplets(8, 1)[0]
    losses = {kind: prepared(folder, asked, precision) for kind, asked in KINDS.items()}
    values: dict[str, list[float]] = {kind: [] for kind in KINDS}
    norms: dict[str, list[float]] = {kind: [] for kind in KINDS}
    halves: dict[str, list[Any]] = {kind: [0.0, 0.0] for kind in KINDS}
    for number in range(draws):
        for kind, loss in losses.items():
            value, gradient = one_draw(loss, columns, precision)
            values[kind].append(value)
            norms[kind].append(float(gradient.norm()))
            halves[kind][number % 2] = halves[kind][number % 2] + gradient.double()

    def cosine(one: Any, other: Any) -> float:
        return round(float(torch.nn.functional.cosine_similarity(one, other, dim=0)), 5)

    return {
        "draws": draws, "precision": precision,
        "loss": {kind: mean_and_error(found) for kind, found in values.items()},
        "gradient_norm": {kind: mean_and_error(found) for kind, found in norms.items()},
        "cosine_between_halves": {kind: cosine(*found) for kind, found in halves.items()},
        "cosine_across_kinds": [cosine(a, b) for a in halves["library"] for b in halves["words"]],
    }  # fmt: skip


def prepared(folder: Path, asked: Literal["on", "off"], precision: Literal["float32", "bf16"]) -> Any:
    """The loss of a padding-free model in training mode with the asked kind of masks."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from stsflow.tasks.models.dropout import quicken_dropout
    from stsflow.tasks.models.loading import load_encoder
    from stsflow.tasks.models.padding_free import enable_padding_free

    model = load_encoder(folder, device="cpu", max_seq_length=128).train()
    enable_padding_free(model, "on", "cpu", precision)
    quicken_dropout(model, asked, "cpu")
    return MultipleNegativesRankingLoss(model)


def one_draw(loss: Any, columns: list[list[str]], precision: Literal["float32", "bf16"]) -> tuple[float, Any]:
    """The loss of the batch and its gradient, one flat tensor."""
    import torch

    from stsflow.tasks.models.padding_free import autocast

    model = loss.model
    with autocast("cpu", precision):
        value = loss([model.preprocess(column) for column in columns], None)
    model.zero_grad()
    value.backward()
    weights = (weight for name, weight in model.named_parameters() if "word_embeddings" not in name)
    return value.item(), torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])


def mean_and_error(values: list[float]) -> dict[str, float]:
    """Mean, and its standard error."""
    return {
        "mean": round(statistics.mean(values), 4),
        "standard_error": round(statistics.stdev(values) / len(values) ** 0.5, 4),
    }


if __name__ == "__main__":
    main()
