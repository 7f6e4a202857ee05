"""The choosing suite, scored by two processes of a training: each encodes a half, and the scores are those of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fatal_suite
import pytest
from models import SENTENCES
from two_processes import scored_in_one, scored_in_two

from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.prompts import Prompts
from stsflow.tasks.sources import FilesSource
from stsflow.tasks.suites import RetrievalSuite
from stsflow.tasks.training.request import ChooseOn, TrainingRequest
from stsflow.tasks.training.run import train_in_child

MakeRequest = Callable[..., TrainingRequest]
SEARCH = {
    "sentence1": [*SENTENCES[:6], *[""] * 10], "sentence2": [*SENTENCES[8:14], *SENTENCES[6:]],
    "score": [1.0, 0.5] * 3 + [0.0] * 10,
}  # fmt: skip


def of_few_tokens(request: TrainingRequest, **changes: Any) -> TrainingRequest:
    """The request with small batches to encode on its choosing suite, so that there are several."""
    assert request.choose is not None
    return request.model_copy(update={"choose": request.choose.model_copy(update={"batch_size": 1} | changes)})


@pytest.mark.slow
def test_two_processes_find_the_scores_of_one_to_the_bit_and_encode_half_of_the_texts_each(
    request_of: MakeRequest, prepare: Callable[..., PreparedSet], tmp_path: Path
) -> None:
    suite = RetrievalSuite(source=FilesSource(paths=("rows.tsv",)), ndcg_at=(5,))
    search = ChooseOn(
        suite="faq", scored_by=suite.chooses_by, settings=suite.chooses_with, data=prepare("faq", SEARCH),
        metric=suite.primary, batch_size=1,
    )  # fmt: skip

    def requests(processes: int) -> dict[str, TrainingRequest]:
        padded, flat = (
            of_few_tokens(request_of(processes=processes, padding_free=padding_free, precision=precision))
            for padding_free, precision in (("off", "float32"), ("on", "bf16"))
        )
        prompts = Prompts(texts={"query": "the train: ", "document": "lunch: "})
        read = padded.base.model_copy(update={"prompts": prompts})
        return {
            "padded": padded, "flat": flat, "search": padded.model_copy(update={"choose": search, "base": read}),
            "one-batch": of_few_tokens(padded, batch_size=64),
        }  # fmt: skip

    alone = scored_in_one(requests(1), tmp_path / "one")
    together = scored_in_two(requests(2), tmp_path / "two")

    assert list(alone) == ["flat", "one-batch", "padded", "search"]
    for name, one in alone.items():
        assert len(one["scores"]) > 0
        assert [each["scores"] for each in together[name]] == [one["scores"]] * 2, name  # every digit
        assert sum(each["texts"] for each in together[name]) == one["texts"], name
        assert sum(each["batches"] for each in together[name]) == one["batches"], name
    for name in ("flat", "padded"):
        one = alone[name]
        assert one["texts"] == 48  # both sides of 24 pairs, of random words
        assert one["batches"] >= 8
        assert [each["texts"] / 48 for each in together[name]] == pytest.approx([0.5, 0.5], abs=0.1)
    assert [each["batches"] for each in together["one-batch"]] == [1, 0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_process_that_dies_while_the_other_waits_for_its_share_ends_the_attempt_and_the_training_goes_on(
    request_of: MakeRequest, training_folder: TrainingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(fatal_suite.__file__).parent))
    changes = {"scored_by": "fatal_suite:scored", "settings": {"mark": str(tmp_path / "died")}}
    request = of_few_tokens(request_of(processes=2, max_steps=4, eval_steps=2, max_restarts=1), **changes)
    result = train_in_child(request, training_folder)
    assert (tmp_path / "died").exists()
    assert (result.attempts, result.resumed_from, result.steps) == (2, (0,), 4)  # it died before the first checkpoint
    (finding,) = result.findings
    assert "A process of the training was ended by signal 9" in finding.message
