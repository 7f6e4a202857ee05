"""Names of metrics say what they count."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import Exposure, PlanReport
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.records.training import MeasuredEnergy, TrainedModel
from stsflow.tasks.tracking.entries import preparation, training_result
from stsflow.tasks.tracking.journal import Metrics, Tags


def test_rows_seen_are_distinct_rows() -> None:
    """600 rows, all of them seen, 21 of them twice."""
    seen = Exposure(
        name="nli", rows=600, batches=78, batches_per_epoch=75, rows_seen=621, rows_seen_per_epoch=600,
        unique_rows_seen=600, repeats=21, seen_share=1.0, seen_share_per_epoch=1.0, left_out_by_sampler=0, batch_size=8,
        effective_batch_size=8, in_batch_negatives=7.0,
    )  # fmt: skip
    base = BaseModelRef(
        name="b", kind="directory", path=Path("b"), revision="0", digest="0", weights_sha256="0", architecture="bert",
        parameters=1, dimension=1, position_limit=None, max_seq_length=8, pooling="keep",
    )  # fmt: skip
    plan = PlanReport(steps=78, steps_per_epoch=75, epochs=1.04, exposure=(seen,), ends_with="")
    tokens = TokenReport(fingerprint="0", tokenizer="t", vocabulary=1, max_seq_length=8, sets=())
    data = PreparedData(fingerprint="0", train=(), evaluation=())
    (metrics,) = (e for e in preparation(base, data, tokens, plan, {}) if isinstance(e, Metrics))
    values = {name: value for name, value, _, _ in metrics.points}
    assert (values["data/nli/rows_seen"], values["data/nli/rows_repeated"]) == (600, 21)


def test_energy_is_a_metric_with_its_counters_or_a_tag_that_says_why_not(tmp_path: Path) -> None:
    trained = TrainedModel(
        fingerprint="f", folder=tmp_path, model=tmp_path, model_digest="m", weights_sha256="w", steps=3, epochs=1.0,
        best_step=None, best_metric=None, choose_metric="", train_loss=0.5, train_seconds=1, cpu_seconds=1,
        peak_memory_bytes=1, log=(),
        energy=(
            MeasuredEnergy(part="processor", joules=None, how="the kernel shows none"),
            MeasuredEnergy(part="gpu", joules=7200.0, how="NVML's counters"),
        ),
    )  # fmt: skip
    metrics, tags = training_result(trained)
    assert isinstance(metrics, Metrics)
    assert {name: value for name, value, *_ in metrics.points if "joules" in name} == {"train/gpu_joules": 7200.0}
    assert isinstance(tags, Tags)
    assert tags.values["stsflow.energy.processor"] == "not measured: the kernel shows none"
    assert tags.values["stsflow.energy.gpu"] == "measured: NVML's counters"
