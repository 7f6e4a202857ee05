"""A model that is served: loaded, tried, and what its answers say of it."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.models.encode import batches_by_tokens, embed_batch, own_prompt
from stsflow.tasks.models.length import NO_LENGTH
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.models.padding_free import enable_padding_free, is_padding_free
from stsflow.tasks.records.prompts import Side
from stsflow.tasks.serving.address import Located

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

logger = logging.getLogger(__name__)

COUNTED_AT_ONCE = 256
"""Texts whose tokens are counted before another request's are looked at."""
TRIED_ON = ("The ferry leaves at noon.", "비가 온다", "one two three four five six seven eight nine ten " * 8)
"""Texts that a model has to embed before it is served: short, in another script, and long."""


@dataclass(eq=False)
class ServedModel:
    """A loaded model. `lengths` may be called from any thread, `embed` from one at a time."""

    located: Located
    encoder: Encoder
    dimension: int
    """Numbers of an embedding."""
    longest: int
    """Tokens at which it cuts a text."""
    loaded_at: float = field(default_factory=time.time)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _tokenizer: Any = None
    """A copy to count with: a tokenizer's settings change while it is used, and the model's own is in use."""

    @classmethod
    def load(cls, located: Located, device: str) -> ServedModel:
        """The model at `located` on `device`, admitted, in float32, warm; raises ModelError when it does not load or
        gives embeddings that are no numbers.
        """
        encoder = load_encoder(located.reference, device=device).eval()
        state = enable_padding_free(encoder, "auto", device, "float32")
        logger.info("%s: batches %s", located.label, "without padding" if state.chosen == "on" else "padded")
        found = cls(
            located=located, encoder=encoder, dimension=located.reference.dimension,
            longest=min(encoder.max_seq_length or NO_LENGTH, NO_LENGTH), _tokenizer=copy.deepcopy(encoder[0].tokenizer),
        )  # fmt: skip
        tried = found.embed(TRIED_ON, found.prompt(None))
        if tried.shape != (len(TRIED_ON), found.dimension) or not np.isfinite(tried).all():
            raise ModelError(
                f"{located.label} gives embeddings of shape {tried.shape} for {len(TRIED_ON)} texts, or some that are "
                f"no numbers; expected ({len(TRIED_ON)}, {found.dimension}), all finite"
            )
        return found

    def prompt(self, side: Side | None) -> str:
        """What goes before a text, as `encode`, `encode_query` and `encode_document` put it."""
        return own_prompt(self.encoder, side)

    def lengths(self, texts: Sequence[str], prompt: str) -> list[int]:
        """Tokens of each text behind the prompt, special tokens included and uncut."""
        found: list[int] = []
        lower = bool(getattr(self.encoder[0], "do_lower_case", False))
        for start in range(0, len(texts), COUNTED_AT_ONCE):
            some = [prompt + text for text in texts[start : start + COUNTED_AT_ONCE]]
            with self._counting:
                tokens = self._tokenizer(
                    [text.lower() for text in some] if lower else some, truncation=False, verbose=False,
                    return_attention_mask=False, return_token_type_ids=False,
                )  # fmt: skip
            found += [len(ids) for ids in tokens["input_ids"]]
        return found

    def batches(self, lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
        """Numbers of texts of these lengths, longest first, in batches that take no more than `budget` tokens."""
        if is_padding_free(self.encoder):
            yield sorted(range(len(lengths)), key=lambda number: -lengths[number])
        else:
            yield from batches_by_tokens(lengths, budget)

    def embed(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        """Embeddings of the texts behind the prompt, as one batch, (texts, dimension)."""
        with torch.inference_mode():
            return embed_batch(self.encoder, list(texts), prompt)
