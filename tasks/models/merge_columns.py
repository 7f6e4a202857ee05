"""Encode all columns of a batch in one forward pass, where the batch is flattened and that is less work.

Laid end to end, columns of different lengths cost no padding. sentence-transformers merges padded columns only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.sentence_transformer.modules import Pooling

# On a CPU one pass pays until its activations fall out of the cache: the gradient of the word embeddings, as large as
# the vocabulary, is then made once and not for each column. Measured on all-MiniLM-L6-v2 with Korean triplets, one
# thread, CPU time against a pass for each column, float32 and bf16: 0.90 and 0.79 at 1,170 tokens (batch 8), 0.93 and
# 0.90 at 2,330, 0.92 and 0.97 at 4,660, 1.05 and 1.04 at 9,540.
MOST_TOKENS_ON_CPU = 6144


class MergedColumns(torch.nn.Module):
    """The same loss, all columns encoded at once where that pays. Padded features go to the loss as they are.

    For losses that are a function of the columns' embeddings alone. Cached losses bound their memory by the columns
    being apart, and Matryoshka and its kind reach into the model's forward.
    """

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss
        self.model = loss.model
        pooling = [module for module in self.model if isinstance(module, Pooling)]
        self.unread = {"prompt_length"} if all(module.include_prompt for module in pooling) else set()
        """Features that nothing in the model reads: a pooling that takes the prompt in does not ask how long it is."""
        self.merged_batches = 0
        """Proof that it is on."""

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor | None) -> torch.Tensor:
        """The loss of the columns' features, as the trainer calls it."""
        columns = list(sentence_features)
        together = [{name: one for name, one in column.items() if name not in self.unread} for column in columns]
        merged = concatenate(together) if _pays(columns) else None
        if merged is None:
            return self.loss(columns, labels)  # type: ignore[no-any-return]  # a loss has no types
        self.merged_batches += 1
        embeddings = self.model(merged)["sentence_embedding"]
        rows = [column["cu_seq_lens_q"].shape[0] - 1 for column in columns]
        return self.loss.compute_loss_from_embeddings(list(embeddings.split(rows)), labels)  # type: ignore[no-any-return]  # a loss has no types


def _pays(columns: list[dict[str, Any]]) -> bool:
    ids = [column["input_ids"] for column in columns]
    return ids[0].device.type != "cpu" or sum(int(row.shape[1]) for row in ids) <= MOST_TOKENS_ON_CPU


def concatenate(columns: list[dict[str, Any]]) -> dict[str, Any] | None:
    """One flattened batch out of several; None where a column is not flattened or the columns need different care."""
    first = columns[0]
    if len(columns) < 2 or any("cu_seq_lens_q" not in column or set(column) != set(first) for column in columns):
        return None
    tokens = ("input_ids", "position_ids")
    known = {*tokens, "seq_idx", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "modality"}
    if set(first) - known or any(column.get("modality") != first.get("modality") for column in columns):
        return None  # prompts left out of the pooling, tasks: each column is then read in its own way
    boundaries, texts, offset, row = [first["cu_seq_lens_q"][:1]], [], 0, 0
    for column in columns:
        boundaries.append(column["cu_seq_lens_q"][1:] + offset)
        texts.append(column["seq_idx"] + row)
        offset += column["input_ids"].shape[1]
        row += column["cu_seq_lens_q"].shape[0] - 1
    joined = torch.cat(boundaries)
    longest = max(int(column["max_length_q"]) for column in columns)
    return first | {
        **{name: torch.cat([column[name] for column in columns], dim=1) for name in tokens},
        "seq_idx": torch.cat(texts, dim=1), "cu_seq_lens_q": joined, "cu_seq_lens_k": joined,
        "max_length_q": longest, "max_length_k": longest,
    }  # fmt: skip
