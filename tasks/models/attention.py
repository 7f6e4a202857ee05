"""Attention over several texts laid end to end in one row, each text attending to itself alone.

transformers looks attention functions up by name. The one registered here takes the text boundaries
(`cu_seq_lens_q`, which travels in the keyword arguments to every layer) and gives the result that padding and a mask
would give, without computing the padding. Without boundaries it is the library's own SDPA, so padded batches run as
before. How a flattened row is computed depends on what the device is good at; `choose_kernel` says which way.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from stsflow.tasks.models.attention_with_dropout import by_text_with_dropout
from stsflow.tasks.models.dropout import draws_from_words
from stsflow.tasks.models.texts_in_a_row import FlatRow, as_batch, runs_of_equal_length, split_by_run, window_mask

# Without the word "flash": sentence-transformers and transformers take any name that has it for the package flash-attn.
ATTENTION_NAME = "sdpa_by_text"

Kernel = Literal["by_text", "varlen", "repadded"]


def register() -> None:
    """Make `ATTENTION_NAME` known to transformers, the attention and its mask. Safe to repeat."""
    AttentionInterface.register(ATTENTION_NAME, attend)
    # Without a mask function of the same name transformers builds no mask at all, also for padded batches.
    AttentionMaskInterface.register(ATTENTION_NAME, mask_for_padded)


def choose_kernel(
    device: str, dtype: torch.dtype, dropout: float, head_size: int, capability: tuple[int, int]
) -> Kernel:
    """How a flattened row is computed.

    - `by_text`: SDPA on each text in turn. Best on a CPU, where a call is cheap; a GPU would wait for the launches.
    - `varlen`: PyTorch's variable-length flash attention. Half precision on CUDA only, knows no dropout.
    - `repadded`: padded inside attention only, with a mask; the linear layers still skip the padding.

    SDPA on jagged nested tensors, the other way to have dropout, is not among them: with torch 2.13 its backward pass
    was measured to give wrong gradients when the incoming gradient is a view that does not begin at its storage's
    first element.
    """
    if device != "cuda":
        return "by_text"
    half = dtype in (torch.float16, torch.bfloat16)
    if half and dropout == 0 and head_size % 8 == 0 and head_size <= 256 and capability >= (8, 0):
        return "varlen"
    return "repadded"


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """The attention output, shape (batch, tokens, heads, head size), for query, key and value of shape (batch, heads,
    tokens, head size).

    With `cu_seq_lens_q` (texts + 1 offsets, int32) the batch is 1 and the tokens of all texts lie end to end.
    `sliding_window` w lets a token see those at a distance below w. Raises ValueError for causal attention and for
    position biases, which this function does not know.
    """
    if cu_seq_lens_q is None:
        if attention_mask is None and sliding_window is not None and query.shape[2] > sliding_window:
            attention_mask = window_mask(query.shape[2], sliding_window, query.device)
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **others
        )
    if is_causal if is_causal is not None else getattr(module, "is_causal", True):
        raise ValueError("padding-free attention is for encoders; this layer asks for causal attention")
    unknown = sorted(name for name in ("position_bias", "softcap") if others.get(name) is not None)
    if unknown:
        raise ValueError(f"padding-free attention does not know {', '.join(unknown)}")
    if max_length_q is None:
        max_length_q = int((cu_seq_lens_q[1:] - cu_seq_lens_q[:-1]).max())

    device = query.device.type
    if torch.is_autocast_enabled(device):
        # Rotary embeddings leave query and key in float32; the kernels below do not take part in autocast.
        dtype = torch.get_autocast_dtype(device)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = (item.repeat_interleave(repeats, dim=1) for item in (key, value))
    window = sliding_window if sliding_window is not None and max_length_q > sliding_window else None
    capability = torch.cuda.get_device_capability(query.device) if device == "cuda" else (0, 0)
    kernel = KERNELS[choose_kernel(device, query.dtype, dropout, query.shape[-1], capability)]
    if kernel is by_text and dropout > 0 and device == "cpu" and draws_from_words(module):
        kernel = by_text_with_dropout
    query, key, value = (item[0].transpose(0, 1) for item in (query, key, value))
    output = kernel(FlatRow(query, key, value, cu_seq_lens_q, max_length_q, dropout, scaling, window))
    return output.unsqueeze(0), None


def mask_for_padded(
    batch_size: int,
    q_length: int,
    kv_length: int,
    *,
    attention_mask: torch.Tensor | None = None,
    allow_is_bidirectional_skip: bool = False,
    **others: Any,
) -> torch.Tensor | None:
    """SDPA's mask for padded batches; None where no text is padded, since `attend` then knows what to leave out.

    Flattened rows carry no attention mask. Building a window mask for one would take memory quadratic in its tokens.
    """
    if attention_mask is None and allow_is_bidirectional_skip:
        return None
    mask: torch.Tensor | None = sdpa_mask(
        batch_size, q_length, kv_length, attention_mask=attention_mask,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip, **others,
    )  # fmt: skip
    return mask


def by_text(row: FlatRow) -> torch.Tensor:
    """SDPA on each text; neighbours of equal length go through one call."""
    runs, window = runs_of_equal_length(row.boundaries.tolist()), row.window
    parts = (split_by_run(item, runs) for item in row.tensors)
    outputs = []
    for (count, length), *three in zip(runs, *parts, strict=True):
        q, k, v = (as_batch(item, count) for item in three)
        mask = window_mask(length, window, q.device) if window is not None and length > window else None
        output = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=row.dropout, scale=row.scaling)
        outputs.append(output.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)


def varlen(row: FlatRow) -> torch.Tensor:
    """PyTorch's variable-length attention."""
    from torch.nn.attention.varlen import varlen_attn

    if row.dropout:
        raise ValueError("variable-length attention has no dropout")
    reach = -1 if row.window is None else row.window - 1
    query, key, value = (item.contiguous() for item in row.tensors)
    output: torch.Tensor = varlen_attn(  # type: ignore[assignment]  # it gives a pair only where it is asked for more
        query, key, value, row.boundaries, row.boundaries, row.longest, row.longest, scale=row.scaling,
        window_size=(reach, reach),
    )  # fmt: skip
    return output


