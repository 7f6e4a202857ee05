from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.plan.findings import merge_findings, one_a_cause
from stsflow.tasks.plan.report import duration, exposure_table, forecast_rows, plan_markdown, print_plan
from stsflow.tasks.recipe.sections import TrainingConfig
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import Exposure, Forecast, PlanReport
from stsflow.tasks.training.disk import check_disk, checkpoint_room


def finding(severity: str, code: str) -> Finding:
    return Finding.model_validate(
        {
            "severity": severity,
            "code": code,
            "subject": "nli",
            "message": f"About [nli] {code}.",
            "remedy": "Mend | it.",
        }
    )


def report() -> PlanReport:
    seen = Exposure(
        name="kornli", rows=568_640, batches=719, batches_per_epoch=719, rows_seen=5_752, rows_seen_per_epoch=5_752,
        unique_rows_seen=5_752, repeats=0, seen_share=5_752 / 568_640, seen_share_per_epoch=5_752 / 568_640,
        left_out_by_sampler=0, batch_size=8, effective_batch_size=8, in_batch_negatives=15.0,
    )  # fmt: skip
    forecast = Forecast(
        probe_steps=24, train_seconds=4000, train_seconds_low=3000, train_seconds_high=5000, cpu_seconds=8000,
        peak_memory_bytes=2**31, memory_limit_bytes=2**34, padding_share=0.5, suggested_max_seq_length=48,
        suggested_cut_share=0.008, suggested_batch_size=32, cost=1.5, currency="EUR",
    )  # fmt: skip
    return PlanReport(
        steps=1438, steps_per_epoch=1438, epochs=1, exposure=(seen,), forecast=forecast,
        ends_with="round robin ends with the smallest data set: korsts, 719 batches",
        findings=merge_findings([finding("info", "c"), finding("warning", "b")], [finding("error", "a")]),
    )  # fmt: skip


def test_findings_come_worst_first_and_once() -> None:
    merged = merge_findings([finding("info", "c")], [finding("error", "a"), finding("info", "c")])
    assert [item.code for item in merged] == ["a", "c"]


def test_the_page_has_problems_first_with_remedies_then_the_numbers() -> None:
    console = Console(record=True, width=160, force_terminal=False)
    print_plan(report(), console)
    text = console.export_text()
    order = [
        "About [nli] a.",
        "remedy:",
        "Mend |",
        "About [nli] b.",
        "1,438 steps",
        "kornli",
        "1.01%",
        "About [nli] c.",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "1 h 6 min (50 min 0 s to 1 h 23 min)" in text
    assert "2.0 GiB of 16.0 GiB" in text
    assert "1.50 EUR" in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_fits_a_terminal(width: int) -> None:
    long = [finding("warning", "word " * 60), finding("info", "word " * 60)]
    shown = report().model_copy(update={"findings": tuple(long), "exposure": report().exposure * 3})
    console = Console(record=True, width=width, force_terminal=False)
    print_plan(shown, console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert [line for line in lines if "5,752 (1.01%)" in line] and "seen in the run" in "\n".join(lines)  # nothing cut


def test_rows_of_the_table_artifact() -> None:
    (row,) = exposure_table(report())
    assert row["batches"] == "719 x 8"
    assert row["seen an epoch"] == "5,752 (1.01%)"


def test_markdown_cannot_be_broken_by_a_finding() -> None:
    text = plan_markdown(report())
    assert "| warning | nli | About [nli] b. Mend \\| it. |" in text
    assert "## What the model will see" in text
    assert "## Forecast" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 s"), (45, "45 s"), (725, "12 min 5 s"), (12_000, "3 h 20 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_checkpoints_need_twelve_bytes_a_weight_each_and_the_model_four(base: BaseModelRef) -> None:
    # two kept, the best one, the one being written: 4 x 12 MB, and 4 MB for the model
    assert checkpoint_room(base, TrainingConfig(keep_checkpoints=2)) == 52_000_000


def test_a_full_disk_is_refused_with_both_numbers(base: BaseModelRef, tmp_path: Path) -> None:
    huge = base.model_copy(update={"parameters": 10**15})
    with pytest.raises(PreconditionError, match=r"GiB free; 4 checkpoints .* need 48428773\.88 GiB\."):
        check_disk(huge, TrainingConfig(), tmp_path / "not" / "there" / "yet")
    check_disk(base, TrainingConfig(), tmp_path)


def test_findings_of_one_cause_are_one_and_name_all_sets() -> None:
    each = [finding("warning", "low").model_copy(update={"subject": name}) for name in ("nli", "sts", "qa")]
    other = finding("warning", "low").model_copy(update={"remedy": "Another."})
    first, second = one_a_cause([*each, other])
    assert first.subject == "nli, sts, qa" and first.message.endswith("The same holds for sts, qa.")
    assert second == other


def test_a_finding_in_words_names_what_it_is_about() -> None:
    bare = finding("warning", "x").model_copy(update={"message": "12 fields hold a mark.", "subject": "dev.tsv"})
    assert bare.in_words() == "dev.tsv: 12 fields hold a mark. Mend | it."
    assert finding("warning", "x").in_words() == "About [nli] x. Mend | it."


def test_no_length_is_said_to_suffice_that_cuts_a_fifth() -> None:
    plan = report()
    assert plan.forecast is not None
    rows = dict(forecast_rows(plan.forecast.model_copy(update={"suggested_cut_share": 0.2})))
    assert rows["max_seq_length that suffices"] == (
        "more than 48, the run's own, which cuts 20.00% of the training texts"
    )
    assert dict(forecast_rows(plan.forecast))["max_seq_length that suffices"] == "48 (cuts 0.80% of the training texts)"
