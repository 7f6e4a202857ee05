"""verify-card lists what a person added to a card, and takes it for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from finished_card import Finished
from rich.console import Console

from stsflow.flows.verify_card import print_verification


def sentence_of_its_own(text: str) -> str:
    return text.replace("## Model Details", "Certified by everybody.\n\n## Model Details", 1)


def section_at_the_end(text: str) -> str:
    return text + "\n## Our own trial\n\n| Query | Found |\n|---|---|\n| invoice | yes |\n"


def table_between_paragraphs(text: str) -> str:
    return text.replace(
        "## Training Details", "| Suite | Score |\n|---|---|\n| unseen | 0.99 |\n\n## Training Details", 1
    )


def a_part_of_the_card_once_more(text: str) -> str:
    start, end = text.index("## Bias, Risks and Limitations"), text.index("## Training Details")
    return text[:start] + text[start:end] + text[start:]


def empty_lines(text: str) -> str:
    return text.replace("## Training Details", "\n\n## Training Details", 1)


ADDITIONS: dict[Callable[[str], str], str] = {
    sentence_of_its_own: "Certified by everybody.",
    section_at_the_end: "## Our own trial\n\n| Query | Found |\n|---|---|\n| invoice | yes |",
    table_between_paragraphs: "| Suite | Score |\n|---|---|\n| unseen | 0.99 |",
    empty_lines: "",
}


@pytest.mark.parametrize("add", ADDITIONS, ids=lambda add: add.__name__)
def test_what_was_added_by_hand_is_listed_with_its_line_and_the_card_holds(
    finished: Finished, add: Callable[[str], str]
) -> None:
    text = add((finished.model / "README.md").read_text(encoding="utf-8"))
    (finished.model / "README.md").write_text(text, encoding="utf-8")
    result = finished.verify(finished.run.root)
    assert (result.outcome, result.problems) == ("holds", ())
    (addition,) = result.added
    assert addition.text == ADDITIONS[add]
    place, _, line = addition.place.rpartition(" ")
    assert place == "model/README.md, line"
    assert text.split("\n")[int(line) - 1] == ADDITIONS[add].split("\n")[0]


def test_a_section_that_stands_twice_is_an_addition(finished: Finished) -> None:
    text = a_part_of_the_card_once_more((finished.model / "README.md").read_text(encoding="utf-8"))
    (finished.model / "README.md").write_text(text, encoding="utf-8")
    result = finished.verify()
    assert (result.outcome, result.problems) == ("holds", ())
    assert "Bias, Risks and Limitations" in "".join(addition.text for addition in result.added)


def test_a_person_reads_what_was_added_and_that_nobody_else_vouches_for_it(finished: Finished) -> None:
    text = sentence_of_its_own((finished.model / "README.md").read_text(encoding="utf-8"))
    (finished.model / "README.md").write_text(text, encoding="utf-8")
    said = StringIO()
    print_verification(finished.verify(), Console(file=said, width=200))
    line = text.split("\n").index("Certified by everybody.") + 1
    assert f'added by hand: README.md, line {line}: "Certified by everybody."' in said.getvalue()
    assert "holds; 1 addition(s) by hand, which no record makes" in said.getvalue()


def test_additions_are_listed_beside_a_change_that_is_refused(finished: Finished) -> None:
    text = sentence_of_its_own((finished.model / "README.md").read_text(encoding="utf-8"))
    (finished.model / "README.md").write_text(text.replace("is better", "is far better"), encoding="utf-8")
    result = finished.verify()
    assert not result.holds
    assert [addition.text for addition in result.added] == ["Certified by everybody."]
