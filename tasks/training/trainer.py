"""The training loop: the library's own trainer, with batches that know their rows, whole checkpoints, an exact place.

What is added to the library's trainer, whatever it trains, and why:
- it continues from an exact place (epoch and batch within it), because a no-duplicates epoch may be shorter than its
  announced length and the library works the place out from that length;
- a checkpoint is staged, sealed and renamed, and carries the running sums of the loss, so that the log after a resume
  is the log without one;
- a loss that is not finite, or a batch that does not fit the memory, ends the training with the rows that did it.
"""

# ruff: noqa: ARG002  the library decides which arguments a method is given
from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from sentence_transformers.base.trainer import BaseTrainer
from torch.utils.data import DataLoader
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import nested_gather

from stsflow.tasks.batching.ledger import Ledger
from stsflow.tasks.batching.multi import TrainingBatches
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.no_room import is_out_of_memory
from stsflow.tasks.models.adapter import has_adapter, load_adapter, save_adapter
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.models.loading import every_tensor_from
from stsflow.tasks.training.batches import Collator, NumberedRows, PlannedBatches
from stsflow.tasks.training.checkpoints import checkpoint_folder, prune, seal, staging_folder, steps_of

STATE = "stsflow.json"


class BatchFailedError(Exception):
    """A batch could not be trained on: `code` is out_of_memory or loss_not_finite, `facts` say which batch."""

    def __init__(self, code: str, message: str, facts: dict[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.facts = facts


@dataclass
class Place:
    """Where a training is, beyond what the library's own state knows. Kept in every checkpoint."""

    epoch: int = 0
    batches_in_epoch: int = 0
    """Batches of that epoch that this process has been fed."""
    loss_since_log: float = 0.0
    loss_logged: float = 0.0
    """Sum over the steps up to the last log point."""
    last_logged_step: int = 0
    evaluations_without_rise: int = 0
    finished: bool = False
    stopped_early: bool = False

    @classmethod
    def of(cls, checkpoint: Path) -> Place:
        """The place that a sealed checkpoint holds."""

        return cls(**json.loads((checkpoint / STATE).read_text(encoding="utf-8")))


def trainer_of(kind: ModelKind) -> type[ExactTrainer]:
    """The library's trainer of a kind of model with these additions."""
    return type("Trainer", (ExactTrainer, kind.trainer_class()), {"kind": kind})


class ExactTrainer(BaseTrainer):  # type: ignore[misc]  # the library has no types
    """The additions, to be put before a trainer of the library: see the module, and `trainer_of`.

    `batches` are fed in their order; `parts` says for which sets a batch is computed in parts.
    """

    kind: ModelKind

    def __init__(
        self,
        *,
        checkpoints: Path,
        keep: int,
        ledger: Ledger,
        batches: TrainingBatches,
        parts: Mapping[str, int],
        resume: Path | None,
        **library: Any,
    ) -> None:
        self.checkpoints = checkpoints
        self.keep = keep
        self.ledger = ledger
        self.batches = batches
        self.place = Place.of(resume) if resume else Place()
        self.resume = resume
        self.steps_in_epoch = 0
        self.epochs = 0
        self._share = 1.0
        self._staging: Path | None = None
        super().__init__(**library)
        self.collate = Collator(self.data_collator, parts)

    # ------------------------------------------------------------------------------------------------- batches

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Leave the library's card out: stsflow writes its own, and this one asks the hub for data sets."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The planned batches, each row with its number."""
        self.accelerator.even_batches = False  # repeated rows would be counted and trained twice
        self.sampler = PlannedBatches(self.batches, self.args.process_index)
        self.sampler.drop_last = self.args.dataloader_drop_last
        loader: DataLoader[Any] = DataLoader(
            NumberedRows(self.train_dataset),
            batch_sampler=self.sampler,
            collate_fn=self.collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )
        prepared: DataLoader[Any]
        if self.args.world_size == 1:
            prepared = self.accelerator.prepare(loader)
        else:  # each process draws its own part of every batch; the library would deal whole batches among them
            prepared = prepare_data_loader(
                loader, self.accelerator.device, num_processes=1, process_index=0, put_on_device=True,
                rng_types=self.accelerator.rng_types.copy(),
            )  # fmt: skip
        return prepared

    def set_initial_training_values(self, args: Any, dataloader: Any) -> Any:
        """The library's numbers; epochs and batches in an epoch are kept for the end of the run."""
        values = super().set_initial_training_values(args, dataloader)
        self.epochs, self.steps_in_epoch = values[0], values[5]
        return values

    # --------------------------------------------------------------------------------------------------- steps

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward over one batch, in parts where the memory asks for it; the loss, detached."""
        name, rows = inputs["name"], inputs["rows"]
        facts = {"set": name, "rows": rows, "batch": self.place.batches_in_epoch, "epoch": self.place.epoch}
        total: torch.Tensor | None = None
        for part, share in zip(inputs["parts"], inputs["shares"], strict=True):
            self._share = share
            with out_of_memory_named(facts):
                loss = super().training_step(model, part, num_items_in_batch)
            total = loss if total is None else total + loss
        assert total is not None
        if not math.isfinite(total.item()):
            raise BatchFailedError("loss_not_finite", f"the loss is {total.item()}", facts)
        self.ledger.count(name, rows)
        self.place.batches_in_epoch += 1
        return total

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The library's loss, weighted with the share of the batch that this part is."""
        loss = super().compute_loss(*args, **kwargs)
        if self._share == 1.0 or not self.model.training:
            return loss
        return loss * self._share

    def _run_epoch(self, **kwargs: Any) -> None:
        if kwargs["epoch"] != self.place.epoch:
            self.place.epoch, self.place.batches_in_epoch = kwargs["epoch"], 0
        # The library's own call does not reach a sampler behind the wrapper that a resume puts around it.
        self.sampler.set_epoch(kwargs["epoch"])
        super()._run_epoch(**kwargs)

    def evaluate(self, *given: Any, **named: Any) -> Any:
        """The library's, in which the first process alone asks the evaluator; several have found the scores before."""
        if self.args.world_size > 1 and self.evaluator is not None:
            self.evaluator.score_together(self.model)
        return super().evaluate(*given, **named)

    # --------------------------------------------------------------------------------------------- checkpoints

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        counted: tuple[int, int] = super()._init_training_state(*args, **kwargs)
        if self.resume is None:
            return counted
        if self.place.batches_in_epoch >= self.steps_in_epoch:
            self.place.epoch, self.place.batches_in_epoch = self.place.epoch + 1, 0
        self.ledger.load(self.resume / self._ledger_name())
        self._point_to_best()
        return self.place.epoch, self.place.batches_in_epoch

    def take_up_running_sums(self) -> None:
        """After a resume: go on with the loss sums that the checkpoint left off with."""
        self._tr_loss: torch.Tensor = self._tr_loss + self.place.loss_since_log
        self._total_loss_scalar = self.place.loss_logged
        self._globalstep_last_logged = self.place.last_logged_step

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self.checkpoints)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Stage, seal and rename a checkpoint; drop those that the policy does not keep."""
        self._refuse_spoiled_weights()
        step = self.state.global_step
        # the library has no types
        gathered: torch.Tensor = nested_gather(self._tr_loss, self.args.parallel_mode)  # type: ignore[no-untyped-call]
        self.place.loss_since_log = gathered.mean().item()
        self.place.loss_logged = self._total_loss_scalar
        self.place.last_logged_step = self._globalstep_last_logged
        staging = staging_folder(self.checkpoints, step)
        staged = checkpoint_folder(staging, step)
        if self.is_world_process_zero():
            shutil.rmtree(staging, ignore_errors=True)
            staged.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self._staging = staging
        try:
            super()._save_checkpoint(model, trial)
            self.ledger.save(staged / self._ledger_name())
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                write_text_atomically(staged / STATE, json.dumps(asdict(self.place), indent=1) + "\n")
                seal(staged, checkpoint_folder(self.checkpoints, step), step)
                prune(self.checkpoints, self.keep, self.state.best_global_step)
        except Exception:
            if self.is_world_process_zero():
                shutil.rmtree(staging, ignore_errors=True)
            raise
        finally:
            self._staging = None
        if self.is_world_process_zero():
            staging.rmdir()
        self.accelerator.wait_for_everyone()
        self._point_to_best()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if not self.args.should_save:  # every process comes here; two that wrote the same files would spoil them
            return
        # No card, and no pickled arguments: the request is in the training's spec.
        save = save_adapter if has_adapter(self.model) else self.kind.save
        save(self.model, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        if has_adapter(self.model):
            load_adapter(self.model, Path(checkpoint_path))
            return
        # A checkpoint may come with a workspace from elsewhere: it is data, as every model folder is.
        gives, code = frozenset({self.kind.gives}), self.model.trust_remote_code
        with every_tensor_from(Path(checkpoint_path), remote_code=code, gives=gives):
            super()._load_from_checkpoint(checkpoint_path)

    def mean_loss(self) -> float:
        """Mean loss over all steps, those before a resume included."""
        return float(self._total_loss_scalar / max(self.state.global_step, 1))

    def load_finished(self, checkpoint: Path) -> None:
        """Weights, state, sums and ledger of a checkpoint after which there was nothing left to train."""
        self._load_from_checkpoint(str(checkpoint))
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        self.ledger.load(checkpoint / self._ledger_name())
        self._total_loss_scalar = self.place.loss_logged + self.place.loss_since_log
        self._point_to_best()

    def load_best(self) -> None:
        """Load the weights of the best checkpoint; raises when they cannot be loaded."""
        self._load_from_checkpoint(str(checkpoint_folder(self.checkpoints, self.state.best_global_step)))

    def _point_to_best(self) -> None:
        best = self.state.best_global_step
        there = best is not None and best in steps_of(self.checkpoints)
        self.state.best_model_checkpoint = str(checkpoint_folder(self.checkpoints, best)) if there else None

    def _ledger_name(self) -> str:
        return f"ledger_{self.args.process_index}.npz"

    def _refuse_spoiled_weights(self) -> None:
        """A gradient can overflow behind a finite loss; such weights must not become the last good checkpoint."""
        for name, weight in self.model.named_parameters():
            if not torch.isfinite(weight).all():
                facts = {"batch": self.place.batches_in_epoch - 1, "epoch": self.place.epoch}
                raise BatchFailedError("loss_not_finite", f"the weights of {name} are not finite", facts)


@contextmanager
def out_of_memory_named(facts: dict[str, Any]) -> Iterator[None]:
    """Turn the several ways of running out of memory into one BatchFailedError with the batch that did it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own is a RuntimeError
        if not is_out_of_memory(error):
            raise
        said = str(error).splitlines() or ["out of memory"]
        raise BatchFailedError("out_of_memory", said[0], facts) from error
