"""Every path that stsflow writes, as properties of one object.

<root>/                          default: .stsflow in the working directory, or STSFLOW_WORKSPACE
  downloads/                     files fetched by URL, by content hash; hub snapshots
  prepared/<key>/                shaped data sets (Arrow) and their record
  mined/<key>/                   training sets with mined negatives (Arrow) and their record
  embeddings/<key>/              embeddings that mining searches, block by block
  tokens/<key>/                  a token report
  taught/<key>/                  a training set that a teacher labelled; while it does, the blocks beside it
  preflight/<key>/               what the check of a base model found
  scores/<key>/                  scores of a model on a suite
  comparisons/<key>/             what resampling says of two models
  exports/<key>/                 an export, the figures of one, or what exports are held to
  drift/<key>/                   numbers of a sample of texts, for the look at drift; no text
  merged/<key>/                  tuned and base model averaged: the chosen weight's model
  trainings/<key>/               one training: spec, events, checkpoints, model, result
  runs/<recipe>-<hash>-<nnn>/    one run: what a person opens
  studies/<name>.json            runs of one recipe under several seeds
  sweeps/                        trials of sweeps (an SQLite database of Optuna), and what came of each sweep
  looks/<name>/                  what decisions on a registered model took of the error budget of its test sets
  leases/                        locks
  flow-runs/                     Prefect flow runs that a process is at work on
  mlflow.db, mlartifacts/        the embedded MLflow store
  prefect/                       the embedded Prefect server's home
  services/                      logs and pids of `stsflow up`
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stsflow.tasks.ground.errors import DiskFull, PreconditionError


class Below:
    """A path below the `root` of the class whose attribute this is."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __get__(self, owner: Any, _: type) -> Path:
        return Path(owner.root, self.path)


@dataclass(frozen=True)
class Workspace:
    """The folder that holds runs, caches and the embedded stores."""

    root: Path

    @classmethod
    def here(cls) -> Workspace:
        """The workspace of this process: `STSFLOW_WORKSPACE`, else `.stsflow` in the working directory (absolute)."""
        try:
            return cls(Path(os.environ.get("STSFLOW_WORKSPACE") or ".stsflow").absolute())
        except FileNotFoundError as error:
            raise PreconditionError("the current folder is gone; change to one that is there") from error

    def make(self) -> Workspace:
        """Make the folder where it is missing, for its owner alone; return this workspace.

        Raises PreconditionError when it cannot be made or written, is a file, or has a name that a database's address
        cannot hold: the database would be made somewhere else.
        """
        remedy = "set STSFLOW_WORKSPACE to a folder of yours"
        if wrong := _not_in_an_address(str(self.root)):
            raise PreconditionError(f"the workspace {str(self.root)!a} has {wrong} in its name; {remedy}")
        try:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(mode=0o700, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise PreconditionError(f"{error.filename} is a file, and must be a folder; {remedy}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"the disk of {self.root} is full; make room there, or {remedy}") from error
            raise PreconditionError(f"the workspace {self.root} cannot be made: {error.strerror}; {remedy}") from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise PreconditionError(f"the workspace {self.root} cannot be written; {remedy}")
        return self

    downloads = Below("downloads")

    def made(self, kind: str, key: str) -> Path:
        """Folder of what is found again by `key`: of the kinds above that are named by their key."""
        return self.root / kind / key[:24]

    def training(self, fingerprint: str) -> TrainingFolder:
        """Folder of the training with this fingerprint."""
        return TrainingFolder(self.made("trainings", fingerprint))

    runs = Below("runs")

    def run(self, name: str) -> RunFolder:
        """Folder of the run called `name`."""
        return RunFolder(self.runs / name)

    studies = Below("studies")

    sweeps = Below("sweeps")
    sweep_database = Below("sweeps/optuna.db")

    looks = Below("looks")
    """The ledger of looks at test sets, one file a look; see tasks/release/looks.py."""

    def lease(self, key: str) -> Path:
        """Lock file for `key`."""
        return self.root / "leases" / f"{key}.lock"

    flow_runs = Below("flow-runs")
    """Notes of the flow runs that a process is at work on."""
    mlflow_database = Below("mlflow.db")
    mlflow_artifacts = Below("mlartifacts")
    prefect_home = Below("prefect")
    services = Below("services")
    """Logs, sockets and pids of `stsflow up`."""


@dataclass(frozen=True)
class TrainingFolder:
    """One training, found by the fingerprint of everything that determines its weights."""

    root: Path

    spec = Below("spec.json")
    events = Below("events.jsonl")
    """Append-only log of the worker, one JSON object a line."""
    log = Below("worker.log")
    checkpoints = Below("checkpoints")
    model = Below("model")
    """The finished model; it appears whole or not at all."""
    adapter = Below("adapter")
    """The adapter alone, where one was trained; `model` has it in its weights."""
    result = Below("result.json")
    """Record of the finished training; its presence says that the training is done."""


@dataclass(frozen=True)
class RunFolder:
    """One run's folder: what a person opens."""

    root: Path

    state = Below("run.json")
    """RunState record: who runs it, where it is tracked, how it ended."""
    journal = Below("tracking/journal.jsonl")
    """What is to be recorded in MLflow, one entry a line; see tasks/tracking/journal.py."""
    recipe = Below("recipe.yaml")
    """The recipe, resolved and locked: revisions and hashes filled in."""
    data = Below("data")
    prepared = Below("data/prepared.json")
    mining = Below("data/mining.json")
    """Audit of mined negatives, where some were mined."""
    base_model = Below("data/base-model.json")
    tokens = Below("tokens")
    """Token report and histogram."""
    token_report = Below("tokens/tokens.json")
    plan = Below("plan")
    plan_report = Below("plan/plan.json")
    training = Below("training")
    """Events, result and log of the training."""
    result = Below("training/result.json")
    model = Below("model")
    evaluation = Below("evaluation")
    """Scores, pairs and plots of base and tuned model."""

    def report(self, model: str) -> Path:
        """Scores of the `base` or `tuned` model."""
        return self.evaluation / model / "report.json"

    differences = Below("evaluation/differences.base-tuned.json")
    """Paired differences of the two. A suite's file has a name without a dot, so no suite is in the way."""
    exports = Below("exports")
    """Exports that were released, by name."""
    EXPORTS = "exports.json"
    export_report = Below("exports/exports.json")
    """What became of every export of the recipe."""
    seeds = Below("evaluation/recipe.over-seeds.json")
    """What the recipe scored under several seeds, where this run is the best of them."""
    sweep = Below("evaluation/recipe.of-sweep.json")
    """Which sweep the recipe's settings are the best of, where they come from one."""
    account = Below("evaluation/account.looks.json")
    """What was left of the error budget of the headline's rows before the decision, as the card says it."""
    card = Below("card")
    """The model card and its figures."""
    release = Below("release")
    decision = Below("release/decision.json")
    """Release record: how far the release has come, and what was decided on what."""
    asked = Below("release/asked.json")
    """Which flow run was suspended until a person answers, and the summary with which it goes on."""
    hub = Below("release/hub.json")
    """What the release left on the hub, where it was pushed there."""


def _not_in_an_address(path: str) -> str:
    """What the path holds that an SQLite address (SQLAlchemy's) cannot; empty when it holds nothing of that."""
    if "?" in path:
        return "a question mark"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "a control character"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "bytes that are not UTF-8"
    return ""
