"""The stage with its real children: a spoilt export is caught and named, the others are released, and found again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from exports_apart import put_toy_exports, said_without_torch
from small_recipe import write_small_recipe
from toy_exports import Scaled

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.exporting.export import export_all
from stsflow.tasks.exporting.measuring_worker import MeasuredSpec
from stsflow.tasks.exporting.worker import MakingSpec
from stsflow.tasks.exports import Export, Limits, Onnx, OnnxInt8, Static
from stsflow.tasks.ground.fingerprint import sha256_of_file, sha256_of_folder
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.exports import Exports
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.training import TrainedModel

pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: pip install 'stsflow[export]'")


ANSWERS = (
    "evaluation.suites.answers={kind: quantised_retrieval, "
    'shape: {sentence1: sentence1, sentence2: sentence2, score: ""}, '
    "source: {kind: synthetic, task: sts, split: dev, rows: 60}}"
)
"""A suite that ranks by the similarity that a model is made for, which an export does not know by itself."""
LOOSE = Limits(metric_loss=1.0)


@dataclass(frozen=True)
class Stage:
    """A model that counts as tuned, its scores, and what came of three exports."""

    recipe: RunConfig
    base: BaseModelRef
    trained: TrainedModel
    data: PreparedData
    tuned: EvaluationReport
    workspace: Workspace

    def export(self, **exports: Export) -> Exports:
        release = self.recipe.release.model_copy(update={"exports": exports})
        recipe = self.recipe.model_copy(update={"release": release})
        return export_all(recipe, self.base, self.trained, self.data, self.tuned, self.workspace)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Stage:
    for spec in (MakingSpec, MeasuredSpec):  # other tests of this process may have imported them before the kind
        spec.model_rebuild(force=True)
    place = tmp_path_factory.mktemp("stage")
    recipe = RunConfig.from_recipe(write_small_recipe(place / "small.yaml", tiny_bert), [ANSWERS])
    workspace = Workspace(place / "workspace").make()
    base = fetch_base_model(recipe.model, workspace, recipe.prompts)
    data = prepare_data(recipe.data, recipe.evaluation.suites, workspace)
    model = ModelUnderTest("tuned", base.path, base.digest)
    (tuned,) = evaluate_models([model], recipe.evaluation, data, place / "scores", prompts={}, workspace=workspace)
    trained = TrainedModel(
        fingerprint="0", folder=place, model=base.path, model_digest=base.digest, weights_sha256=base.weights_sha256,
        steps=0, epochs=0, best_step=None, best_metric=None, choose_metric="", train_loss=0, train_seconds=0,
        cpu_seconds=0, peak_memory_bytes=0, log=(),
    )  # fmt: skip
    return Stage(recipe, base, trained, data, tuned, workspace)


@pytest.fixture(scope="module")
def exported(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """One of them is of another package, whose module children find by its metadata."""
    place = tmp_path_factory.mktemp("package")
    put_toy_exports(place)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(place))
        return stage.export(
            onnx=Onnx(), spoilt=Scaled(), small=OnnxInt8(limits=LOOSE), static=Static(dimensions=16, limits=LOOSE)
        )


def test_the_spoilt_export_is_caught_and_named_and_the_others_are_released(exported: Exports) -> None:
    passed = {item.name: item.passed for item in exported.items}
    assert passed == {"onnx": True, "spoilt": False, "small": True, "static": True}
    spoilt = exported.items[1]
    assert spoilt.figures is not None and spoilt.figures.max_distance is not None
    assert spoilt.figures.max_distance > 0.001
    assert spoilt.reasons[0].startswith("the largest cosine distance to the tuned model is ")
    assert [item.name for item in exported.released] == ["onnx", "small", "static"]


def test_the_figures_are_those_of_the_files(exported: Exports, stage: Stage) -> None:
    for item in exported.items:
        assert item.folder is not None and item.figures is not None
        assert item.digest == sha256_of_folder(item.folder)
        assert item.figures.size_bytes == sum(path.stat().st_size for path in item.folder.iterdir())
        for found in item.differences:
            scores = item.figures.scores.suites[found.suite].metrics
            before = stage.tuned.suites[found.suite].metrics
            assert found.difference == pytest.approx(scores[found.metric] - before[found.metric])
    assert [one.batch for one in exported.speed] == [1, 32]


def test_a_snippet_runs_where_there_is_no_torch_and_says_that_the_embeddings_are_the_manifests(
    exported: Exports, tmp_path: Path
) -> None:
    for item in exported.released:
        assert item.folder is not None
        (tmp_path / "exports").mkdir(exist_ok=True)
        (tmp_path / "exports" / item.name).symlink_to(item.folder)
        assert said_without_torch(item.snippet, tmp_path) == [f"(3, {item.dimension})", "True"]
        own = (item.folder / "README.md").read_text(encoding="utf-8")
        assert item.snippet in own.replace('Path(".")', f'Path("exports/{item.name}")')


def test_what_is_the_same_is_found_again_and_a_limit_alone_makes_nothing_anew(exported: Exports, stage: Stage) -> None:
    first = exported.items[0].folder
    assert first is not None
    then = (first / "model.onnx").stat().st_mtime_ns, sha256_of_file(first / "model.onnx")
    (again,) = stage.export(other=Onnx(limits=Limits(size_bytes=1))).items
    assert (again.folder, again.digest) == (first, exported.items[0].digest)
    assert ((first / "model.onnx").stat().st_mtime_ns, sha256_of_file(first / "model.onnx")) == then
    assert not again.passed and "bytes; allowed are 1" in again.reasons[0]
    assert again.figures is not None and again.figures.scores.model == "other"


def test_one_that_cannot_be_made_holds_up_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its child does not know the kind."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    lost, whole = stage.export(lost=Scaled(by=4.0), whole=Onnx()).items
    assert not lost.passed and lost.folder is None and lost.reasons[0].startswith("making it was refused: ")
    assert whole.passed
