"""A card's text, facts and figures against the ones that its records make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stsflow.tasks.card.additions import Span, not_apart, spans_of
from stsflow.tasks.card.evidence import CardFacts, PlacedFact
from stsflow.tasks.ground.fingerprint import sha256_of_file

Places = Mapping[str, Sequence[tuple[int, int, str]]]
"""Where each fact stands: line from 1, column from 0, text there."""


@dataclass(frozen=True)
class Problem:
    """Something that does not hold."""

    place: str
    """Line of the card, name of a fact, or file."""
    message: str


@dataclass(frozen=True)
class Addition:
    """Text of a card that no record makes: somebody wrote it in."""

    place: str
    """File and line where it begins."""
    text: str
    """Its lines; empty where only empty lines were added."""


@dataclass(frozen=True)
class TextCheck:
    """What became of a card's text."""

    problems: list[Problem] = field(default_factory=list)
    """Lines of the records that are changed or gone, and additions that change how such lines are shown."""
    added: list[Addition] = field(default_factory=list)


def check_text(card: Path, written: str, places: Places, *, words_only: bool = False) -> TextCheck:
    """Every line of the card that is not the one that records make (`written`), with what should stand there, and what
    was added between them.

    With `words_only`, lines that differ in a fact are left to whoever compares facts.
    """
    if not card.is_file():
        return TextCheck([Problem(card.name, "The card is missing.")])
    content = card.read_bytes()
    if content == written.encode("utf-8"):
        return TextCheck()
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    found, lines = text.split("\n"), written.split("\n")
    if len(found) > 10 * len(lines):  # comparing takes the product of both
        return TextCheck([Problem(card.name, f"It has {len(found):,} lines; the records make {len(lines):,}.")])
    spans, problems = spans_of(lines, found), []
    for span in spans:
        for step in range(span.changed):
            wrong = _facts_gone(span.start + step + 1, found[span.first + step], places)
            if not (wrong and words_only):
                message = _changed(wrong, lines[span.start + step], found[span.first + step])
                problems.append(_in_line(span.first + step + 1, message))
        gone = range(span.start + span.changed, span.end)
        problems += [_in_line(number + 1, f"A line is gone: {_quoted(lines[number])}") for number in gone]
    added = [span for span in spans if span.added]
    if not problems:
        problems = [_in_line(number + 1, message) for number, message in not_apart(lines, found, added)]
    if not problems and text.encode("utf-8") != content:
        problems = [Problem(card.name, "Its bytes are not those that were written (line ends?).")]
    return TextCheck(problems, [_addition(span, found) for span in added])


def _addition(span: Span, found: Sequence[str]) -> Addition:
    """The lines that were added, without empty ones around them."""
    added = range(span.first + span.changed, span.last)
    told = [number for number in added if found[number].strip()] or [added[0]]
    text = "\n".join(found[told[0] : told[-1] + 1]).strip("\n")
    return Addition(f"README.md, line {told[0] + 1}", text if text.strip() else "")


def check_facts(shipped: Sequence[PlacedFact], made: Sequence[PlacedFact]) -> list[Problem]:
    """Facts of facts.json that are not those that the records in it make: missing, added, changed."""
    problems = []
    stated, expected = ({item.fact.id: item for item in items} for items in (shipped, made))
    if len(stated) < len(shipped):
        problems.append(Problem("facts.json", "One name stands for two facts."))
    for name, item in expected.items():
        found = stated.get(name)
        if found is None:
            problems.append(_fact(name, f"It is missing; the records say {item.fact.text}."))
        elif found.fact != item.fact:
            problems.append(_fact(name, f"It says {found.fact.text}; the records say {item.fact.text}."))
        elif found.places != item.places:
            problems.append(_fact(name, "It names other places than the card's."))
    problems += [
        _fact(name, f"It says {item.fact.text}; nothing in the records says so.")
        for name, item in stated.items()
        if name not in expected
    ]
    return problems


def check_figures(folder: Path, facts: CardFacts, shown: set[str]) -> list[Problem]:
    """Figures that are missing, are not those that were written, or belong to no card; `shown` are the card's."""
    both = "The card and facts.json do not name the same figures."
    problems = [_figure(name, both) for name in sorted(shown ^ facts.figures.keys())]
    for name, digest in facts.figures.items():
        if Path(name).name != name:
            problems.append(_figure(name, "This is no name of a file."))
        elif not (folder / name).is_file():
            problems.append(_figure(name, "The figure is missing."))
        elif sha256_of_file(folder / name) != digest:
            problems.append(_figure(name, "The figure is not the one that was written."))
    if folder.is_dir():
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        problems += [_figure(name, "The file is no figure of the card.") for name in sorted(there - set(facts.figures))]
    return problems


def _facts_gone(number: int, found: str, places: Places) -> list[str]:
    """The facts that should stand in line `number`, from 1, and do not."""
    gone = [
        f"{name} = {place[2]}"
        for name, spots in places.items()
        for place in spots
        if place[0] == number and not _stands(place, found)
    ]
    return list(dict.fromkeys(gone))


def _changed(wrong: Sequence[str], line: str, found: str) -> str:
    """What a changed line should say: the facts that stood there and do not any more, or the whole line."""
    if not wrong:
        return f"The line was changed: {_quoted(found)} should be {_quoted(line)}"
    return f"The line does not say {', '.join(wrong)}: {_quoted(found)}"


def _stands(place: tuple[int, int, str], line: str) -> bool:
    """Whether the whole text of the fact stands at its place: a longer number there is another number."""
    _, column, text = place
    following = line[column + len(text) : column + len(text) + 1]
    return line.startswith(text, column) and not following.isalnum()


def _in_line(number: int, message: str) -> Problem:
    return Problem(f"README.md, line {number}", message)


def _fact(name: str, message: str) -> Problem:
    return Problem(f"facts.json, {name}", message)


def _figure(name: str, message: str) -> Problem:
    return Problem(f"figures/{name}", message)


def _quoted(line: str) -> str:
    return json.dumps(line if len(line) <= 120 else f"{line[:119]}…", ensure_ascii=False)
