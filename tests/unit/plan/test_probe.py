"""The probe on the real trainer: a child process, a small random model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.plan.exposure import draw_batches, plan_exposure
from stsflow.tasks.plan.probe import probe_forecast
from stsflow.tasks.plan.work import token_work
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.tokens import LengthStatistics, SetTokens, TokenReport
from stsflow.tasks.training.request import TrainingRequest

SHAPES = {"nli": "triplets", "sts": "scored_pairs"}


def toy(prepare: Callable[..., PreparedData]) -> PreparedData:
    return prepare(
        {
            "nli": {
                "anchor": [f"man {'dogs ' * (row % 5)}{row}" for row in range(60)],
                "positive": [f"woman {row}" for row in range(60)],
                "negative": [f"piano {row}" for row in range(60)],
            },
            "sts": {
                "sentence1": [f"river {row}" for row in range(40)],
                "sentence2": [f"book {row}" for row in range(40)],
                "score": [row / 40 for row in range(40)],
            },
        }
    )


def token_report() -> TokenReport:
    column = LengthStatistics(
        rows=2, distinct=2, minimum=4, mean=5, median=5, p95=6, p99=6, maximum=6, tokens=10, truncated_rows=0,
        truncated_share=0, unknown_tokens=0, unknown_share=0, histogram={4: 1, 6: 1},
    )  # fmt: skip
    sets = (SetTokens(name="nli", role="train", columns={"anchor": column}, padding_share=0, batch_size=4),)
    return TokenReport(fingerprint="0", tokenizer="t", vocabulary=320, max_seq_length=64, sets=sets)


def test_a_probe_measures_the_real_trainer_and_leaves_nothing(
    prepare: Callable[..., PreparedData], recipe: Callable[..., RunConfig], base: BaseModelRef, tmp_path: Path
) -> None:
    from models import build_tiny_model

    data = toy(prepare)
    config = recipe(SHAPES, plan={"probe_steps": 6}, batch_size=4, epochs=10, device="cpu", threads=1)
    model = base.model_copy(update={"path": build_tiny_model(tmp_path / "bert", "bert"), "parameters": 30_000})
    request = TrainingRequest(
        training=config.training, losses={name: config.loss_of(name) for name in SHAPES}, sets=data.train, base=model
    )
    workspace = Workspace(tmp_path / "workspace")
    plan = plan_exposure(config, data, 1)
    forecast, findings = probe_forecast(config, request, token_report(), plan, workspace)
    assert forecast is not None
    assert plan.steps == 250
    assert forecast.probe_steps == 6
    assert 0 < forecast.train_seconds_low < forecast.train_seconds < forecast.train_seconds_high
    assert forecast.cpu_seconds > 0
    assert 2**27 < forecast.peak_memory_bytes < forecast.memory_limit_bytes
    assert findings == ()
    assert list((workspace.root / "probes").iterdir()) == []


def test_tokens_of_a_step_are_those_of_its_batches(
    prepare: Callable[..., PreparedData], recipe: Callable[..., RunConfig], base: BaseModelRef
) -> None:
    # A text of n words has n + 2 tokens: two words are 4 tokens, four are 6.
    data = prepare({"nli": {"anchor": ["a a", "b b b b"] * 6, "positive": ["c c"] * 12, "negative": ["d d"] * 12}})
    config = recipe({"nli": "triplets"}, batch_size=4, batch_sampler="batch_sampler")
    batches = draw_batches(config, data, 1)
    work: Any = token_work(batches, data.train, base, 3, 1, padded=False)
    padded = token_work(batches, data.train, base, 3, 1, padded=True)
    longer = [sum(int(row) % 2 for row in rows) for _, rows in batches.epoch(0)]
    assert work.step_tokens.tolist() == [4 * 12 + 2 * count for count in longer]
    assert padded.step_tokens.tolist() == [4 * (8 + (6 if count else 4)) for count in longer]
    real, full = sum(work.step_tokens), sum(padded.step_tokens)
    assert work.padding_share == 1 - real / full
    assert work.largest_batch.tolist() == work.step_tokens.tolist()
    accumulated = token_work(batches, data.train, base, 1, 3, padded=False)
    assert accumulated.step_tokens.tolist() == [real]
    assert accumulated.largest_batch.tolist() == [max(work.step_tokens)]
