"""Prompts in the real trainer: it reads what was counted, and chooses by what the saved model gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from models import SENTENCES, build_tiny_model

from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
from stsflow.tasks.losses import Loss
from stsflow.tasks.recipe.sections import TokensConfig, TrainingConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import ColumnPrompts, Prompts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.shapes import Roles, Shape
from stsflow.tasks.tokens.lengths import lengths_as_read, stored_lengths
from stsflow.tasks.tokens.statistics import measure_tokens
from stsflow.tasks.training.request import TrainingRequest, WorkerSpec
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.session import prepare

E5 = Prompts(texts={"query": "A man: ", "document": "the road "}, default="query")
TEXTS = [f"{SENTENCES[(5 * i) % 16]} {SENTENCES[i % 7]}"[: 12 + 7 * (i % 9)] for i in range(30)]
PAIR = {"sentence1": TEXTS[:10], "sentence2": TEXTS[10:20]}
ROWS: dict[str, dict[str, list[Any]]] = {
    "triplets": {"anchor": TEXTS[:10], "positive": TEXTS[10:20], "negative": TEXTS[20:]},
    "scored_pairs": {**PAIR, "score": [i / 9 for i in range(10)]},
    "pairs": {"anchor": TEXTS[:10], "positive": TEXTS[20:]},
    "labelled_pairs": {**PAIR, "label": [0.0, 1.0] * 5},
    "taught": {"anchor": TEXTS[:10], "positive": TEXTS[10:20], "negative": TEXTS[20:], "scores": [[0.9, 0.1]] * 10},
    "texts": {"text": TEXTS[:10], "labels": [[0.1] * 32] * 10},
}
ENRICHED = {
    "taught": Roles(("anchor", "positive", "negative"), negatives=1, taught="scores"),
    "texts": Roles(("text",), taught="labels", teaches="embedding"),
}
INNER = {"kind": "multiple_negatives_ranking"}
LEAST: dict[str, dict[str, Any]] = {
    "matryoshka": {"loss": INNER, "dimensions": [32, 8]}, "adaptive_layer": {"loss": INNER},
    "matryoshka_2d": {"loss": INNER, "dimensions": [32, 8]},
}  # fmt: skip
"""What a loss that cannot do without fields is given."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    """A small model with a limit that cuts some of the texts."""
    path = build_tiny_model(tmp_path_factory.mktemp("base") / "bert", "bert")
    return BaseModelRef(
        name="tiny", kind="directory", path=path, revision="0", digest="0", weights_sha256="0", architecture="bert",
        parameters=0, dimension=32, position_limit=128, max_seq_length=20, pooling="keep", prompts=E5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedSet]:
    """A training set of each shape."""
    folder = tmp_path_factory.mktemp("sets")
    for shape, rows in ROWS.items():
        Dataset.from_dict(rows).save_to_disk(str(folder / shape))
    return {
        shape: PreparedSet(
            name=f"of-{shape}", role="train", shape=shape, title=shape, path=folder / shape, columns=tuple(rows),
            digest=shape, rows=10, counts=RowCounts(read=10, kept=10),
            roles=ENRICHED.get(shape, Shape.named(shape).roles),
            source=SourceRef(kind="synthetic", name=shape, uri="made in a test", revision="0"),
        )
        for shape, rows in ROWS.items()
    }  # fmt: skip


def tokens_fed(request: TrainingRequest, folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """(rows, columns) tokens of every training set that the trainer's own loader hands to the model; 0: not fed."""
    spec = WorkerSpec(request=request, fingerprint="", folder=folder, attempt=1)
    session = prepare(spec, TrainingFolder(folder), None, None)
    fed = {one.name: np.zeros((one.rows, len(one.roles.texts)), int) for one in request.sets}
    for batch in session.trainer.get_train_dataloader():
        columns = next(one for one in request.sets if one.name == batch["name"]).roles.texts
        read: list[list[int]] = [[] for _ in columns]
        for part in batch["parts"]:
            for number, column in enumerate(columns):
                ends = part.get(f"{column}_cu_seq_lens_q")
                counts = part[f"{column}_attention_mask"].sum(1) if ends is None else ends.diff()
                read[number] += counts.tolist()
        fed[batch["name"]][batch["rows"]] = np.array(read).T
    return fed


