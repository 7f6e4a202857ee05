"""Records on disk: valid JSON whatever the numbers, and a damaged one is one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from stsflow.flows.command.shared import in_json
from stsflow.tasks.ground.errors import DamagedRecord
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.made.folder import SEAL, seal, what_is_wrong
from stsflow.tasks.records.evaluation import SeedSummary
from stsflow.tasks.records.release import RuleOutcome


class Nested(Record):
    """Everything that a record may hold a number in."""

    plain: float
    maybe: float | None = None
    points: tuple[tuple[str, float], ...] = ()
    outcome: RuleOutcome
    lever: LeverState


def refuse_constants(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def test_numbers_that_are_not_finite_are_valid_json_and_come_back(tmp_path: Path) -> None:
    record = Nested(
        plain=math.nan, maybe=-math.inf, points=(("loss", math.inf),),
        outcome=RuleOutcome(rule="r", holds=False, reason="", numbers={"score": math.nan}),
        lever=LeverState("l", "auto", "on", "", proof={"share": math.nan}),
    )  # fmt: skip
    path = record.write(tmp_path / "record.json")
    written = json.loads(path.read_text("utf-8"), parse_constant=refuse_constants)
    assert (written["plain"], written["maybe"], written["points"]) == ("NaN", "-Infinity", [["loss", "Infinity"]])
    loaded = Nested.load(path)
    assert math.isnan(loaded.plain) and loaded.maybe == -math.inf and loaded.points == (("loss", math.inf),)
    assert math.isnan(loaded.outcome.numbers["score"]) and math.isnan(loaded.lever.proof["share"])


def test_what_a_command_prints_has_null_for_them() -> None:
    printed = in_json({"a": math.nan, "b": [1.5, (-math.inf,)], "c": {"d": "NaN", "e": True}})
    assert printed == {"a": None, "b": [1.5, [None]], "c": {"d": "NaN", "e": True}}


@pytest.mark.parametrize("content", [None, b"", b"{", b"null", b"[]", b"\x00" * 40, b'{"suite": 1}', b"[" * 100_000])
def test_a_damaged_record_is_one_sentence_that_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "seeds.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DamagedRecord) as caught:
        SeedSummary.load(path)
    assert str(path) in caught.value.message and "\n" not in caught.value.message and caught.value.exit_code == 2
    assert SeedSummary.load_or_none(path) is None


@pytest.mark.parametrize("damage", ["", "{}", '{"files": 3}', '{"files": {"a.txt": 1}}', "[]"])
def test_a_folder_with_a_damaged_seal_is_not_used(tmp_path: Path, damage: str) -> None:
    (tmp_path / SEAL).write_text(damage, "utf-8")
    assert what_is_wrong(tmp_path) == "it has no readable seal"


def test_a_sealed_folder_knows_a_flipped_byte(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_bytes(b'{"score": 0.71}')
    seal(tmp_path)
    assert what_is_wrong(tmp_path) == ""
    (tmp_path / "scores.json").write_bytes(b'{"score": 0.91}')
    assert what_is_wrong(tmp_path) == "scores.json is not what was sealed (SHA-256 differs)"
