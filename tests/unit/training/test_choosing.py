"""The evaluator that chooses the checkpoint, against sentence-transformers' own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from models import SENTENCES

from stsflow.tasks.evaluation.worker import EvaluationSpec, ModelSpec, evaluate
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.recipe.sections import EvaluationConfig
from stsflow.tasks.records.data import PreparedSet, RowCounts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.shapes import Shape
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import MatryoshkaSuite, RetrievalSuite, StsSuite, SuiteOfRows, TripletSuite
from stsflow.tasks.training import request
from stsflow.tasks.training.request import ChooseOn, TrainingRequest
from stsflow.tasks.training.run import train_in_child


@pytest.fixture
def choose(tmp_path: Path) -> ChooseOn:
    """The 28 pairs of eight sentences, scored. A pair that came twice would have ranks that rounding decides."""
    from datasets import Dataset

    pairs = list(combinations(SENTENCES[:8], 2))
    rows = {
        "sentence1": [one for one, _ in pairs],
        "sentence2": [other for _, other in pairs],
        "score": [(number * 7 % 11) / 10 for number in range(28)],
    }
    Dataset.from_dict(rows).save_to_disk(str(tmp_path / "dev"))
    data = PreparedSet(
        name="dev", role="evaluation", shape="scored_pairs", title="dev", path=tmp_path / "dev", columns=tuple(rows),
        digest=fingerprint(rows), rows=28, counts=RowCounts(read=28, kept=28),
        source=SourceRef(kind="synthetic", name="dev", uri="made in a test", revision="0"),
    )  # fmt: skip
    return ChooseOn(suite="dev", scored_by=StsSuite.chooses_by, data=data, metric="spearman_cosine", batch_size=4)


@pytest.mark.parametrize("flattened", [False, True])
def test_gives_the_metrics_of_the_librarys_evaluator(choose: ChooseOn, tiny_bert: Path, flattened: bool) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    from stsflow.tasks.models.padding_free import enable_padding_free, is_padding_free
    from stsflow.tasks.training.choosing import ChoosingEvaluator

    ours = ChoosingEvaluator(choose)
    theirs = EmbeddingSimilarityEvaluator(
        *(ours.columns[name] for name in ("sentence1", "sentence2", "score")),
        name="dev",
        write_csv=False,
        similarity_fn_names=["cosine", "manhattan", "euclidean", "dot"],
    )  # fmt: skip
    model = SentenceTransformer(str(tiny_bert), device="cpu")
    expected = theirs(model)
    if flattened:
        enable_padding_free(model, "on", "cpu", "float32")
    model.train()

    found = ours(model)

    assert set(found) == set(expected)
    assert found == pytest.approx(expected, abs=1e-4)
    assert model.training
    assert is_padding_free(model) is flattened


def test_encodes_each_distinct_sentence_once(choose: ChooseOn, tiny_bert: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from stsflow.tasks.training.choosing import ChoosingEvaluator

    model = SentenceTransformer(str(tiny_bert), device="cpu")
    seen: list[int] = []
    model[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]["input_ids"].shape[0]))

    ChoosingEvaluator(choose)(model)

    assert sum(seen) == 8


def test_a_training_depends_on_what_scores_its_choosing_suite(
    request_of: Callable[..., TrainingRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    makers: list[object] = []
    monkeypatch.setattr(request, "code_of", lambda *given: makers.extend(given) or "")
    assert request_of().fingerprint and request_of(choose=False).fingerprint
    assert makers.count("stsflow.tasks.statistics.similarity:sts_while_training") == 1


ROWS: dict[str, dict[str, list[Any]]] = {
    "triplets": {
        "anchor": list(SENTENCES), "positive": [*SENTENCES[1:], SENTENCES[0]],
        "negative": [*SENTENCES[5:], *SENTENCES[:5]],
    },
    "scored_pairs": {
        "sentence1": [*SENTENCES[:6], *[""] * 10], "sentence2": [*SENTENCES[8:14], *SENTENCES[6:]],
        "score": [1.0, 0.5] * 3 + [0.0] * 10,
    },
}  # fmt: skip
SOURCE = FilesSource(paths=("rows.tsv",))


@pytest.mark.parametrize(
    ("suite", "shape"),
    [
        (TripletSuite(source=SOURCE), "triplets"),
        (RetrievalSuite(source=SOURCE, ndcg_at=(5, 10), mrr_at=(3,), bm25=False), "scored_pairs"),
        (MatryoshkaSuite(source=SOURCE, dimensions=(32, 8)), "scored_pairs"),
    ],
    ids=["triplets", "retrieval", "matryoshka"],
)
def test_a_suite_scores_while_a_model_trains_as_it_does_afterwards(
    suite: SuiteOfRows, shape: str, prepare: Callable[..., PreparedSet], tmp_path: Path, tiny_bert: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    from stsflow.tasks.models.loading import load_encoder
    from stsflow.tasks.training.choosing import ChoosingEvaluator

    saved = SentenceTransformer(str(tiny_bert), device="cpu", prompts={"query": "the train: ", "document": "lunch: "})
    saved.similarity_fn_name = "euclidean"
    saved.save_pretrained(str(tmp_path / "model"))
    data = prepare("dev", ROWS[shape]).model_copy(update={"shape": shape, "roles": Shape.named(shape).roles})
    (tmp_path / "scores").mkdir()
    spec = ModelSpec(name="base", path=tmp_path / "model", digest="d", folder=tmp_path / "scores")
    config = EvaluationConfig(suites={"dev": suite}, resamples=0)
    expected = evaluate(EvaluationSpec(models=(spec,), config=config, data=(data,)), spec).suites["dev"].metrics

    choose = ChooseOn(
        suite="dev", scored_by=suite.chooses_by, settings=suite.chooses_with, data=data, metric=suite.primary
    )
    found = ChoosingEvaluator(choose)(load_encoder(tmp_path / "model", device="cpu", pooling="keep"))

    assert found == pytest.approx({f"dev_{name}": value for name, value in expected.items()}, abs=1e-5)
    assert choose.full_metric in found and 0 < found[choose.full_metric] < 1


def test_a_checkpoint_is_chosen_by_the_metric_of_a_retrieval_suite(
    request_of: Callable[..., TrainingRequest], training_folder: TrainingFolder, prepare: Callable[..., PreparedSet]
) -> None:
    suite = RetrievalSuite(source=SOURCE, ndcg_at=(5,))
    data = prepare("faq", ROWS["scored_pairs"])
    choose = ChooseOn(
        suite="faq", scored_by=suite.chooses_by, settings=suite.chooses_with, data=data, metric=suite.primary
    )
    request = request_of(max_steps=8, eval_steps=2).model_copy(update={"choose": choose})
    assert request.fingerprint != request_of(max_steps=8, eval_steps=2).fingerprint
    result = train_in_child(request, training_folder)
    points = {row.step: row.metric for row in result.log if row.metric is not None}
    assert (result.choose_metric, sorted(points)) == ("faq_ndcg_at_5", [2, 4, 6, 8])
    assert result.best_step is not None and result.best_metric == points[result.best_step] == max(points.values())