@pytest.mark.parametrize("padding_free", ["on", "off"])
@pytest.mark.parametrize("loss", Loss.names())
def test_the_tokens_of_every_column_are_those_that_the_trainer_is_fed(
    loss: str, padding_free: Any, base: BaseModelRef, sets: dict[str, PreparedSet], tmp_path: Path
) -> None:
    chosen = Loss.of(loss).model_validate(LEAST.get(loss, {}))
    mine = tuple(one for one in sets.values() if chosen.takes(one.roles))
    assert mine, "a loss that takes none of these shapes needs a row here"
    prompts = {one.name: dict(zip(one.roles.texts, ("A man: ", "the road ", "A man: "), strict=False)) for one in mine}
    if len(mine[0].roles.texts) > 1:  # a column without one beside columns with one
        prompts[mine[0].name].pop(mine[0].roles.texts[-1])
    report = measure_tokens(
        PreparedData(fingerprint="", train=mine, evaluation=()), base, {}, Workspace(tmp_path / "workspace"),
        TokensConfig(), maximum_truncated_share=1.0, prompts=ColumnPrompts(training=prompts),
    )  # fmt: skip
    stored = stored_lengths(report, Workspace(tmp_path / "workspace"))
    request = TrainingRequest(
        training=TrainingConfig(
            batch_size=4, device="cpu", threads=1, precision="float32", padding_free=padding_free, max_steps=100,
            batch_sampler="batch_sampler",
        ),
        losses={one.name: chosen for one in mine}, sets=mine, base=base, guide=base if chosen.needs_guide else None,
        prompts=prompts,
    )  # fmt: skip
    fed = tokens_fed(request, tmp_path / "training")
    for one in mine:
        counted = lengths_as_read(one, base, prompts[one.name], stored[one.name])
        assert fed[one.name].tolist() == counted.tolist()
        assert (np.load(stored[one.name]) > 20).any() and fed[one.name].max() == 20


def test_without_their_pooling_the_prompts_tokens_are_counted_all_the_same(
    base: BaseModelRef, sets: dict[str, PreparedSet], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(base.path), device="cpu")
    model.set_pooling_include_prompt(False)
    model.save(str(tmp_path / "model"), create_model_card=False)
    apart = base.model_copy(update={"path": tmp_path / "model"})
    one, prompts = sets["pairs"], {"of-pairs": {"anchor": "A man: ", "positive": "the road "}}
    request = TrainingRequest(
        training=TrainingConfig(batch_size=4, device="cpu", threads=1, batch_sampler="batch_sampler"),
        losses={"of-pairs": Loss.of("multiple_negatives_ranking").model_validate({})}, sets=(one,), base=apart,
        prompts=prompts,
    )  # fmt: skip
    fed = tokens_fed(request, tmp_path / "training")["of-pairs"]
    assert fed.tolist() == lengths_as_read(one, apart, prompts["of-pairs"]).tolist()


@pytest.mark.usefixtures("in_this_process")
def test_the_saved_model_has_the_prompts_and_gives_the_score_that_chose_it(
    request_of: Callable[..., TrainingRequest], base: BaseModelRef, tmp_path: Path
) -> None:
    from datasets import load_from_disk
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    plain = request_of(eval_steps=4, epochs=1, precision="float32")
    prompts = {"nli": {"anchor": "A man: "}, "sts": {"sentence1": "A man: ", "sentence2": "A man: "}}
    assert plain.choose is not None
    plain = plain.model_copy(update={"choose": plain.choose.model_copy(update={"metric": "pearson_cosine"})})
    request = plain.model_copy(update={"base": base, "prompts": prompts})
    assert request.fingerprint != plain.model_copy(update={"base": base}).fingerprint
    trained = train_in_child(request, TrainingFolder(tmp_path / "training"))
    model = SentenceTransformer(str(trained.model), device="cpu")
    assert (model.prompts, model.default_prompt_name) == (E5.texts, "query")
    rows = load_from_disk(str(request.choose.data.path))
    score = EmbeddingSimilarityEvaluator(rows["sentence1"], rows["sentence2"], rows["score"], write_csv=False)
    assert trained.best_metric == pytest.approx(score(model)["pearson_cosine"], abs=1e-6)
    model.default_prompt_name = None
    assert trained.best_metric != pytest.approx(score(model)["pearson_cosine"], abs=1e-6)
