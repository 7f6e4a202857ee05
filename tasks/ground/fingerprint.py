"""Content hashes: of bytes, files, folders and config sections.

A fingerprint is the lower-case hexadecimal SHA-256 of a canonical form. Everything that is reused is found by the
fingerprint of what determines it, never by a run id or by a path's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_blob_id(path: Path) -> str:
    """The id git gives the file's content: SHA-1 of `blob <size>\\0` and the bytes (git's object format)."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


SIGNED_LIST, SIGNATURE = "SHA256SUMS", "SHA256SUMS.minisig"
"""The files of a model folder with their digests, and who signed that."""
HUB_MARK = "stsflow.json"
HUB_FILES = (HUB_MARK, ".gitattributes", ".cache")
"""What lies beside a model on the hub and in a copy of it, for the hub's own use and for the next push."""
CARD_FILES = ("README.md", "facts.json", "figures", SIGNED_LIST, SIGNATURE, "exports", *HUB_FILES)
"""What lies in a model folder and is no part of the model: its card, written after the weights, and what is pushed
beside it. No module may lie there."""


def sha256_of_folder(folder: Path, *, ignore: Iterable[str] = ()) -> str:
    """SHA-256 over the sorted relative paths and content hashes of all files below `folder`.

    `ignore` names files and folders directly in `folder` that do not count, such as a card that is written after the
    digest; further down the same names count.
    """
    ignored = set(ignore)
    entries = {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ignored
    }
    return fingerprint(entries)


def sha256_of_model(folder: Path) -> str:
    """SHA-256 over a model folder without its card: the same before and after the card is written."""
    return sha256_of_folder(folder, ignore=CARD_FILES)


def sha256_of_weights(folder: Path) -> str:
    """SHA-256 of model.safetensors in a model folder; over all parts where there are several."""
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.rglob("*.safetensors"))
    if len(files) == 1:
        return sha256_of_file(files[0])
    return fingerprint({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})


def fingerprint(*parts: Any) -> str:
    """SHA-256 of the parts' canonical JSON (sorted keys; pydantic models by their JSON form; paths as text)."""
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
