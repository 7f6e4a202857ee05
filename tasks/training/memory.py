"""What an attempt does differently after one that did not fit the memory."""

from __future__ import annotations

from stsflow.tasks.training.request import WorkerSpec


def with_less_memory(spec: WorkerSpec, name: str | None) -> WorkerSpec | None:
    """The next attempt after running out of memory in set `name` (None: it is not known), with half the micro-batch.

    None when that is not to be had.
    """
    if spec.request.training.on_out_of_memory == "fail":
        return None
    names = [name] if name else list(spec.request.losses)
    parts, losses = dict(spec.parts), dict(spec.lighter_losses)
    for one in names:
        loss = spec.loss_of(one)
        smaller = loss.lighter()
        if loss.is_mean_of_rows and micro_batch(spec, one) > 1:
            parts[one] = 2 * parts.get(one, 1)
        elif smaller is not None:
            losses[one] = smaller
        elif name:
            return None
    if (parts, losses) == (spec.parts, spec.lighter_losses):
        return None
    update = {"parts": parts, "lighter_losses": losses, "attempt": spec.attempt + 1}
    return spec.model_copy(update=update)


def micro_batch(spec: WorkerSpec, name: str) -> int:
    """Rows of set `name` that go through the model at a time."""
    config = spec.request.training
    return max(config.batch_sizes.get(name, config.batch_size) // spec.parts.get(name, 1), 1)


def memory_remedy(spec: WorkerSpec, name: str | None) -> str:
    """What to change in the recipe when the memory cannot be made to do."""
    losses = [spec.loss_of(one) for one in ([name] if name else spec.request.losses)]
    remedies = dict.fromkeys(loss.memory_remedy for loss in losses if loss.memory_remedy)
    return " ".join(remedies) or (
        "Use a smaller batch_size, a smaller model.max_seq_length, or gradient_checkpointing: true."
    )


def what_changes(before: WorkerSpec, after: WorkerSpec, name: str) -> str:
    """What an attempt does differently with set `name` for want of memory, in words; empty for nothing."""
    if after.parts.get(name, 1) != before.parts.get(name, 1):
        return (
            f"out of memory: batches of {name} are computed {micro_batch(after, name)} rows at a time instead of "
            f"{micro_batch(before, name)}, and their gradients added up; the loss is the same"
        )
    if after.loss_of(name) != before.loss_of(name):
        return f"out of memory: the loss of {name} encodes half as many rows at a time as before; its value is the same"
    return ""
