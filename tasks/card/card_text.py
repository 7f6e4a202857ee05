"""A card's text and figures against its facts.json."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

from tasks.card.escape import escape_text
from tasks.card.evidence import CardFacts, line_digest
from tasks.card.facts import shown
from tasks.fingerprint import sha256_of_file
from tasks.schema import Record


class Problem(Record):
    """Something that does not hold."""

    place: str
    """Line of the card, name of a fact, or file."""
    message: str


def check_text(card: Path, facts: CardFacts) -> list[Problem]:
    """Every line of the card that is not the one that was written, with the number that should stand there."""
    if not card.is_file():
        return [Problem(place=card.name, message="The card is missing.")]
    content = card.read_bytes()
    if hashlib.sha256(content).hexdigest() == facts.card_sha256:
        return _check_places(content.decode("utf-8").split("\n"), facts)
    lines = content.decode("utf-8", errors="replace").replace("\r\n", "\n").split("\n")
    problems = []
    written, found = list(facts.lines), [line_digest(line) for line in lines]
    for kind, start, end, first, last in difflib.SequenceMatcher(None, written, found, autojunk=False).get_opcodes():
        if kind == "delete":
            problems.append(_problem(start + 1, f"{end - start} lines of the card are gone."))
        elif kind == "insert":
            problems.append(_problem(first + 1, f"{last - first} lines were added: {_quoted(lines[first])}"))
        elif kind == "replace":
            problems += [
                _problem(number + 1, _changed(start + number - first + 1, lines[number], facts))
                for number in range(first, last)
            ]
    return problems or [Problem(place=card.name, message="Its bytes are not those that were written (line ends?).")]


def check_facts(facts: CardFacts) -> list[Problem]:
    """Facts whose text does not follow from their value, or that the card shows in another way."""
    problems = []
    for item in facts.facts:
        expected = shown(item.fact.value, item.fact.form) if item.fact.value is not None else item.fact.text
        if item.fact.text != expected:
            problems.append(
                Problem(place=item.fact.id, message=f"facts.json shows {item.fact.text} for the value {expected}.")
            )
    return problems


def check_figures(folder: Path, facts: CardFacts) -> list[Problem]:
    """Figures that are missing or are not those that were written."""
    problems = []
    for name, digest in facts.figures.items():
        path = folder / name
        if not path.is_file():
            problems.append(Problem(place=f"figures/{name}", message="The figure is missing."))
        elif sha256_of_file(path) != digest:
            problems.append(Problem(place=f"figures/{name}", message="The figure is not the one that was written."))
    return problems


def _check_places(lines: list[str], facts: CardFacts) -> list[Problem]:
    """The card is as it was written; facts.json must still say the same."""
    problems = []
    for item in facts.facts:
        text = escape_text(item.fact.text, may_start_line=False)
        for line, column, _ in item.places:
            if not lines[line - 1].startswith(text, column):
                problems.append(
                    _problem(line, f"facts.json says {item.fact.text} for {item.fact.id}; the card does not.")
                )
    return problems


def _changed(number: int, line: str, facts: CardFacts) -> str:
    """What a changed line should say: the facts that stood there and do not any more."""
    wrong = [item for item in facts.facts for place in item.places if place[0] == number and not _stands(place, line)]
    if not wrong:
        return f"The line was changed: {_quoted(line)}"
    should = ", ".join(dict.fromkeys(f"{item.fact.id} = {item.fact.text}" for item in wrong))
    return f"The line does not say {should}: {_quoted(line)}"


def _stands(place: tuple[int, int, str], line: str) -> bool:
    """Whether the whole text of the fact stands at its place: a longer number there is another number."""
    _, column, text = place
    following = line[column + len(text) : column + len(text) + 1]
    return line.startswith(text, column) and not following.isalnum()


def _problem(line: int, message: str) -> Problem:
    return Problem(place=f"README.md, line {line}", message=message)


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 120 else f"{line[:119]}…")
