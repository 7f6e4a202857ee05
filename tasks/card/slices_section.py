"""What the card says of slices: where the tuned model got better and worse, and the rows that moved most."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from stsflow.tasks.card.escape import clean, shorten
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, Sentence, sentence
from stsflow.tasks.ground.files import write_bytes_atomically
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.evaluation import Difference, MovedRow, MovedRows, SuiteScores
from stsflow.tasks.suites import Suite

SHOWN = 3
"""Rows each way that the card itself shows."""


class SliceRow(Record):
    """One slice."""

    name: Fact
    rows: Fact
    change: Fact
    interval: tuple[Fact, Fact]
    p_value: Fact
    verdict: str
    """`better`, `worse` or `not told apart`."""


class MovedLine(Record):
    """One row of the suite."""

    row: Fact
    texts: tuple[Fact, ...]
    before: Fact
    after: Fact


class SlicesBlock(Record):
    """A suite's slices and the rows that moved most."""

    told: Sentence
    rows: tuple[SliceRow, ...]
    moved_how: str
    columns: tuple[str, ...]
    better: tuple[MovedLine, ...]
    worse: tuple[MovedLine, ...]


def slices_block(evidence: Evidence, tuned: SuiteScores) -> SlicesBlock | None:
    """The block of a suite; None where nothing was compared by slices and no row is known to have moved."""
    models = evidence.base_scores.model, evidence.tuned_scores.model
    found = next(
        (
            one
            for one in evidence.differences
            if one.suite == tuned.suite and one.metric == tuned.primary and (one.first, one.second) == models
        ),
        None,
    )
    moved = evidence.moved.get(tuned.suite)
    if (found is None or found.slices is None) and moved is None:
        return None
    rows = tuple(_rows(evidence, tuned, found)) if found else ()
    return SlicesBlock(
        told=_told(evidence, tuned, found, rows),
        rows=rows,
        moved_how=_HOW if moved and _has_gold(moved) else "Before and after are the row's own score.",
        columns=moved.columns if moved else (),
        better=tuple(_lines(evidence, tuned, "better", moved.better)) if moved else (),
        worse=tuple(_lines(evidence, tuned, "worse", moved.worse)) if moved else (),
    )


_HOW = (
    "Before and after say how far the model's rank of the row lies from that of its gold score, as a share of all "
    "ranks and with a minus, so that nearer to nothing is better."
)


def _has_gold(moved: MovedRows) -> bool:
    return any(one.gold is not None for one in (*moved.better, *moved.worse))


def _told(evidence: Evidence, tuned: SuiteScores, found: Difference | None, rows: tuple[SliceRow, ...]) -> Sentence:
    if found is None or found.slices is None:
        return sentence("Slices were not compared.")
    source, name = evidence.source("Difference", suite=tuned.suite, rows=tuned.rows), f"slices.{tuned.suite}"
    worse = sum(row.verdict == "worse" for row in rows)
    parts: list[Fact | str] = [
        "Of ", source.fact(f"{name}.count", len(rows), "count"), " slices the tuned model is shown to be worse on ",
        source.fact(f"{name}.worse", worse, "count"), ". The models were exchanged at "
        "random within rows; all intervals together hold with ",
        source.fact(f"{name}.confidence", found.slices.confidence, "percent"), " confidence",
    ]  # fmt: skip
    if found.slices.too_small:
        parts += [
            "; ", source.fact(f"{name}.too_small", found.slices.too_small, "count"), " slices of fewer than ",
            source.fact(f"{name}.fewest_rows", found.slices.fewest_rows, "count"), " rows were not compared",
        ]  # fmt: skip
    return sentence(*parts, ".")


def _rows(evidence: Evidence, tuned: SuiteScores, found: Difference) -> Iterator[SliceRow]:
    gain = Suite.of(tuned.kind).metric(tuned.primary).gain
    for number, one in enumerate(found.slices.items if found.slices else ()):
        source = evidence.source("Difference", suite=tuned.suite, rows=one.rows)
        name, ends = f"slices.{tuned.suite}.{number}", (gain(one.low), gain(one.high))
        yield SliceRow(
            name=source.fact(f"{name}.name", shorten(one.name, 80)),
            rows=source.fact(f"{name}.rows", one.rows, "count"),
            change=source.fact(f"{name}.change", one.difference, "change"),
            interval=(
                source.fact(f"{name}.low", one.low, "change"), source.fact(f"{name}.high", one.high, "change")
            ),
            p_value=source.fact(f"{name}.p_value", one.p_value, "p_value"),
            verdict="better" if min(ends) > 0 else "worse" if max(ends) < 0 else "not told apart",
        )  # fmt: skip


def _lines(evidence: Evidence, tuned: SuiteScores, way: str, rows: tuple[MovedRow, ...]) -> Iterator[MovedLine]:
    source = evidence.source("MovedRows", suite=tuned.suite, rows=tuned.rows)
    for number, one in enumerate(rows[:SHOWN]):
        name = f"moved.{tuned.suite}.{way}.{number}"
        yield MovedLine(
            row=source.fact(f"{name}.row", one.row, "count"),
            texts=tuple(source.fact(f"{name}.text.{n}", shorten(text)) for n, text in enumerate(one.texts)),
            before=source.fact(f"{name}.before", one.before, "change"),
            after=source.fact(f"{name}.after", one.after, "change"),
        )


def slices_picture(suite: str) -> str:
    """Name in figures/ of the picture of a suite's slices."""
    return f"slices-{suite}.png"


def moved_table(suite: str) -> str:
    """Name in figures/ of the table of the rows that moved most."""
    return f"moved-{suite}.csv"


def write_moved(moved: MovedRows, path: Path) -> Path:
    """All rows that moved most as CSV (RFC 4180, UTF-8): no text is a formula to a spreadsheet, or more than a line."""
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL)
    writer.writerow(["moved", "row", *(_cell(name) for name in moved.columns), "gold", "before", "after", "change"])
    for way, rows in (("better", moved.better), ("worse", moved.worse)):
        for one in rows:
            numbers = [f"{value:.6f}" for value in (one.before, one.after, one.change)]
            gold = "" if one.gold is None else f"{one.gold:.6f}"
            writer.writerow([way, one.row, *(_cell(text) for text in one.texts), gold, *numbers])
    return write_bytes_atomically(path, table.getvalue().encode("utf-8"))


def _cell(text: str) -> str:
    """The text on one line; with an apostrophe before what a spreadsheet would take for a formula."""
    plain = clean(text)
    return f"'{plain}" if plain[:1] in ("=", "+", "-", "@") else plain
