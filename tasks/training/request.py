"""What a training is asked to do, and the fingerprint by which it is found again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import JsonValue

from tasks.config import TrainingConfig
from tasks.environment import versions
from tasks.fingerprint import fingerprint, sha256_of_file
from tasks.records import BaseModelRef, PreparedSet
from tasks.schema import Record
from tasks.training.losses import Loss

PACKAGES = ("python", "sentence-transformers", "transformers", "tokenizers", "torch", "accelerate", "datasets", "numpy")
"""Packages whose version may change the weights."""

NOT_IN_THE_WEIGHTS = frozenset(
    {
        "losses",  # the resolved ones count
        "checkpoint_steps",
        "keep_checkpoints",
        "on_out_of_memory",
        "hang_timeout_seconds",
        "timeout_seconds",
    }
)
"""Fields of the training section that change how a training is run and watched, and not one bit of its weights."""


class ChooseOn(Record):
    """The suite that chooses the checkpoint."""

    suite: str
    data: PreparedSet
    """Scored pairs: sentence1, sentence2, score."""
    metric: str = "spearman_cosine"
    """Name of one of the suite's metrics; higher is better."""
    batch_size: int = 64
    """Sentences encoded at a time."""

    @property
    def full_metric(self) -> str:
        """Metric with its suite, as trainer and card name it: `sts-dev_spearman_cosine`."""
        return f"{self.suite}_{self.metric}"


class TrainingRequest(Record):
    """Everything that one training needs."""

    training: TrainingConfig
    losses: dict[str, Loss]
    """By training set, for every set."""
    sets: tuple[PreparedSet, ...]
    base: BaseModelRef
    choose: ChooseOn | None = None
    """None: the last step is kept."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what determines the weights: rows, base model, section, versions, code, and the hardware's class.

        Paths, names for people, paces and timeouts are left out: the same rows in another folder give the same model.
        """
        section = self.training.model_dump(mode="json", exclude=set(NOT_IN_THE_WEIGHTS))
        choose: JsonValue = None
        if self.choose:
            choose = [self.choose.suite, self.choose.data.digest, self.choose.metric, self.choose.batch_size]
        return fingerprint(
            section,
            {name: loss.model_dump(mode="json") for name, loss in self.losses.items()},
            [[item.name, item.shape, item.digest] for item in self.sets],
            [self.base.digest, self.base.max_seq_length, self.base.pooling, self.base.trust_remote_code],
            choose,
            {name: version for name, version in versions().items() if name in PACKAGES},
            _code(),
            _hardware(self.training),
        )


class WorkerSpec(Record):
    """The file that a worker process reads."""

    request: TrainingRequest
    fingerprint: str
    folder: Path
    attempt: int
    """1 for the first trainer process of this training."""
    parts: dict[str, int] = {}
    """Training sets whose batches are computed in this many parts, for want of memory."""
    lighter_losses: dict[str, Loss] = {}
    """Training sets whose loss runs in its lighter form, for want of memory."""
    threads: int = 0
    """CPU threads of each process; 0 leaves it to PyTorch."""

    def loss_of(self, name: str) -> Loss:
        """The loss of training set `name`, in the form that fits the memory."""
        return self.lighter_losses.get(name, self.request.losses[name])


@cache
def _code() -> str:
    """Digest of the code that turns a request into weights."""
    here = Path(__file__).resolve().parent
    files = [here / f"{name}.py" for name in ("losses", "arguments", "trainer", "worker")]
    files += sorted((here.parent / "batching").glob("*.py")) + sorted((here.parent / "models").glob("*.py"))
    return fingerprint({path.name: sha256_of_file(path) for path in files})


def _hardware(config: TrainingConfig) -> dict[str, str]:
    """Device and threads, as far as the order of floating-point sums depends on them."""
    import os

    gpu = config.device != "cpu" and any(Path("/dev").glob("nvidia[0-9]*"))
    threads = config.threads or len(os.sched_getaffinity(0))
    return {"device": "cuda" if gpu else "cpu", "threads": "" if gpu else str(threads)}
