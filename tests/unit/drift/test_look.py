"""Texts against texts: no alarm beyond the level where they come from one place, an alarm where they do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from misbehaving_server import MisbehavingServer
from pydantic import ValidationError
from scipy import stats

from stsflow.flows.drift import asked_for, drift_of
from stsflow.tasks.drift.look import Looker, Measured, compare, look
from stsflow.tasks.drift.scripts import script_shares
from stsflow.tasks.drift.texts import DrawnTexts, source_of, texts_of_source, texts_of_training
from stsflow.tasks.drift.worker import NUMBERS, TEXTS, MeasureSpec, measure_texts
from stsflow.tasks.ground.errors import DataError, PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import DriftConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.drift import DriftMeasure
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.scenes.rows import generate
from stsflow.tasks.sets.rows import write_rows
from stsflow.tasks.shapes import Roles
from stsflow.tasks.sources import Access

LEVEL = 0.05


def sentences(split: str, language: str, count: int) -> list[str]:
    rows = generate("sts", split, count, (language,), 0)
    return [str(row["sentence1"]) for row in rows]


@pytest.fixture(scope="module")
def pools(tiny_xlmr: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    """Numbers of many texts: Korean scenes, the same cut short, scenes with other content words, English ones."""
    korean = sentences("train", "ko", 600)
    texts = {
        "training": korean,
        "truncated": [text[:7] for text in korean[:80]],
        "genre": [f"{text[:-1]}는지 궁금합니다. 어떻게 하나요?" for text in sentences("test", "ko", 80)],
        "language": sentences("train", "en", 80),
    }
    folders = {name: tmp_path_factory.mktemp(name) for name in texts}
    for name, some in texts.items():
        (folders[name] / TEXTS).write_text(json.dumps(some), encoding="utf-8")
    spec = MeasureSpec(model=tiny_xlmr, side=None, batch_size=64, device="cpu", folders=tuple(folders.values()))
    measure_texts(spec)
    return {name: Measured.load(folder / NUMBERS) for name, folder in folders.items()}


def part(pool: Measured, rows: Sequence[int]) -> Measured:
    return Measured(pool.embeddings[rows], pool.tokens[rows], pool.unknown[rows], pool.scripts[rows], pool.script_names)


def alarms(measures: Sequence[DriftMeasure]) -> list[str]:
    return [one.name for one in measures if one.adjusted <= LEVEL]


def test_the_same_texts_raise_no_more_alarms_than_the_level_over_1000_draws(pools: dict[str, Measured]) -> None:
    """Two samples of one pool, a thousand times; all four measures together, corrected."""
    generator, raised = np.random.default_rng(5), 0
    for _ in range(1000):
        rows = generator.permutation(600)[:80].tolist()
        before, now = part(pools["training"], rows[:40]), part(pools["training"], rows[40:])
        raised += bool(alarms(compare(before, now, 99, int(generator.integers(1 << 30)))))
    assert raised <= stats.binom.ppf(0.999, 1000, LEVEL)


@pytest.mark.parametrize(
    ("window", "seen_by"),
    [("truncated", {"length", "meaning"}), ("genre", {"length", "meaning"}), ("language", {"script", "meaning"})],
)
def test_other_texts_raise_an_alarm_and_the_measure_says_why(
    pools: dict[str, Measured], window: str, seen_by: set[str]
) -> None:
    before = part(pools["training"], list(range(100, 180)))
    assert seen_by <= set(alarms(compare(before, pools[window], 1999, seed=0)))


def test_scripts_are_those_of_letters_alone() -> None:
    names, shares = script_shares(["한국어 ok", "ＡＢ 12!", "Привет", "123", ""])
    assert names == ("Cyrillic", "Hangul", "Latin")
    assert shares.tolist() == [
        pytest.approx([0, 0.6, 0.4]), [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------- where texts are


def write_window(folder: Path, texts: Sequence[str], kind: str) -> Path:
    path = folder / f"window.{kind}"
    if kind == "txt":
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    elif kind == "csv":
        path.write_text("text\n" + "".join(f'"{text}"\n' for text in texts), encoding="utf-8")
    else:
        path = folder / "parts"
        path.mkdir()
        for number, start in enumerate(range(0, len(texts), 50)):
            parquet.write_table(pa.table({"text": list(texts[start : start + 50])}), path / f"{number}.parquet")
    return path


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "parquet"])
def test_texts_come_from_files_of_any_format_and_from_folders(tmp_path: Path, kind: str) -> None:
    texts = (
        [f'A man says "{number}", again.' for number in range(120)]
        if kind != "csv"
        else [f"A man says {number}, again." for number in range(120)]
    )
    path = write_window(tmp_path, texts, kind)
    found = texts_of_source(source_of([str(path)], "text"), "text", Access(None, tmp_path / "downloads"), 500, 0)
    assert list(found.drawn) == texts
    fewer = texts_of_source(source_of([str(path)], "text"), "text", Access(None, tmp_path / "downloads"), 60, 0)
    assert (fewer.texts, len(fewer.drawn)) == (120, 60)
    assert set(fewer.drawn) < set(texts)


def test_texts_come_from_an_address(http_server: MisbehavingServer, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(60)]
    url = http_server.serve("/window.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts).encode())
    found = texts_of_source(source_of([url], "text"), "text", Access(None, tmp_path / "downloads"), 500, 0)
    assert list(found.drawn) == texts


def test_too_few_texts_are_refused(tmp_path: Path) -> None:
    path = write_window(tmp_path, ["one", "", "two"], "jsonl")
    with pytest.raises(DataError, match=r"window.jsonl: 2 texts in the column 'text'; at least 50 are needed"):
        texts_of_source(source_of([str(path)], "text"), "text", Access(None, tmp_path / "downloads"), 500, 0)


def test_a_column_that_is_not_there_is_refused_with_what_names_it(tmp_path: Path) -> None:
    path = write_window(tmp_path, ["one"] * 60, "jsonl")
    with pytest.raises(DataError, match=r"no column 'query'.*`--column`, or `drift.column`"):
        texts_of_source(source_of([str(path)], "query"), "query", Access(None, tmp_path / "downloads"), 500, 0)


def prepared(folder: Path) -> PreparedData:
    """Two training sets, of pairs and of texts that are alike."""
    columns = {"anchor": [f"q{n}" for n in range(100)], "positive": [f"d{n}" for n in range(100)]}
    alike = {"sentence1": [f"a{n}" for n in range(30)], "sentence2": [f"b{n}" for n in range(30)]}
    sets = []
    for name, shape, rows in (("pairs", "pairs", columns), ("alike", "scored_pairs", alike)):
        digest = write_rows(pa.table(rows), folder / name)
        sets.append(
            PreparedSet(
                name=name,
                role="train",
                shape=shape,
                roles=Roles(tuple(rows)),
                title=name,
                path=folder / name,
                columns=tuple(rows),
                digest=digest,
                rows=len(next(iter(rows.values()))),
                counts=RowCounts(read=1, kept=1),
                source=SourceRef(kind="files", name="x", uri="x", revision=""),
            )
        )
    return PreparedData(fingerprint="", train=tuple(sets), evaluation=())


def test_training_texts_are_those_of_the_side_that_is_asked_for(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    by_side = {side: texts_of_training(data, side, 5000, 0) for side in (None, "query", "document")}
    letters = {side: {text[0] for text in found.drawn} for side, found in by_side.items()}
    assert letters == {None: {"q", "d", "a", "b"}, "query": {"q", "a", "b"}, "document": {"d", "a", "b"}}
    assert by_side[None].texts == 260
    some = texts_of_training(data, None, 70, 1)
    assert len(some.drawn) == 70 and some == texts_of_training(data, None, 70, 1)
    assert {"q", "d"} <= {text[0] for text in some.drawn}


# ------------------------------------------------------------------------------------------------- the look as a whole


def test_a_look_keeps_numbers_and_no_texts_and_finds_them_again(
    tiny_xlmr: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    korean, english = sentences("train", "ko", 120), sentences("train", "en", 60)
    config = DriftConfig(texts=source_of(["unused.jsonl"], "text"))
    model = Looker("tiny", tiny_xlmr, "d1" * 32, device="cpu")
    reference, window = DrawnTexts("before", 120, tuple(korean)), DrawnTexts("now", 60, tuple(english))
    report = look(model, reference, window, config, workspace)
    assert report.due and "script" in {one.name for one in report.moved}
    assert report.reference.scripts["Hangul"] > 0.9 and report.window.scripts["Latin"] > 0.9
    assert report.verdict.startswith("retraining is due: at the level 0.01")
    kept = b"".join(path.read_bytes() for path in (workspace.root / "drift").rglob("*") if path.is_file())
    assert korean[0].encode() not in kept and english[0].encode() not in kept
    monkeypatch.setattr("stsflow.tasks.drift.look.run_child", None)  # what is known is not read again
    same = look(model, reference, DrawnTexts("again", 120, tuple(korean)), config, workspace)
    assert not same.due and same.verdict.startswith("no drift at the level 0.01")


@pytest.mark.usefixtures("workspace")
def test_two_windows_are_compared_with_each_other(tiny_xlmr: Path, tmp_path: Path) -> None:
    korean = sentences("train", "ko", 160)
    (tmp_path / "a").mkdir()
    before = write_window(tmp_path / "a", korean[:80], "jsonl")
    now = write_window(tmp_path, korean[80:], "txt")
    with pytest.raises(PreconditionError, match="no texts to look at"):
        drift_of(str(tiny_xlmr), [], [str(before)], None)
    with pytest.raises(PreconditionError, match="nothing to compare"):
        drift_of(str(tiny_xlmr), [str(now)], [], None)
    report = drift_of(str(tiny_xlmr), [str(now)], [str(before)], None)
    assert (report.reference.taken, report.window.taken, report.due) == (80, 80, False)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="level"):
        asked_for(None, ["a.jsonl"], [], level=float("nan"))
    with pytest.raises(ValidationError, match=r"need one of 0\.0025; at least 399 are allowed"):
        DriftConfig(texts=source_of(["a.jsonl"], "text"), permutations=398)
    assert DriftConfig(texts=source_of(["a.jsonl"], "text"), permutations=399).level == 0.01
    assert asked_for(None, [], ["a.jsonl"]) is None
