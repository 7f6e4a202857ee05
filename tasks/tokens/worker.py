"""Token statistics in a process of their own, for tokenizers that only transformers can read.

    python -m stsflow.tasks.tokens.worker SPEC RESULT

SPEC is a TokenRequest, RESULT becomes a TokenReport.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stsflow.tasks.ground.child import guard
from stsflow.tasks.tokens.counting import Counts
from stsflow.tasks.tokens.statistics import TokenRequest, measure


class SlowCounter:
    """The tokenizer of a folder as transformers loads it, without the network and without remote code."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        self.name = type(self._tokenizer).__name__
        self.vocabulary = len(self._tokenizer)
        self.special_tokens = self._tokenizer.num_special_tokens_to_add()

    def count(self, texts: Sequence[str]) -> Counts:
        """Tokens and unknown tokens of each text, in order."""
        if not texts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        ids = self._tokenizer(
            list(texts), truncation=False, padding=False, return_attention_mask=False, return_token_type_ids=False,
            verbose=False,
        )["input_ids"]  # fmt: skip
        unknown = self._tokenizer.unk_token_id
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        return lengths, np.fromiter((item.count(unknown) for item in ids), np.int64, len(ids))


def main(arguments: Sequence[str]) -> None:
    """Read the request, count, write the report."""
    spec, result = arguments
    request = TokenRequest.load(Path(spec))
    measure(request, SlowCounter(request.folder)).write(Path(result))


if __name__ == "__main__":
    guard()
    main(sys.argv[1:])
