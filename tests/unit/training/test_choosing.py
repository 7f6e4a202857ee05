"""The evaluator that chooses the checkpoint, against sentence-transformers' own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from models import SENTENCES

from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.records.data import PreparedSet, RowCounts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.suites import StsSuite
from stsflow.tasks.training import request
from stsflow.tasks.training.request import ChooseOn, TrainingRequest


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
