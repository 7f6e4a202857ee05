"""Two processes with half of every batch each learn what one process learns from the whole batch, by every loss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from every_loss import ARGUMENTS, examples, roles_for, rows_for
from models import build_tiny_model
from pydantic import ValidationError
from two_processes import losses_of, train_in_one, train_in_two

from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.losses import Loss
from stsflow.tasks.losses.around import AroundAnother
from stsflow.tasks.records.data import PreparedSet
from stsflow.tasks.records.training import TrainedModel
from stsflow.tasks.shapes import Roles
from stsflow.tasks.training.request import TrainingRequest

MakeRequest = Callable[..., TrainingRequest]
ROWS, WHOLE_BATCH = 48, 16


def every_way() -> dict[str, Loss]:
    """An example of every loss, and every loss that goes around another with each that compares the rows of a batch."""
    found = dict(examples())
    compare = {name: loss for name, loss in found.items() if not loss.is_mean_of_rows}
    for outer in [type(loss) for loss in examples().values() if isinstance(loss, AroundAnother)]:
        given = ARGUMENTS[outer.kind_name()]
        for name, inner in compare.items():
            if isinstance(inner, AroundAnother):
                continue
            try:
                found[f"{outer.kind_name()} of {name}"] = outer.model_validate(given | {"loss": inner.model_dump()})
            except ValidationError:
                continue  # these two do not go together
    return found


def without_dropout(model: Path, folder: Path) -> Path:
    """A copy of the small model that drops nothing."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    )
    return folder


def set_for(roles: Roles, folder: Path, like: PreparedSet) -> PreparedSet:
    from datasets import Dataset

    rows = rows_for(roles, ROWS)
    if not folder.exists():
        Dataset.from_dict(rows).save_to_disk(str(folder))
    return like.model_copy(
        update={"path": folder, "roles": roles, "columns": tuple(rows), "rows": ROWS, "digest": fingerprint(rows)}
    )


@pytest.mark.slow
@pytest.mark.parametrize("padding_free", ["on", "off"])
def test_two_processes_learn_what_one_does(
    padding_free: str, request_of: MakeRequest, base_of: Callable[..., object], small_bert: Path, tmp_path: Path
) -> None:
    base = base_of(without_dropout(small_bert, tmp_path / "model"))
    guide = build_tiny_model(tmp_path / "guide", "bert", seed=11)

    def request(name: str, loss: Loss, processes: int) -> TrainingRequest:
        asked = request_of(
            losses={"nli": loss}, guide=guide if loss.needs_guide else None, padding_free=padding_free, epochs=1,
            processes=processes, batch_size=WHOLE_BATCH // processes, logging_steps=1, precision="float32",
        )  # fmt: skip
        rows = set_for(roles_for(loss), tmp_path / "rows" / name, asked.sets[0])
        return asked.model_copy(update={"sets": (rows,), "base": base})

    ways = every_way()
    train_in_one({name: request(name, loss, 1) for name, loss in ways.items()}, tmp_path / "one")
    train_in_two({name: request(name, loss, 2) for name, loss in ways.items()}, tmp_path / "two")
    for name in ways:
        one, two = (TrainedModel.load(TrainingFolder(tmp_path / count / name).result) for count in ("one", "two"))
        losses = losses_of(tmp_path / "one" / name)
        assert len(losses) == ROWS // WHOLE_BATCH
        assert losses_of(tmp_path / "two" / name) == pytest.approx(losses, rel=1e-5, abs=1e-5), name
        assert two.best_metric == pytest.approx(one.best_metric, abs=1e-3), name
        assert two.findings == ()
        fed, alike = two.exposure[0], one.exposure[0]
        assert fed == alike.model_copy(update={"batch_size": WHOLE_BATCH // 2}), name
