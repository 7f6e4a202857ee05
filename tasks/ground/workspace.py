"""Every path that stsflow writes, as properties of one object.

<root>/                          default: .stsflow in the working directory, or STSFLOW_WORKSPACE
  downloads/                     files fetched by URL, by content hash; hub snapshots
  prepared/<key>/                shaped data sets (Arrow) and their record
  tokens/<key>/                  a token report
  preflight/<key>/               what the check of a base model found
  scores/<key>/                  scores of a model on a suite
  comparisons/<key>/             what resampling says of two models
  trainings/<key>/               one training: spec, events, checkpoints, model, result
  runs/<recipe>-<hash>-<nnn>/    one run: what a person opens
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

from stsflow.tasks.ground.errors import DiskFull, PreconditionError


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

    @property
    def downloads(self) -> Path:
        """Files fetched by URL and hub snapshots."""
        return self.root / "downloads"

    def made(self, kind: str, key: str) -> Path:
        """Folder of what is found again by `key`: of the kinds above that are named by their key."""
        return self.root / kind / key[:24]

    def training(self, fingerprint: str) -> TrainingFolder:
        """Folder of the training with this fingerprint."""
        return TrainingFolder(self.made("trainings", fingerprint))

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.root / "runs"

    def run(self, name: str) -> RunFolder:
        """Folder of the run called `name`."""
        return RunFolder(self.runs / name)

    def lease(self, key: str) -> Path:
        """Lock file for `key`."""
        return self.root / "leases" / f"{key}.lock"

    @property
    def flow_runs(self) -> Path:
        """Notes of the flow runs that a process is at work on."""
        return self.root / "flow-runs"

    @property
    def mlflow_database(self) -> Path:
        """SQLite file of the embedded MLflow store."""
        return self.root / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """Artifact folder of the embedded MLflow store."""
        return self.root / "mlartifacts"

    @property
    def prefect_home(self) -> Path:
        """Home of the embedded Prefect server."""
        return self.root / "prefect"

    @property
    def services(self) -> Path:
        """Logs, sockets and pids of `stsflow up`."""
        return self.root / "services"


@dataclass(frozen=True)
class TrainingFolder:
    """One training, found by the fingerprint of everything that determines its weights."""

    root: Path

    @property
    def spec(self) -> Path:
        """What the worker was asked to do."""
        return self.root / "spec.json"

    @property
    def events(self) -> Path:
        """Append-only log of the worker, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def log(self) -> Path:
        """Standard output and error of the worker."""
        return self.root / "worker.log"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        """The finished model; it appears whole or not at all."""
        return self.root / "model"

    @property
    def result(self) -> Path:
        """Record of the finished training; its presence says that the training is done."""
        return self.root / "result.json"


@dataclass(frozen=True)
class RunFolder:
    """One run's folder: what a person opens."""

    root: Path

    @property
    def state(self) -> Path:
        """RunState record: who runs it, where it is tracked, how it ended."""
        return self.root / "run.json"

    @property
    def journal(self) -> Path:
        """What is to be recorded in MLflow, one entry a line; see tasks/tracking/journal.py."""
        return self.root / "tracking" / "journal.jsonl"

    @property
    def recipe(self) -> Path:
        """The recipe, resolved and locked: revisions and hashes filled in."""
        return self.root / "recipe.yaml"

    @property
    def data(self) -> Path:
        """Records of the prepared data."""
        return self.root / "data"

    @property
    def prepared(self) -> Path:
        """Record of the prepared data."""
        return self.data / "prepared.json"

    @property
    def base_model(self) -> Path:
        """Record of the base model."""
        return self.data / "base-model.json"

    @property
    def tokens(self) -> Path:
        """Token report and histogram."""
        return self.root / "tokens"

    @property
    def token_report(self) -> Path:
        """The token report."""
        return self.tokens / "tokens.json"

    @property
    def plan(self) -> Path:
        """Plan report."""
        return self.root / "plan"

    @property
    def plan_report(self) -> Path:
        """The plan report."""
        return self.plan / "plan.json"

    @property
    def training(self) -> Path:
        """Events, result and log of the training."""
        return self.root / "training"

    @property
    def result(self) -> Path:
        """Record of the finished training."""
        return self.training / "result.json"

    @property
    def model(self) -> Path:
        """The tuned model."""
        return self.root / "model"

    @property
    def evaluation(self) -> Path:
        """Scores, pairs and plots of base and tuned model."""
        return self.root / "evaluation"

    def report(self, model: str) -> Path:
        """Scores of the `base` or `tuned` model."""
        return self.evaluation / model / "report.json"

    @property
    def differences(self) -> Path:
        """Paired differences of the two. A suite's file has a name without a dot, so no suite is in the way."""
        return self.evaluation / "differences.base-tuned.json"

    @property
    def card(self) -> Path:
        """The model card and its figures."""
        return self.root / "card"


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
