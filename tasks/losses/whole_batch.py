"""A loss over the rows of all processes of a training, where its value is no mean over rows.

Every process gets the embeddings of all and computes the loss of the whole batch: the same number everywhere, and the
one that a single process with that batch would find. What learns from it is each process's own part, so nothing has to
travel back. Gradients are averaged over processes afterwards, while this one is a part of the whole: it counts as many
times as there are processes. The library gathers for some of its losses too, but not the anchors that GIST compares
with each other, and nothing for losses of scored pairs.

Called in child processes only: it imports PyTorch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from sentence_transformers.base.losses.merged_forward import column_merging_disabled


def over_whole_batch(built: Any) -> None:
    """Let the loss module `built` gather what it compares; every process must hold equally many rows."""
    if hasattr(built, "calculate_loss"):
        _gather_between_passes(built)
    elif hasattr(built, "compute_loss_from_embeddings"):
        _gather_embeddings(built)
    else:
        _gather_outputs(built)


def gathered(part: torch.Tensor) -> torch.Tensor:
    """The rows of all processes, in order; gradients reach this process's own, times the processes (see above)."""
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part.detach().contiguous())
    if part.requires_grad and torch.is_grad_enabled():
        own = part.view_as(part)
        own.register_hook(lambda gradient: gradient * len(parts))  # type: ignore[no-untyped-call]  # torch has no type
        parts[dist.get_rank()] = own
    return torch.cat(parts)


def _gather_embeddings(built: Any) -> None:
    """For a function of the embeddings of the columns, and of labels where there are any."""
    of_one = built.compute_loss_from_embeddings

    def of_all(embeddings: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        whole: torch.Tensor = of_one(
            [gathered(one) for one in embeddings], None if labels is None else gathered(labels)
        )
        return whole

    built.compute_loss_from_embeddings = of_all


def _gather_between_passes(built: Any) -> None:
    """For a cached loss: between its passes it is a function of embeddings, which it holds in lists by mini-batch."""
    of_one = built.calculate_loss

    def of_all(*given: Any, **options: Any) -> torch.Tensor:
        whole: torch.Tensor = of_one(*map(_gathered_passes, given), **options)
        return whole

    built.calculate_loss = of_all


def _gathered_passes(given: Any) -> Any:
    if isinstance(given, list):
        return [[gathered(torch.cat(passes))] for passes in given]
    return None if given is None else gathered(given)


def _gather_outputs(built: Any) -> None:
    """For a loss that calls the model, and a guide where it has one, and goes on with what they give."""
    of_one = built.forward

    def of_all(features: Any, labels: torch.Tensor | None) -> torch.Tensor:
        models = [getattr(built, name) for name in ("model", "guide") if hasattr(built, name)]
        hooks = [model.register_forward_hook(_with_gathered_embedding) for model in models]
        try:
            with column_merging_disabled():  # rows of several columns in one pass could not be told apart
                whole: torch.Tensor = of_one(features, None if labels is None else gathered(labels))
        finally:
            for hook in hooks:
                hook.remove()
        return whole

    built.forward = of_all


def _with_gathered_embedding(_module: Any, _features: Any, output: dict[str, Any]) -> dict[str, Any]:
    return output | {"sentence_embedding": gathered(output["sentence_embedding"])}
