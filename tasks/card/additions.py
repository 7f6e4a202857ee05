"""What was added to a card between the lines that its records make, and whether it leaves those as they are shown.

A person may add to a card: a paragraph, a list, a section. It must be a block of its own. An added line that becomes a
row of a table of ours, ends a paragraph of ours as a heading, opens a comment or a block of code around a section, or
gives a key to the header would change what the records say with every line of theirs still there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Span:
    """Lines of the records, from `start` to `end`, in whose place the card has its lines from `first` to `last`; all
    from 0, the ends not included."""

    start: int
    end: int
    first: int
    last: int

    @property
    def changed(self) -> int:
        """So many lines, the first ones, stand for each other and differ."""
        return min(self.end - self.start, self.last - self.first)

    @property
    def added(self) -> int:
        """So many lines, the last ones, stand for none."""
        return self.last - self.first - self.changed


def spans_of(lines: Sequence[str], found: Sequence[str]) -> list[Span]:
    """Where `found` differs from `lines`; only additions where every line of `lines` stands in it, in order."""
    matcher = difflib.SequenceMatcher(None, lines, found, autojunk=False)
    spans = [Span(*places) for kind, *places in matcher.get_opcodes() if kind != "equal"]
    if all(span.start == span.end for span in spans):
        return spans
    return _additions_alone(lines, found) or spans


def _additions_alone(lines: Sequence[str], found: Sequence[str]) -> list[Span]:
    """The lines of `found` that are none of `lines`, each of which is taken for the first that it can be; empty where
    one is missing. The longest equal block, which the matcher looks for, may hide that none is."""
    spans: list[Span] = []
    start = 0
    for number, line in enumerate(found):
        if start < len(lines) and line == lines[start]:
            start += 1
        elif spans and spans[-1].last == number:
            spans[-1] = Span(start, start, spans[-1].first, number + 1)
        else:
            spans.append(Span(start, start, number, number + 1))
    return spans if start == len(lines) else []


def not_apart(lines: Sequence[str], found: Sequence[str], added: Sequence[Span]) -> Iterator[tuple[int, str]]:
    """Line, from 0, and what is wrong, for additions that are no blocks of their own; `found` is `lines` with `added`
    between them."""
    header = _header_lines(lines)
    inside = [span for span in added if span.start < header]
    if inside:
        yield from ((span.first, "A line was added to the header, which programs read.") for span in inside)
        return
    theirs = {number for span in added for number in range(span.first, span.last)}
    blocks = _blocks("\n".join(found[header:]), header)
    ours = [block for block in blocks if not theirs.issuperset(block.written_in(found))]
    made = _blocks("\n".join(lines[header:]), header)
    if [block.html for block in ours] != [block.html for block in made]:
        yield _first_spoilt(ours, made, theirs)
    for block in blocks:
        if block not in ours and block.has_html:
            yield block.first, "Raw HTML was added, which can hide what stands around it or make it look otherwise."


@dataclass(frozen=True)
class _Block:
    """A paragraph, table, list or other block of the page, and its lines."""

    html: str
    has_html: bool
    first: int
    last: int

    def written_in(self, found: Sequence[str]) -> set[int]:
        """Numbers of its lines that are not empty."""
        return {number for number in range(self.first, self.last) if found[number].strip()}


def _blocks(text: str, before: int) -> list[_Block]:
    """The blocks of the Markdown `text`, as a page shows them; lines count from `before`."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    environment: dict[str, Any] = {}
    found: list[_Block] = []
    group: list[Any] = []
    for token in reader.parse(text, environment):
        group.append(token)
        if token.level == 0 and token.nesting <= 0:  # a block's end, or a block of one token
            first, last = group[0].map or (0, 0)
            html = reader.renderer.render(group, reader.options, environment)
            is_html = any(part.type.startswith("html_") for token in group for part in (token, *(token.children or ())))
            found.append(_Block(html, is_html, before + first, before + last))
            group = []
    return found


def _first_spoilt(ours: Sequence[_Block], made: Sequence[_Block], theirs: set[int]) -> tuple[int, str]:
    """The addition in, or last before, the first block that is not shown as the records make it."""
    same = zip(ours, made, strict=False)
    spoilt = next((one for one, other in same if one.html != other.html), ours[min(len(ours), len(made)) - 1])
    within = [number for number in theirs if spoilt.first <= number < spoilt.last]
    line = min(within) if within else max((number for number in theirs if number < spoilt.first), default=spoilt.first)
    return line, (
        "What was added here changes how a line of the records is shown: as part of a table, a list, a paragraph, a "
        "comment or a block of code. Put it in a paragraph of its own, between empty lines."
    )


def _header_lines(lines: Sequence[str]) -> int:
    """Lines of the YAML header, its marks included."""
    return lines.index("---", 1) + 1 if lines and lines[0] == "---" and "---" in lines[1:] else 0
