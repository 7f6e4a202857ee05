"""Files as text: the right codec, unpacked within a limit, line by line within a limit.

A line ends with LF or CR LF and with nothing else: U+0085, U+2028 and U+2029 are characters of a text. A file whose
lines end with CR alone is refused. A byte order mark at the beginning of a file is skipped; elsewhere it is text.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TextIO, cast

from stsflow.tasks.ground.errors import DataError

MEBI = 2**20
MAX_UNPACKED_BYTES = 512 * MEBI
MAX_LINE_CHARACTERS = 16 * MEBI
MOST_EMPTY_LINES = 1_000_000
PACKED = {".gz": ("gzip", b"\x1f\x8b"), ".zst": ("zstd", b"\x28\xb5\x2f\xfd")}
"""By a file name's ending: how the file is packed, and its first bytes."""
# Codecs that Python calls text, but which write names of hosts or escapes for source code, or nothing at all.
NOT_FOR_FILES = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"})
BARE_CR = (
    "its lines end with a carriage return alone, as on old Macintosh systems; save it with LF or CR LF at the end of "
    "each line"
)


@dataclass(frozen=True)
class Limits:
    """What a file may become in memory, so that a small packed one cannot fill it."""

    unpacked_bytes: int = MAX_UNPACKED_BYTES
    line_characters: int = MAX_LINE_CHARACTERS


def check_encoding(name: str) -> None:
    """Raise ValueError when `name` is no encoding in which a text file can be written."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):  # ValueError: a null character, or no ASCII
        raise ValueError(f"there is no encoding {name!r}") from None
    if not getattr(codec, "_is_text_encoding", True) or codec.name.replace("-", "_") in NOT_FOR_FILES:
        raise ValueError(f"{name!r} is no encoding of text files; such are utf-8, utf-16, cp949, latin-1")


def packed_as(path: Path) -> str:
    """`gzip`, `zstd`, or empty: by its name or by its first bytes, as a link may have lost its ending."""
    with path.open("rb") as stream:
        first = stream.read(4)
    for ending, (kind, magic) in PACKED.items():
        if path.suffix.lower() == ending or first.startswith(magic):
            return kind
    return ""


def check_packed(path: Path, shown: str, limits: Limits) -> None:
    """Raise DataError when a packed file is damaged, or becomes larger than the limit; other files pass."""
    if not (kind := packed_as(path)):
        return
    size = 0
    try:
        with open_bytes(path) as stream:
            while block := stream.read(MEBI):
                size += len(block)
                if size > limits.unpacked_bytes:
                    raise DataError(
                        f"{shown}: unpacked, the file is larger than {limits.unpacked_bytes:,} bytes (the source's "
                        "`max_unpacked_bytes`). If it is meant to be, raise that limit or unpack the file yourself."
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{shown}: the file is not a whole gzip file.") from None
    except OSError:
        if kind != "zstd":
            raise
        raise DataError(f"{shown}: the file is not a whole zstd file.") from None


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where they are packed."""
    kind = packed_as(path)
    if kind == "gzip":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if kind == "zstd":
        import pyarrow as pa

        unpacked = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        return cast("IO[bytes]", io.BufferedReader(unpacked, MEBI))
    return path.open("rb")


def open_text(path: Path, encoding: str) -> TextIO:
    """The file as text, with its line ends kept; unpacked where it is packed; a byte order mark is skipped."""
    codec = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    return io.TextIOWrapper(open_bytes(path), encoding=codec, newline="\n")


def lines_of(stream: TextIO, shown: str, limits: Limits) -> Iterator[str]:
    """The lines with their ends; raises DataError for one that is longer than the limit, having read no more of it."""
    longest = limits.line_characters
    for number, line in enumerate(iter(partial(stream.readline, longest + 1), ""), 1):
        if len(line) > longest:
            raise too_long(shown, number, limits)
        yield line


def too_long(shown: str, line: int, limits: Limits) -> DataError:
    """The error for a line or a record beyond the limit."""
    return DataError(
        f"{shown}, line {line}: more than {limits.line_characters:,} characters belong to one row (the source's "
        "`max_line_characters`). If it is meant to be so long, raise that limit."
    )


def check_empty_lines(count: int, shown: str) -> None:
    """Raise DataError when a file holds more empty lines than any data file does: half a gigabyte of them is none."""
    if count > MOST_EMPTY_LINES:
        raise DataError(f"{shown}: the file holds more than {MOST_EMPTY_LINES:,} empty lines; remove them.")


def broken_text(path: Path, shown: str, encoding: str) -> str:
    """Where the file stops being text in `encoding`, in one sentence."""
    decoder = codecs.getincrementaldecoder(encoding)()
    end, line = 0, 1
    with open_bytes(path) as stream:
        while block := stream.read(MEBI):
            end += len(block)
            try:
                line += decoder.decode(block, final=len(block) < MEBI).count("\n")
            except UnicodeDecodeError as error:
                whole = bytes(error.object)  # what was held back of the block before, and this block
                line += whole[: error.start].decode(encoding, "replace").count("\n")
                return (
                    f"{shown}, line {line}: the bytes are not {encoding} text (byte {end - len(whole) + error.start} "
                    f"of the file: {whole[error.start : error.end][:8].hex(' ')}). Save the file in that encoding, or "
                    "name its own with `encoding`."
                )
            except UnicodeError as error:  # such as UTF-16 without a byte order mark
                return f"{shown}: the bytes are not {encoding} text ({error}); name the file's own `encoding`."
    return f"{shown}: the bytes are not {encoding} text."
