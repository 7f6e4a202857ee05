"""Files as text: the right codec, unpacked, and a precise word when the bytes are not text."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TextIO, cast


def open_text(path: Path, encoding: str) -> TextIO:
    """The file as text, with its line ends kept; unpacked when its name ends in `.gz`; a byte order mark is skipped."""
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding=codec, newline="\n"))
    return path.open(encoding=codec, newline="\n")


def broken_text(path: Path, shown: str, encoding: str) -> str:
    """Where the file stops being text in `encoding`, in one sentence."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, "replace").count("\n") + 1
        found = content[error.start : error.end].hex(" ")
        return (
            f"{shown}, line {line}: the bytes are not {encoding} text (byte {error.start} of the file: {found}). "
            "Save the file in that encoding, or name its own with `encoding`."
        )
    return f"{shown}: the bytes are not {encoding} text."
