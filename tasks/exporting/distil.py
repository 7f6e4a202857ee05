"""A static form of a model: one vector for each token of its vocabulary, by the method of Model2Vec. Called in a child.

A token's vector is the model's embedding of that token alone. Their mean is taken off, the principal components come
first, and frequent tokens weigh less (smooth inverse frequency). https://github.com/MinishLab/model2vec: its own code
for this asks for a transformers before 5.4; the folder is read by it all the same.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import ModelError

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

logger = logging.getLogger(__name__)

SEQUENCES_AT_A_TIME = 512
UNUSED = re.compile(r"\[unused\d+\]")
"""Places in a vocabulary that no text has."""
SMOOTHING = 1e-4
"""What makes a token's weight a / (a + its share of all tokens)."""


def static_table(model: Encoder, tokenizer: Any, dimensions: int | None) -> NDArray[np.float16]:
    """A row for each token id: zeros for special tokens, which no mean feels; (vocabulary, dimensions or the model's).

    The scale of all rows together is without meaning: a text's embedding has length one.
    """
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    ids = sorted(
        number for token, number in vocabulary.items() if number not in special and not UNUSED.fullmatch(token)
    )
    vectors = principal_components(embeddings_of_tokens(model, tokenizer, ids), dimensions)
    vectors *= weights_by_rank(len(ids))[:, None]
    if not np.isfinite(vectors).all():
        raise ModelError("embeddings of single tokens hold numbers that are not finite.")
    table = np.zeros((max(vocabulary.values()) + 1, vectors.shape[1]), np.float16)
    table[ids] = vectors / np.abs(vectors).max()  # half precision has few numbers near zero
    return table


def embeddings_of_tokens(model: Encoder, tokenizer: Any, ids: list[int]) -> NDArray[np.float32]:
    """The finished embedding of each token alone, between the special tokens that the model puts around a text."""
    import torch

    from stsflow.tasks.exporting.runtime import OUTPUT

    read = tokenizer.encode("a")
    own = [number for number, is_special in enumerate(read.special_tokens_mask) if not is_special]
    before, after = read.ids[: own[0]], read.ids[own[-1] + 1 :]
    logger.info("embedding %d tokens, each alone", len(ids))
    found = []
    with torch.inference_mode():
        for start in range(0, len(ids), SEQUENCES_AT_A_TIME):
            batch = torch.tensor([[*before, number, *after] for number in ids[start : start + SEQUENCES_AT_A_TIME]])
            features: Any = {"input_ids": batch, "attention_mask": torch.ones_like(batch)}
            for part in model:
                features = part(features)
            found.append(features[OUTPUT].float().numpy())
    return np.concatenate(found)


def principal_components(vectors: NDArray[np.float32], count: int | None) -> NDArray[np.float64]:
    """The rows in the axes of their largest variance, the largest first; the first `count` of them, or all."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)  # by rising variance
    turned: NDArray[np.float64] = centred @ axes[:, ::-1][:, :count]
    return turned


def weights_by_rank(count: int) -> NDArray[np.float64]:
    """Of the tokens in their order, which in most vocabularies is that of their frequency: as Zipf's law has it."""
    shares = 1.0 / np.arange(2, count + 2)
    weights: NDArray[np.float64] = SMOOTHING / (SMOOTHING + shares / shares.sum())
    return weights
