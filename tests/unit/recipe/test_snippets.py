"""What the pages show of shapes and losses is read as a recipe is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stsflow.tasks.exports import Export
from stsflow.tasks.ground.yaml_text import load_yaml
from stsflow.tasks.recipe.sections import DataConfig, DriftConfig, EvaluationConfig, ReleaseConfig, TrainingConfig
from stsflow.tasks.sources import BeirSource
from stsflow.tasks.suites import RetrievalSuite

DOCS = Path(__file__).resolve().parents[3] / "docs"


def snippets(page: str) -> list[dict[str, Any]]:
    found = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    return [load_yaml(text) for text in found]


def test_the_shapes_that_the_page_on_data_shows() -> None:
    (shown,) = [one for one in snippets("data.md") if "train" in one]
    sets = DataConfig.model_validate(shown).train
    assert {one.shape.kind for one in sets.values()} == {"n_tuples", "labelled_pairs", "taught", "parallel", "texts"}


def test_the_parts_that_the_page_on_data_shows() -> None:
    (shown,) = [one for one in snippets("data.md") if "evaluation" in one]
    train: Any = DataConfig.model_validate(shown["data"]).train["pairs"].source
    dev: Any = EvaluationConfig.model_validate(shown["evaluation"]).suites["dev"].source
    assert (train.part.take, dev.part.take) == ("train", "dev")
    assert train.part.model_copy(update={"take": "dev"}) == dev.part


def test_the_losses_that_the_page_on_losses_shows() -> None:
    whole, *rest = snippets("losses.md")
    assert TrainingConfig.model_validate(whole["training"]).losses["questions"].rows_at_a_time == 32
    for losses in rest:
        assert TrainingConfig.model_validate({"losses": losses}).losses


def test_the_section_that_the_page_on_drift_shows() -> None:
    (shown,) = snippets("drift.md")
    drift = DriftConfig.model_validate(shown["drift"])
    page = (DOCS / "drift.md").read_text(encoding="utf-8")
    for said in (f"`level`** ({drift.level:g})", f"({drift.sample:,},", f"({drift.permutations:,})"):
        assert said in page, said


def test_the_signature_that_the_page_on_security_shows() -> None:
    (shown,) = snippets("security.md")
    assert ReleaseConfig.model_validate(shown["release"]).sign is not None


def test_the_suites_that_the_page_on_retrieval_shows() -> None:
    in_a_table, in_files, of_the_hub, indexes, chosen = snippets("retrieval.md")
    suites: Any = [EvaluationConfig.model_validate(one["evaluation"]).suites["faq"] for one in (in_a_table, in_files)]
    assert suites[0].shape.score_range == (0, 2)
    assert suites[1].source.qrels.paths == ("faq/qrels/test.tsv",)
    commit = {part: {**of_the_hub["source"][part], "revision": "0" * 40} for part in ("corpus", "queries", "qrels")}
    assert BeirSource.model_validate({**of_the_hub["source"], **commit}).remote
    metrics = RetrievalSuite.model_validate({"source": {"kind": "beir", "folder": "faq"}}).metrics
    assert [one.kind for one in EvaluationConfig.model_validate(indexes["evaluation"]).suites.values()] == [
        "quantised_retrieval", "quantised",
    ]  # fmt: skip
    named = [chosen["evaluation"]["choose_metric"], *(rule["metric"] for rule in chosen["release"]["rules"])]
    assert set(named) <= set(metrics)
    assert ReleaseConfig.model_validate(chosen["release"]).rules[0].metric_named == "map_at_100"


def test_the_push_that_the_page_on_the_hub_shows() -> None:
    (shown,) = snippets("hub.md")
    push = ReleaseConfig.model_validate(shown["release"]).push
    assert push is not None and (push.repo, push.private, push.branch) == ("acme/support-tickets", True, None)


def test_the_exports_that_the_page_on_them_shows() -> None:
    (shown,) = snippets("exports.md")
    exports = ReleaseConfig.model_validate(shown["release"]).exports
    assert [one.kind for one in exports.values()] == [
        "onnx", "onnx_int8", "onnx_int8", "onnx_fp16", "openvino", "onnx", "static",
    ]  # fmt: skip
    narrow = exports["narrow"]
    assert narrow.dimensions == 128 and narrow.limits_in_force.metric_loss == 0.02


def test_the_usual_limits_that_the_page_on_exports_names() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| ([\d.]+|none), ([\d.]+|none), ([\d.]+) \|$", (DOCS / "exports.md").read_text(), re.M
    )
    assert {kind for kind, *_ in rows} == {
        one.kind_name() for one in Export.members() if one.__module__.startswith("stsflow.")
    }
    for kind, *limits in rows:
        usual = Export.of(kind).usual
        said = [None if one == "none" else float(one) for one in limits]
        assert [usual.max_distance, usual.mean_distance, usual.metric_loss] == said


def test_the_releases_that_the_page_on_releases_shows() -> None:
    required, timed = (ReleaseConfig.model_validate(one["release"]) for one in snippets("release.md"))
    assert required.approval is not None and required.approval.timeout_hours == 72
    assert timed.approval is not None and timed.approval.timeout_hours == 24
