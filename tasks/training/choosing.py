"""Scores on the choosing suite while training: the ten metrics of scored pairs, each distinct sentence encoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from stsflow.tasks.models.encode import encode_distinct
from stsflow.tasks.sets.rows import training_rows
from stsflow.tasks.statistics.similarity import pair_similarities, sts_metrics
from stsflow.tasks.training.request import ChooseOn

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder


class ChoosingEvaluator(SentenceEvaluator):  # type: ignore[misc]  # the library has no types
    """Gives what the library's evaluator of scored pairs gives, under the same names, for less work.

    A sentence that recurs is encoded once, and batches hold equal work instead of equally many rows.
    """

    def __init__(self, choose: ChooseOn) -> None:
        super().__init__()
        rows = training_rows(choose.data)
        self.first, self.second = list(rows["sentence1"]), list(rows["sentence2"])
        self.gold: list[float] = list(rows["score"])
        self.name, self.primary_metric = choose.suite, choose.full_metric
        self.batch_size = choose.batch_size

    def __call__(
        self, model: Encoder, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """The metrics by `<suite>_<metric>`, in float32. Whether batches are padded is as the training has it."""
        del output_path, epoch, steps
        texts = [*self.first, *self.second]
        embeddings = encode_distinct(model, texts, batch_size=self.batch_size, padding_free="off")
        rows = len(self.first)
        metrics = sts_metrics(pair_similarities(embeddings[:rows], embeddings[rows:]), self.gold)
        named: dict[str, Any] = self.prefix_name_to_metrics(metrics, self.name)
        return named
