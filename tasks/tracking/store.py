"""MLflow: connected to once, and its experiments and runs. Registered models are registry.py's.

Everything goes by run id through `MlflowClient`: the ambient run of MLflow is bound to a thread and is `None` inside a
submitted task.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.environment import user_name
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.sqlite import require_usable
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.tracking.links import DESCRIPTION_TAG
from stsflow.tasks.tracking.refusals import NO_SUCH_RUN, refused_before_work, unless_missing
from stsflow.tasks.tracking.registry import Registry
from stsflow.tasks.tracking.store_address import check_addresses, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

# MLflow's own patience (seven tries, two minutes each) would hold up a training whose tracker is away. The relay tries
# again by itself, so a single call may give up soon. What a user has set in the environment stays.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for results
}
REASON, LOG_LINES = "stsflow.ended_because", "stsflow.trainer_log"
"""Tags of a run that did not end well."""
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
"""Without it the MLflow UI opens an experiment as one of prompts and traces, and shows no description of a run."""

logger = logging.getLogger(__name__)


class Store:
    """MLflow, as far as stsflow needs it."""

    def __init__(self, workspace: Workspace) -> None:
        """Connect to the store that `tracking_uri` names; nothing is sent yet, but a new SQLite file is migrated.

        Raises PreconditionError for an address that is no store, or a database that does not answer.
        """
        check_addresses()
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        workspace.make()
        from mlflow.tracking import MlflowClient

        self.workspace = workspace
        self.uri = tracking_uri(workspace)
        self.shown_uri = without_credentials(self.uri)
        self.registry_uri = os.environ.get("MLFLOW_REGISTRY_URI") or self.uri
        if self.uri == f"sqlite:///{workspace.mlflow_database}":
            require_usable(workspace.mlflow_database)  # MLflow would try for minutes to open it
        # MLflow locks one of the two places where it makes its tables, not the registry's: of two runs that begin
        # together in a new workspace one would end with "table already exists".
        with lease(workspace.lease("mlflow-tables")):
            self.client: MlflowClient = MlflowClient(tracking_uri=self.uri, registry_uri=self.registry_uri)
            if self.registry_uri.startswith("sqlite:"):
                self.client.search_registered_models(max_results=1)
        self.registry = Registry(self.client, self.uri, self.registry_uri, workspace)
        self._become_the_default()

    def _become_the_default(self) -> None:
        """Make this the store of MLflow's own default client, which it asks where it makes a model version.

        Without that it opens a second store in the working directory. MLflow would also leave the address in the
        environment, for every child process and for the next `Store` to take as the user's; what was unset stays unset.
        """
        import mlflow

        unset = [name for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI") if name not in os.environ]
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.registry_uri)
        for name in unset:
            os.environ.pop(name, None)

    def check_access(self) -> None:
        """Raise PreconditionError when the tracking server answers and refuses this user."""
        if self.uri.startswith(("http://", "https://")):
            with refused_before_work(self.shown_uri, "to look for models"):
                self.client.search_registered_models(max_results=1)

    def open_run(
        self, experiment: str, name: str, tags: Mapping[str, str], description: str, started: datetime,
        *, adopt: bool = False,
    ) -> tuple[str, str]:  # fmt: skip
        """Make a run in `experiment` (made too when missing); return (run id, experiment id).

        With `adopt`, take up the run of this name that a killed process had just made, where there is one. Raises
        PreconditionError when MLflow refuses the run, for a name or a tag.
        """
        with refused_before_work(self.shown_uri, f"the run {name!r} in the experiment {experiment!r}"):
            experiment_id = self.experiment(experiment)
            if adopt:
                found = self.client.search_runs([experiment_id], f"attributes.run_name = '{name}'", max_results=1)
                if found:
                    return found[0].info.run_id, experiment_id
            ours = {DESCRIPTION_TAG: description, "mlflow.source.name": "stsflow", "mlflow.user": user_name()}
            run = self.client.create_run(
                experiment_id, start_time=int(started.timestamp() * 1000), run_name=name, tags={**tags, **ours}
            )
            return run.info.run_id, experiment_id

    def reopen_run(self, run_id: str) -> bool:
        """Set the run to RUNNING again, without the reason why it had ended; False when the store does not know it."""
        if not self.knows_run(run_id):
            return False
        self.client.update_run(run_id, status="RUNNING")
        for tag in {REASON, LOG_LINES} & self.run(run_id).data.tags.keys():
            self.client.delete_tag(run_id, tag)
        return True

    def run(self, run_id: str) -> Run:
        """The run, with params, latest metrics and tags."""
        return self.client.get_run(run_id)

    def tag_run(self, run_id: str, values: Mapping[str, str]) -> None:
        """Set tags of a run that has ended; does nothing where this store does not know it."""
        for key, value in values.items() if run_id and self.knows_run(run_id) else ():
            self.client.set_tag(run_id, key, value[:8000])

    def run_named(self, name: str) -> Run | None:
        """The newest run of that name that a recipe made, in whichever experiment; None when there is none."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        wanted = f"attributes.run_name = '{name}' and tags.`stsflow.recipe` LIKE '%'"
        found = self.client.search_runs(experiments, wanted, max_results=1) if "'" not in name else []
        return found[0] if found else None

    def knows_run(self, run_id: str) -> bool:
        """Whether this store has the run."""
        return unless_missing(lambda: self.client.get_run(run_id), NO_SUCH_RUN) is not None

    def download_record(self, run_id: str, target: Path) -> Path | None:
        """What the run recorded of itself, below `target` as in a run's folder; None when this store has no such run
        or not all of it."""
        from mlflow.exceptions import MlflowException

        try:
            if not self.knows_run(run_id):
                return None
            target.mkdir(parents=True, exist_ok=True)
            for name in ("recipe", "data", "tokens", "training", "evaluation", "plan"):
                self.client.download_artifacts(run_id, name, str(target))
            if any(found.path == "exports" for found in self.client.list_artifacts(run_id)):
                report = self.client.download_artifacts(run_id, f"exports/{RunFolder.EXPORTS}", str(target))
                place = RunFolder(target).export_report  # some stores leave a single file without its folder
                place.parent.mkdir(exist_ok=True)
                Path(report).rename(place)
            (target / "recipe" / "recipe.yaml").rename(target / "recipe.yaml")
        except (MlflowException, OSError) as error:
            logger.info("the record of the run %s is not at hand in MLflow: %s", run_id, error)
            return None
        return target

    def end_run(
        self, run_id: str, status: str, reason: str = "", log_lines: str = "", end_time: int | None = None
    ) -> None:
        """End the run; why, and the last lines of the trainer's log, become tags."""
        for tag, value in ((REASON, reason), (LOG_LINES, log_lines)):
            if value:
                self.client.set_tag(run_id, tag, value[-4000:])
        self.client.set_terminated(run_id, status=status, end_time=end_time)

    def experiment(self, name: str) -> str:
        """Id of the experiment `name`, made when missing; raises PreconditionError when it is deleted."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "active":
            if KIND_TAG not in found.tags:
                self.client.set_experiment_tag(found.experiment_id, KIND_TAG, KIND)
            return str(found.experiment_id)
        if found is not None:
            raise PreconditionError(
                f"the MLflow experiment {name!r} is deleted; restore it, or set tracking.experiment"
            )
        # The location is fixed when an experiment is made. For the embedded store it must not depend on the working
        # directory; a server decides for itself.
        location = self.workspace.mlflow_artifacts.as_uri() if self.uri.startswith("sqlite:") else None
        try:
            return str(self.client.create_experiment(name, artifact_location=location, tags={KIND_TAG: KIND}))
        except MlflowException:
            found = self.client.get_experiment_by_name(name)  # another process was first
            if found is None:
                raise
            return str(found.experiment_id)
