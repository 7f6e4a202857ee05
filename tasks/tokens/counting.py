"""Tokens of texts: with the `tokenizers` library on tokenizer.json, or as transformers reads a folder that has none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers import normalizers as text_normalizers

from stsflow.tasks.ground.errors import ModelError

CHUNK = 512
"""Texts that a thread takes at a time."""

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Tokens of each text, special tokens included and uncut, and unknown tokens of each text."""


class TokenCounter(Protocol):
    """What token statistics need of a tokenizer."""

    name: str
    vocabulary: int
    special_tokens: int
    """Special tokens that are added to each text."""

    def count(self, texts: Sequence[str]) -> Counts:
        """Tokens and unknown tokens of each text, in order."""
        ...


class FastCounter:
    """The tokenizer of a model folder, truncation and padding switched off."""

    def __init__(self, folder: Path, workers: int = 0) -> None:
        """Load tokenizer.json from `folder`; `workers` threads count, 0 for every core. Raises ModelError."""
        path = tokenizer_file(folder)
        if path is None:
            raise ModelError(f"{folder} has no tokenizer.json.")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for any fault of the file
            raise ModelError(f"{path} is not a tokenizer that this version of `tokenizers` reads: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        if _lower_cases(path.parent):
            before = self._tokenizer.normalizer
            lower = text_normalizers.Lowercase()
            self._tokenizer.normalizer = lower if before is None else text_normalizers.Sequence([lower, before])
        self._unknown = _unknown_id(self._tokenizer)
        self._workers = workers or len(os.sched_getaffinity(0))
        self.name = _class_name(path)
        self.vocabulary = self._tokenizer.get_vocab_size()
        self.special_tokens = self._tokenizer.num_special_tokens_to_add(False)

    def count(self, texts: Sequence[str]) -> Counts:
        """Tokens and unknown tokens of each text, in order; the library lets go of the interpreter while it works."""
        chunks = [texts[first : first + CHUNK] for first in range(0, len(texts), CHUNK)]
        if not chunks:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        with _threads_of_our_own(), ThreadPoolExecutor(self._workers) as pool:
            counted = list(pool.map(self._count_chunk, chunks))
        return np.concatenate([lengths for lengths, _ in counted]), np.concatenate([unknown for _, unknown in counted])

    def _count_chunk(self, texts: Sequence[str]) -> Counts:
        encoded = self._tokenizer.encode_batch_fast(list(texts))
        lengths = np.fromiter((len(item) for item in encoded), np.int64, len(encoded))
        if self._unknown is None:
            return lengths, np.zeros(len(encoded), np.int64)
        return lengths, np.fromiter((item.ids.count(self._unknown) for item in encoded), np.int64, len(encoded))


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


def counter_of(folder: Path, workers: int = 0) -> TokenCounter:
    """The counter of a model folder; without a tokenizer.json one that imports transformers. Raises ModelError."""
    return SlowCounter(folder) if tokenizer_file(folder) is None else FastCounter(folder, workers)


def tokenizer_file(folder: Path) -> Path | None:
    """tokenizer.json of a sentence-transformers or transformers folder; None for a slow tokenizer."""
    for path in (folder / "tokenizer.json", folder / "0_Transformer" / "tokenizer.json"):
        if path.is_file():
            return path
    return None


@contextmanager
def _threads_of_our_own() -> Iterator[None]:
    """Keep the library from starting a pool of its own, whose size is fixed for the process at its first use."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """Id of the unknown token: named in word-piece, word-level and byte-pair models, numbered in unigram models."""
    name = getattr(tokenizer.model, "unk_token", None)
    if name is not None:
        return tokenizer.token_to_id(name)
    number = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return None if number is None else int(number)


def _lower_cases(folder: Path) -> bool:
    """Whether sentence-transformers lower-cases texts itself before this tokenizer.

    It says so in sentence_bert_config.json or, where that says nothing, in an older name of the same file.
    """
    files = sorted(folder.glob("sentence_*_config.json"), key=lambda path: path.name != "sentence_bert_config.json")
    found = (dict(json.loads(path.read_text(encoding="utf-8"))) for path in files)
    return bool(next(filter(None, found), {}).get("do_lower_case", False))


def _class_name(path: Path) -> str:
    """The class that the folder names, or the kind of model inside tokenizer.json."""
    config = path.with_name("tokenizer_config.json")
    named = json.loads(config.read_text(encoding="utf-8")).get("tokenizer_class") if config.is_file() else None
    return str(named or json.loads(path.read_text(encoding="utf-8"))["model"].get("type", "Tokenizer"))
