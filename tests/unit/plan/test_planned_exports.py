"""A plan says what will be exported, and what that may cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.plan.exports import export_findings
from stsflow.tasks.recipe.sections import RunConfig


def test_every_export_is_named_with_its_limits(recipe: Callable[..., RunConfig]) -> None:
    config = recipe({"nli": "triplets"})
    assert export_findings(config) == []
    values = config.model_dump(mode="json")
    values["release"]["exports"] = {
        "onnx": {"kind": "onnx"}, "small": {"kind": "onnx_int8", "dimensions": 128, "limits": {"size_bytes": 5000000}},
    }  # fmt: skip
    (finding,) = export_findings(RunConfig.model_validate(values))
    assert (finding.severity, finding.subject) == ("info", "release.exports")
    assert "onnx (onnx; largest distance 0.0001, mean distance 1e-05, loss on a suite 0.001)" in finding.message
    assert "small (onnx_int8 of 128 dimensions; " in finding.message and "bytes 5,000,000" in finding.message


def test_exports_need_a_suite_that_is_scored_from_embeddings(recipe: Callable[..., RunConfig]) -> None:
    values = recipe({"nli": "triplets"}).model_dump(mode="json")
    values["evaluation"] |= {"suites": {"task": {"kind": "mteb", "task": "KorSTS"}}, "choose_on": None}
    values["release"] = {"exports": {"onnx": {"kind": "onnx"}}}
    with pytest.raises(RecipeError, match=r"release\.exports: no suite of this recipe is scored from embeddings"):
        RunConfig.model_validate(values)
