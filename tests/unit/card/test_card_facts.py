"""Numbers and where they come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stsflow.tasks.card.content import content_of
from stsflow.tasks.card.evidence import CardFacts
from stsflow.tasks.card.facts import FactSource, facts_in, sentence, shown
from stsflow.tasks.card.render import render_placed, write_card
from stsflow.tasks.records.findings import Finding

# A number by itself; digits inside names (p95, sentence1, sts-2012) belong to the name.
NUMBER = re.compile(r"(?<![\w.,-])[-+]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])")


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (1234567, "count", "1,234,567"),
        (0.85125, "score", "0.8512"),
        (-0.01, "change", "-0.0100"),
        (0.01012, "share", "1.01 %"),
        (0.95, "percent", "95 %"),
        (19.7, "decimal", "19.70"),
        (5e-05, "rate", "5e-05"),
        (0.00002, "p_value", "below 0.0001"),
        (0.0312, "p_value", "0.0312"),
        (59.94, "duration", "59.9 s"),
        (754.2, "duration", "12 min 34 s"),
        (3725, "duration", "1 h 02 min"),
        (1_610_612_736, "bytes", "1.5 GiB"),
        (float("nan"), "score", "not defined"),
        (None, "score", "not defined"),
        ("v1", "text", "v1"),
    ],
)
def test_values_are_written_by_their_form(value: Any, form: Any, text: str) -> None:
    assert shown(value, form) == text


def test_one_name_cannot_stand_for_two_values() -> None:
    source = FactSource(record="here")
    twice = sentence(source.fact("a", 1, "count"), source.fact("a", 2, "count"))
    with pytest.raises(ValueError, match="The fact a has two values: 1 and 2"):
        facts_in(twice)


def test_every_number_of_the_measured_sections_is_a_fact(records: Any) -> None:
    card, places = render_placed(records.content())
    lines = card.split("\n")
    for spots in places.values():
        for line, column, text in spots:
            assert lines[line - 1][column : column + len(text)] == text
    masked = list(lines)
    for spots in places.values():
        for line, column, text in spots:
            masked[line - 1] = masked[line - 1][:column] + " " * len(text) + masked[line - 1][column + len(text) :]
    text = "\n".join(masked)
    measured = text[text.index("\n## Evaluation\n") : text.index("\n### Reproduction\n")]
    measured = re.sub(r"```.*?```|\]\([^)]*\)", "", measured, flags=re.DOTALL)  # code and addresses
    assert NUMBER.findall(measured) == []


def test_each_score_names_suite_split_rows_and_digests(records: Any) -> None:
    ref = write_card(records.content(), records.run.folder / "card", records.run.folder / "model")
    assert ref.facts is not None
    loaded = CardFacts.load(ref.facts)
    fact = next(item.fact for item in loaded.facts if item.fact.id == "tuned.sts-test.spearman_cosine")
    assert fact.value == pytest.approx(0.7654)
    assert fact.source.model_dump() == {
        "record": "SuiteScores.metrics", "mlflow_run_id": "0123456789abcdef0123456789abcdef", "suite": "sts-test",
        "data_set": "", "split": "test", "rows": 1379, "data_digest": "e2" * 32, "model_digest": "70" * 32,
    }  # fmt: skip
    assert all(item.fact.source.mlflow_run_id for item in loaded.facts)


def test_card_facts_and_figures_lie_in_both_folders(records: Any) -> None:
    run = records.run.folder
    ref = write_card(records.content(), run / "card", run / "model")
    assert ref.path == run / "card" / "README.md"
    names = {
        "base-vs-tuned.png", "training-curve.png", "token-lengths.png", "gold-vs-predicted-sts-dev.png",
        "gold-vs-predicted-sts-test.png",
    }  # fmt: skip
    assert {path.name for path in ref.figures} == names
    for folder in (run / "card", run / "model"):
        text = (folder / "README.md").read_text(encoding="utf-8")
        shown_figures = set(re.findall(r"\(figures/([^)]+)\)", text))
        assert shown_figures == names == {path.name for path in (folder / "figures").iterdir()}
    assert (run / "card" / "README.md").read_bytes() == (run / "model" / "README.md").read_bytes()


def test_nothing_that_ships_names_a_folder_of_the_machine(records: Any) -> None:
    """Paths of the workspace, of the data and of the person, in fields and inside of messages."""
    where = f"{records.recipe.data.root}/KorSTS/sts-dev.tsv, line 3: something"
    finding = Finding(severity="warning", code="x", subject="korsts", message=where, remedy=f"See {Path.home()}/notes.")
    run = records.run.folder
    tagged = records.data.model_copy(update={"findings": (*records.data.findings, finding)})
    ref = write_card(records.but(data=tagged).content(), run / "card", run / "model")
    assert ref.facts is not None
    for path in (ref.path, ref.facts):
        text = path.read_text(encoding="utf-8")
        for folder in (str(run.parents[3]), "/home/somebody", str(Path.home()), str(Path.cwd()), "sqlite:"):
            assert folder not in text, (path.name, folder)
    assert "KorSTS/sts-dev.tsv, line 3" in ref.facts.read_text(encoding="utf-8")


def test_the_records_in_facts_json_make_the_same_card_again(records: Any) -> None:
    ref = write_card(records.content(), records.run.folder / "card", records.run.folder / "model")
    assert ref.facts is not None
    again = content_of(CardFacts.load(ref.facts).evidence)
    assert render_placed(again)[0] == ref.path.read_text(encoding="utf-8")


def test_a_picture_that_is_not_there_stops_the_card(records: Any) -> None:
    content = records.but(histogram=records.run.folder / "nowhere.png").content()
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        write_card(content, records.run.folder / "card", records.run.folder / "model")
    assert not (records.run.folder / "card" / "README.md").exists()
