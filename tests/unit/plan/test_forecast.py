"""Expected numbers are worked by hand beside each case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stsflow.tasks.plan.forecast import ProbeResult, TokenWork, forecast, forecast_findings, suggested_length
from stsflow.tasks.plan.probe import planned_checkpoints, probe_result
from stsflow.tasks.recipe.sections import PlanConfig, TrainingConfig
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import Forecast, PlanReport
from stsflow.tasks.records.tokens import LengthStatistics, SetTokens, TokenReport

GIB = 2**30


def token_report(histogram: dict[int, int], limit: int = 64) -> TokenReport:
    rows = sum(histogram.values())
    column = LengthStatistics(
        rows=rows, distinct=rows, minimum=1, mean=1, median=1, p95=1, p99=1, maximum=max(histogram), tokens=1,
        truncated_rows=0, truncated_share=0, unknown_tokens=0, unknown_share=0, histogram=histogram,
    )  # fmt: skip
    training = SetTokens(name="nli", role="train", columns={"anchor": column}, padding_share=0.5, batch_size=8)
    evaluation = training.model_copy(update={"role": "evaluation", "name": "dev"})
    return TokenReport(fingerprint="0", tokenizer="t", vocabulary=10, max_seq_length=limit, sets=(training, evaluation))


def plan(steps: int) -> PlanReport:
    return PlanReport(steps=steps, steps_per_epoch=steps, epochs=1, exposure=(), ends_with="")


def make(base: BaseModelRef, probe: ProbeResult, work: TokenWork, config: PlanConfig | None = None) -> Forecast:
    steps = len(work.step_tokens)
    return forecast(probe, work, token_report({10: 99, 40: 1}), plan(steps), base, config or PlanConfig(), batch_size=8)


def test_equal_steps_are_multiplied_and_the_margin_is_the_blind_one(base: BaseModelRef) -> None:
    # 12 steps: the first three (two are slow) are left out; nine of 2 s with 100 tokens each; the run has 1,000 such.
    probe = ProbeResult(
        step_seconds=(30.0, 9.0, *[2.0] * 10), cpu_seconds=(30.0, 9.0, *[3.0] * 10),
        peak_memory_bytes=GIB, memory_limit_bytes=16 * GIB,
    )  # fmt: skip
    work = TokenWork(np.full(1000, 100), np.full(1000, 100), padding_share=0.25)
    result = make(base, probe, work, PlanConfig(price_per_hour=1.8, currency="EUR"))
    assert result.train_seconds == pytest.approx(2000)
    assert (result.train_seconds_low, result.train_seconds_high) == pytest.approx((2000 / 1.1, 2200))  # 10 %
    assert result.cpu_seconds == pytest.approx(3000)
    assert (result.cost, result.currency) == (pytest.approx(1.0), "EUR")  # 2,000 s of 1.80 an hour
    assert (result.padding_share, result.probe_steps) == (0.25, 12)


def test_the_runs_checkpoints_are_added_at_the_price_of_the_probes(base: BaseModelRef) -> None:
    probe = ProbeResult(
        step_seconds=(2.0,) * 12, cpu_seconds=(3.0,) * 12, peak_memory_bytes=GIB, memory_limit_bytes=16 * GIB,
        checkpoint_seconds=4.0, checkpoint_cpu_seconds=5.0,
    )  # fmt: skip
    work = TokenWork(np.full(100, 10), np.full(100, 10), 0)
    result = forecast(probe, work, token_report({10: 1}), plan(100), base, PlanConfig(), batch_size=8, checkpoints=10)
    assert (result.train_seconds, result.cpu_seconds) == (pytest.approx(240), pytest.approx(350))


@pytest.mark.parametrize(
    ("training", "steps", "count"),
    [({}, 200, 10), ({}, 4, 4), ({"eval_steps": 140}, 700, 5), ({"eval_steps": 140}, 701, 6),
     ({"eval_steps": 10, "checkpoint_steps": 100}, 250, 3)],
)  # fmt: skip
def test_checkpoints_of_a_run(training: dict[str, Any], steps: int, count: int) -> None:
    assert planned_checkpoints(TrainingConfig.model_validate(training), steps) == count


def test_a_run_of_longer_texts_lies_between_time_a_step_and_time_a_token(base: BaseModelRef) -> None:
    # The probe's steps have 100 tokens and take 1 s; of the run's 100 steps the later 88 have 200.
    probe = ProbeResult(
        step_seconds=(1.0,) * 12, cpu_seconds=(1.0,) * 12, peak_memory_bytes=GIB, memory_limit_bytes=16 * GIB
    )
    tokens = np.array([100] * 12 + [200] * 88)
    result = make(base, probe, TokenWork(tokens, tokens, 0))
    by_step, by_token = 100.0, (1200 + 17600) / 100
    assert result.train_seconds == pytest.approx((by_step + by_token) / 2)  # 144
    half_difference = (by_token - by_step) / 2 / 144
    assert result.train_seconds_high == pytest.approx(144 * (1 + 0.10 + half_difference))


def test_memory_grows_with_the_largest_batch_and_refuses_with_the_number(base: BaseModelRef) -> None:
    # 100 M weights: 16 bytes each are 1.6e9; the probe's peak is 3.6e9, so 2e9 go with a batch of 100 tokens.
    # The run's largest has 300: 1.6e9 + 6e9 = 7.6e9, of a limit of 5e9.
    large = base.model_copy(update={"parameters": 100_000_000})
    probe = ProbeResult(
        step_seconds=(1.0,) * 12, cpu_seconds=(1.0,) * 12, peak_memory_bytes=3_600_000_000,
        memory_limit_bytes=5_000_000_000,
    )  # fmt: skip
    largest = np.array([100] * 12 + [300])
    result = make(large, probe, TokenWork(largest, largest, 0))
    assert result.peak_memory_bytes == 7_600_000_000
    assert result.suggested_batch_size == 2  # 1.6e9 + 6e9 / 4 = 3.1e9 fits 80 % of 5e9 (4e9); 4.6e9 would not
    (finding,) = forecast_findings(result, batch_size=8)
    assert (finding.severity, finding.code) == ("error", "forecast.out_of_memory")
    assert finding.message == "The largest batch of the run will take about 7.1 GiB of the 4.7 GiB there are."
    assert finding.remedy.startswith("Use batch_size: 2, model.max_seq_length: 16 (cuts 1.00% of the texts)")


def test_a_run_that_fits_has_no_finding(base: BaseModelRef) -> None:
    probe = ProbeResult(
        step_seconds=(1.0,) * 12, cpu_seconds=(1.0,) * 12, peak_memory_bytes=GIB, memory_limit_bytes=16 * GIB
    )
    result = make(base, probe, TokenWork(np.full(20, 10), np.full(20, 10), 0))
    assert forecast_findings(result, batch_size=8) == ()
    assert result.suggested_batch_size == 64  # eight times the present one, and no further


def test_evaluations_and_the_start_of_processes_are_part_of_the_whole(base: BaseModelRef) -> None:
    # 2 s for 100 tokens; the forward pass is a third. dev has 99 texts of 10 tokens and one of 80, cut at 64: 1,054
    # tokens, encoded for base and tuned model and at 3 looks: 5 x 1,054 / 100 x 2 / 3 s.
    probe = ProbeResult(
        step_seconds=(2.0,) * 12, cpu_seconds=(3.0,) * 12, peak_memory_bytes=GIB, memory_limit_bytes=16 * GIB,
        startup_seconds=5.0,
    )  # fmt: skip
    work = TokenWork(np.full(1000, 100), np.full(1000, 100), padding_share=0.25)
    result = forecast(
        probe, work, token_report({10: 99, 80: 1}), plan(1000), base, PlanConfig(), batch_size=8, looks={"dev": 3}
    )
    assert result.evaluation_seconds == pytest.approx(5 * 1054 / 100 * 2 / 3)
    assert result.whole_seconds == pytest.approx(2000 + 5 * 1054 / 100 * 2 / 3 + 3 * 5)
    shared = forecast(
        probe, work, token_report({10: 99, 80: 1}), plan(1000), base, PlanConfig(), batch_size=8, looks={"dev": 3},
        processes=4,
    )  # fmt: skip
    assert shared.evaluation_seconds == pytest.approx((2 + 3 / 4) * 1054 / 100 * 2 / 3)


def test_suggested_length_cuts_at_most_one_per_cent() -> None:
    assert suggested_length(token_report({5: 50, 17: 49, 60: 1})) == (24, 0.01)
    assert suggested_length(token_report({5: 50, 17: 48, 60: 2}, limit=128)) == (64, 0.0)
    assert suggested_length(token_report({5: 50, 100: 50}, limit=64)) == (64, 0.5)


def test_steps_are_the_differences_of_running_totals() -> None:
    totals: dict[int, Any] = {
        step: {"train_seconds": seconds, "cpu_seconds": 20 + 2 * seconds, "peak_memory_bytes": 100 * step}
        for step, seconds in ((1, 5.0), (2, 6.0), (4, 9.0))
    }
    probe = probe_result(totals, peak=1, limit=2)
    assert probe.step_seconds == (1.0, 1.0, 1.5, 1.5)  # step 3 was not reported: half of what 3 and 4 took
    assert probe.cpu_seconds == (2.0, 2.0, 3.0, 3.0)
    assert probe.peaks == (100, 200, 400)


def test_memory_that_creeps_goes_on_creeping(base: BaseModelRef) -> None:
    # The second half of 8 steps adds 4e8 bytes, over a doubling of the steps. 32 steps are two doublings more, at one
    # and a half times the pace: 1.2e9 above the probe's peak of 3e9. 8,000 steps count as 96: log2(12) doublings.
    peaks = (1, 2, 3, 2_400_000_000, 2_500_000_000, 2_600_000_000, 2_700_000_000, 2_800_000_000)
    probe = ProbeResult(
        step_seconds=(1.0,) * 8, cpu_seconds=(1.0,) * 8, peak_memory_bytes=3_000_000_000, memory_limit_bytes=2**40,
        peaks=peaks,
    )  # fmt: skip
    for steps, doublings in ((8, 0.0), (32, 2.0), (8000, np.log2(12))):
        result = make(base, probe, TokenWork(np.full(steps, 10), np.full(steps, 10), 0))
        assert result.peak_memory_bytes == pytest.approx(3e9 + 1.5 * doublings * 4e8, rel=1e-9)
    wide = TokenWork(np.full(32, 10), np.array([10] * 8 + [30] * 24), 0)  # three times the batch is more than creeping
    fixed = base.parameters * 16
    assert make(base, probe, wide).peak_memory_bytes == pytest.approx(fixed + 3 * (3e9 - fixed))
