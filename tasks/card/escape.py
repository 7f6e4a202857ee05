"""Text from data and recipes, made harmless in Markdown, in code blocks and in YAML.

Every character that Markdown, HTML or a table gives a meaning is written as a character reference: CommonMark (section
6.2 of the specification, entity and numeric character references) says that a reference never stands for structure, so
no text can open a cell, a tag, a fence or a link, whichever renderer reads it.
"""

from __future__ import annotations

import json
import re
import unicodedata

LONGEST_TEXT = 300
"""Characters of a text from data that the card shows; what is cut is said."""

_REFERENCES = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "*": "&#42;", "~": "&#126;",
    "[": "&#91;", "]": "&#93;", "\\": "&#92;", "$": "&#36;", "!": "&#33;", "@": "&#64;",
}  # fmt: skip
_OPENS_A_BLOCK = frozenset("#-+=:")
_BREAKS = re.compile(r"[\s\u2028\u2029]+")
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""An underscore that is not between two letters or digits: only there can it mean emphasis."""
_IDENTIFIER = re.compile(r"[\w./:@+= -]+")


def clean(text: str) -> str:
    """`text` on one line: white space of any kind becomes one space; control, private-use and surrogate characters,
    noncharacters and bidirectional overrides become a visible `\\uXXXX`. Joiners that emoji and scripts need stay."""
    return _visible(_BREAKS.sub(" ", text).strip())


def shorten(text: str, longest: int = LONGEST_TEXT) -> str:
    """`clean(text)`, cut to `longest` characters with an ellipsis and a remark on the full length."""
    cleaned = clean(text)
    if len(cleaned) <= longest:
        return cleaned
    return f"{cleaned[:longest].rstrip()}… (cut; {len(text):,} characters in all)"


def escape_text(text: str, *, may_start_line: bool = True) -> str:
    """`text` for running Markdown and for table cells, on one line, which a renderer shows as the same characters.

    Where it `may_start_line`, a first character that would open a block (a heading, a list) is a reference too.
    """
    escaped = "".join(_REFERENCES.get(character, character) for character in clean(text))
    escaped = _EMPHASIS.sub("&#95;", escaped)
    # Renderers with automatic links make one of these without any bracket.
    escaped = re.sub(r"(?i)\b(www)\.", r"\1&#46;", escaped.replace("://", "&#58;//"))
    if may_start_line and escaped and escaped[0] in _OPENS_A_BLOCK:
        return f"&#{ord(escaped[0])};{escaped[1:]}"
    return escaped


def escape_prose(text: str) -> str:
    """A recipe's own paragraphs for Markdown: blank lines part paragraphs, everything else is shown as written."""
    paragraphs = (escape_text(part) for part in re.split(r"\n\s*\n", text.strip()))
    return "\n\n".join(_without_list_number(part) for part in paragraphs if part)


def inline_code(text: str) -> str:
    """`text` as a code span when it is a plain identifier, else as escaped text."""
    return f"`{text}`" if _IDENTIFIER.fullmatch(text) and text == text.strip() else escape_text(text)


def fenced(text: str, language: str = "") -> str:
    """`text` as a code block whose fence is longer than any run of backticks in it."""
    body = "\n".join(_visible(line) for line in text.strip("\n").splitlines())
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def string_literal(text: str) -> str:
    """`text` as a literal that Python and JSON both read."""
    return json.dumps(clean(text), ensure_ascii=False)


def is_plain_url(url: str) -> bool:
    """Whether `url` is an http(s) address that can stand in a Markdown link unchanged."""
    return re.fullmatch(r"https?://[\w.~:/?#@!$&*+,;=%-]+", url, re.ASCII) is not None


def _visible(line: str) -> str:
    return "".join(character if _is_safe(character) else _spelled(character) for character in line)


def _spelled(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"


def _is_safe(character: str) -> bool:
    if character in "\t\u200c\u200d" or "\U000e0020" <= character <= "\U000e007f":  # the last spell flags of regions
        return True
    code, category = ord(character), unicodedata.category(character)
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return category not in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"} and not is_noncharacter


def _without_list_number(paragraph: str) -> str:
    return re.sub(r"^(\d+)([.)])", lambda match: f"{match.group(1)}&#{ord(match.group(2))};", paragraph)
