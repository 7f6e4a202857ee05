"""What the card says of exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stsflow.tasks.card.content import CardContent, gather_content
from stsflow.tasks.card.facts import facts_in
from stsflow.tasks.card.render import render_card
from stsflow.tasks.exports import Limits
from stsflow.tasks.records.evaluation import Difference, Interval
from stsflow.tasks.records.exports import ExportFigures, ExportOutcome, Exports, Speed


def exported(records: Any) -> CardContent:
    """One export that is released and one that could not be made; its reason names a folder of the machine."""
    tuned = records.tuned_scores
    interval = Interval(low=-0.0031, high=0.0012, confidence=0.95, resamples=10_000)
    item = ExportOutcome(
        name="small", kind="onnx_int8", folder=Path("/somewhere/exports/0a/export"), digest="5a" * 32,
        main_file="model.onnx", dimension=384, passed=True, limits=Limits(max_distance=0.1, metric_loss=0.01),
        snippet="import onnxruntime",
        figures=ExportFigures(
            texts=512, max_distance=0.0123, mean_distance=0.0045, batch_distance=0.0002,
            scores=tuned.model_copy(update={"model": "small"}),
            speed=(Speed(batch=1, milliseconds=2.5), Speed(batch=32, milliseconds=40.0)), size_bytes=3 * 2**20,
            seconds=1.0,
        ),
        differences=(
            Difference(
                suite="sts-test", metric="spearman_cosine", first="tuned", second="small", rows=1379,
                difference=-0.0009, interval=interval, p_value=0.4, rows_needed=None,
            ),
        ),
    )  # fmt: skip
    log = records.run.folder.parent.parent / "exports" / "0b.log"
    lost = ExportOutcome(
        name="vino", kind="openvino", main_file="model.xml", passed=False,
        reasons=(f"making it ended with code 1: no such operator (its log is {log})",),
    )  # fmt: skip
    found = Exports(
        model_digest=records.trained.model_digest, model_bytes=90 * 2**20, texts=512,
        speed=(Speed(batch=1, milliseconds=5.0), Speed(batch=32, milliseconds=80.0)), items=(item, lost),
    )  # fmt: skip
    evidence = records.content().evidence.model_copy(update={"exports": found, "run": records.run})
    return gather_content(evidence)


def test_a_table_says_what_each_costs_beside_the_model_itself(records: Any) -> None:
    lines = render_card(exported(records)).split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("| the tuned model in PyTorch |"))
    assert lines[start : start + 3] == [
        "| the tuned model in PyTorch | – | – | 90.0 MiB | 384 | – | – | – | – | 5.00 | 400.00 |  |",
        "| small | onnx_int8 | `model.onnx` | 3.0 MiB | 384 | 0.0123 | 0.0045 | 0.0002 | 0.1, none, 0.01 | 2.50 | "
        "800.00 | released |",
        "| vino | openvino | `model.xml` | – | – | – | – | – | none, none, none | – | – | **not released** |",
    ]
    assert "| small | KorSTS test | `spearman_cosine` | 0.7654 | -0.0009 | -0.0031 to +0.0012 |" in lines


def test_one_that_is_missing_has_its_reason_and_no_folder_of_the_machine(records: Any) -> None:
    content = exported(records)
    card = render_card(content)
    assert "- vino (openvino) is not released: making it ended with code 1: no such operator" in card
    assert str(records.run.folder.parent.parent) not in card and "(its log is exports/0b.log)" in card
    assert "<summary>small (SHA-256" in card and "import onnxruntime" in card and "<summary>vino" not in card


def test_every_figure_is_a_fact_with_its_source(records: Any) -> None:
    facts = facts_in(exported(records))
    fact = facts["export.small.sts-test.spearman_cosine.change"]
    assert (fact.value, fact.source.rows, fact.source.model_digest) == (-0.0009, 1379, "5a" * 32)
    assert facts["export.small.max_distance"].value == 0.0123
    assert facts["export.torch.texts_per_second"].value == 400.0


def test_a_run_without_exports_has_no_such_section(records: Any) -> None:
    content = records.content()
    assert content.exports is None and "## Exports" not in render_card(content)