def repadded(row: FlatRow) -> torch.Tensor:
    """SDPA on the texts padded to the longest, with a mask."""
    boundaries, longest, window, device = row.boundaries, row.longest, row.window, row.query.device
    tokens, texts = row.query.shape[0], boundaries.shape[0] - 1
    lengths = boundaries[1:] - boundaries[:-1]
    # output_size spares the GPU a wait for the sum of the lengths.
    text = torch.repeat_interleave(torch.arange(texts, device=device), lengths, output_size=tokens)
    place = torch.arange(tokens, device=device) - boundaries[text]
    q, k, v = (
        item.new_zeros(texts, longest, *item.shape[1:]).index_put((text, place), item).transpose(1, 2)
        for item in row.tensors
    )
    positions = torch.arange(longest, device=device)
    # At least one key stays open even for an empty text: a softmax over nothing is NaN, and spoils the gradients.
    mask = (positions < lengths.clamp(min=1)[:, None])[:, None, None, :]
    if window is not None:
        # For the same reason each position of the padding sees itself.
        near = (positions[:, None] - positions).abs() < window
        mask = (mask & near) | (positions[:, None] == positions)
    output = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=row.dropout, scale=row.scaling)
    return output.transpose(1, 2)[text, place]


KERNELS = {"by_text": by_text, "varlen": varlen, "repadded": repadded}


def difference_from_by_text(kernel: Kernel, heads: int, head_size: int, dtype: torch.dtype, device: str) -> float:
    """Largest relative difference of output and gradients between `kernel` and SDPA on each text, on random numbers."""
    lengths = (1, 7, 64, 3, 3, 129)
    generator = torch.Generator().manual_seed(0)
    boundaries = torch.tensor((0, *lengths), device=device).cumsum(0).to(torch.int32)
    numbers = torch.randn(4, sum(lengths), heads, head_size, generator=generator).to(device=device, dtype=dtype)

    def run(name: Kernel) -> list[torch.Tensor]:
        query, key, value = (item.clone().requires_grad_() for item in numbers[:3])
        output = KERNELS[name](FlatRow(query, key, value, boundaries, max(lengths)))
        return [output.detach(), *torch.autograd.grad(output, (query, key, value), numbers[3])]

    with torch.enable_grad(), torch.inference_mode(mode=False):
        pairs = zip(run(kernel), run("by_text"), strict=True)
        return max(float((ours - theirs).float().norm() / theirs.float().norm()) for ours, theirs in pairs)
