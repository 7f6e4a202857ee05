"""verify-card with the real evaluation stage: real small models, real rows, one child process for each measurement."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from models import SENTENCES, build_tiny_model

from stsflow.tasks.card.measured_again import Rows, Tools
from stsflow.tasks.card.render import write_card
from stsflow.tasks.card.usage import read_modules
from stsflow.tasks.card.verify import verify_card
from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.ground.fingerprint import sha256_of_file, sha256_of_model
from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.sets.content_digest import content_digest


@pytest.mark.slow
def test_a_measured_card_holds_and_exchanged_weights_do_not(records: Any, tmp_path: Path) -> None:
    base = build_tiny_model(records.base.path, "bert", seed=7)
    model = build_tiny_model(records.run.folder / "model", "bert", seed=8)
    pairs = [(first, second) for first in SENTENCES for second in SENTENCES[:6]]
    columns = {
        "sentence1": [first for first, _ in pairs],
        "sentence2": [second for _, second in pairs],
        "score": [len(set(first) & set(second)) / len(set(first) | set(second)) for first, second in pairs],
    }
    evaluation = []
    for item in records.data.evaluation:
        rows = Dataset.from_dict(columns)
        rows.save_to_disk(str(item.path))
        evaluation.append(
            item.model_copy(update={"rows": len(pairs), "digest": content_digest(rows.with_format("arrow")[:])})
        )
    data = records.data.model_copy(update={"evaluation": tuple(evaluation)})
    config = records.recipe.evaluation.model_copy(update={"resamples": 200})
    recipe = records.recipe.model_copy(update={"evaluation": config})
    models = [
        ModelUnderTest("base", base, sha256_of_model(base)), ModelUnderTest("tuned", model, sha256_of_model(model))
    ]  # fmt: skip
    before, after = evaluate_models(models, config, data, records.run.folder / "evaluation", prompts={})
    trained = records.trained.model_copy(
        update={
            "model_digest": sha256_of_model(model), "weights_sha256": sha256_of_file(model / "model.safetensors"),
            "environment": {},
        }
    )  # fmt: skip
    folder = ModelFolder.open(base)
    measured = {"weights_sha256": folder.weights_sha256(), "parameters": folder.parameters()}
    trained = trained.model_copy(
        update={"dimension": folder.dimension("keep"), "max_seq_length": folder.own_max_seq_length}
    )
    finished = records.but(
        base=records.base.model_copy(update=measured | {"max_seq_length": folder.own_max_seq_length}),
        recipe=recipe, data=data, trained=trained, base_scores=before, tuned_scores=after,
        differences=compare(before, after, config), modules=read_modules(model),
    )  # fmt: skip
    write_card(finished.content(), records.run.folder / "card", model)
    tools = Tools(
        find_base=lambda *_: finished.base, read_rows=lambda _: Rows(data=data, has_training=False),
        measure_tokens=lambda *_: finished.tokens,
    )  # fmt: skip

    untouched = verify_card(model, tools=tools)
    assert untouched.problems == ()
    assert untouched.measured > 100

    other = build_tiny_model(tmp_path / "other", "bert", seed=9)
    shutil.copyfile(other / "model.safetensors", model / "model.safetensors")
    exchanged = verify_card(model, tools=tools)
    places = {problem.place for problem in exchanged.problems}
    assert {"model.weights_sha256", "model.digest", "tuned.sts-test.spearman_cosine"} <= places
