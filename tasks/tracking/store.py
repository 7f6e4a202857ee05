"""The only module that speaks to MLflow.

Everything goes by run id through `MlflowClient`: the ambient run of MLflow is bound to a thread and is `None` inside a
submitted task.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import PreconditionError, TrackingUnavailable
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.lease import lease
from stsflow.tasks.ground.sqlite import require_usable
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.journal import Artifacts, DatasetInput, Entry, Finish, Metrics, Model, Params, Tags
from stsflow.tasks.tracking.refusals import is_refusal, refused_before_work
from stsflow.tasks.tracking.store_address import check_addresses

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
DIGEST_TAG = "stsflow.model_digest"
"""Tag of a logged model and of a version: digest of the weights."""
NO_SUCH_THING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
"""How MLflow answers for a registered model, an alias or a version that it does not have."""
CUT = " … (cut)"
PARAM_LIMIT = 6000
"""Longest value of a parameter that MLflow keeps (`MAX_PARAM_VAL_LENGTH`)."""


def tracking_uri(workspace: Workspace) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the workspace's own SQLite store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.mlflow_database}"


def check_reachable(workspace: Workspace, *, timeout_seconds: float = 10.0) -> None:
    """Raise PreconditionError when the tracking server of this process does not answer; SQLite always passes."""
    check_addresses()
    uri = tracking_uri(workspace)
    if not uri.startswith(("http://", "https://")):
        return
    import httpx

    shown = without_credentials(uri)
    try:
        answer = httpx.get(uri.rstrip("/") + "/health", timeout=timeout_seconds, auth=_basic_auth())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PreconditionError(
            f"the MLflow server at {shown} (MLFLOW_TRACKING_URI) does not answer: {_reason(error)}; start it "
            "(`stsflow up`), correct the address, or unset the variable to use the embedded store"
        ) from None
    if answer.status_code != 200:
        raise PreconditionError(
            f"the MLflow server at {shown} (MLFLOW_TRACKING_URI) answers /health with {answer.status_code}; "
            "expected 200: is this an MLflow server, and are user name and password right?"
        )


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

    # -------------------------------------------------------------------------------------------------- runs

    def open_run(
        self, experiment: str, name: str, tags: Mapping[str, str], description: str, started: datetime,
        *, adopt: bool = False,
    ) -> tuple[str, str]:  # fmt: skip
        """Make a run in `experiment` (made too when missing); return (run id, experiment id).

        With `adopt`, take up the run of this name that a killed process had just made, where there is one. Raises
        PreconditionError when MLflow refuses the run, for a name or a tag.
        """
        with refused_before_work(self.shown_uri, f"the run {name!r} in the experiment {experiment!r}"):
            return self._open_run(experiment, name, tags, description, started, adopt=adopt)

    def _open_run(
        self, experiment: str, name: str, tags: Mapping[str, str], description: str, started: datetime,
        *, adopt: bool,
    ) -> tuple[str, str]:  # fmt: skip
        experiment_id = self.experiment(experiment)
        if adopt:
            found = self.client.search_runs([experiment_id], f"attributes.run_name = '{name}'", max_results=1)
            if found:
                return found[0].info.run_id, experiment_id
        run = self.client.create_run(
            experiment_id, start_time=int(started.timestamp() * 1000), run_name=name,
            tags={**tags, "mlflow.note.content": description, "mlflow.source.name": "stsflow", "mlflow.user": _user()},
        )  # fmt: skip
        return run.info.run_id, experiment_id

    def reopen_run(self, run_id: str) -> bool:
        """Set the run to RUNNING again, without the reason why it had ended; False when the store does not know it."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.update_run(run_id, status="RUNNING")
            for tag in (REASON, LOG_LINES):
                if tag in self.client.get_run(run_id).data.tags:
                    self.client.delete_tag(run_id, tag)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def run(self, run_id: str) -> Run:
        """The run, with params, latest metrics and tags."""
        return self.client.get_run(run_id)

    def run_named(self, name: str) -> Run | None:
        """The newest run of that name that a recipe made, in whichever experiment; None when there is none."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        wanted = f"attributes.run_name = '{name}' and tags.`stsflow.recipe` LIKE '%'"
        found = self.client.search_runs(experiments, wanted, max_results=1) if "'" not in name else []
        return found[0] if found else None

    def knows_run(self, run_id: str) -> bool:
        """Whether this store has the run."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

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

    # --------------------------------------------------------------------------------------------- journal entries

    def send(self, run_id: str, entry: Entry, folder: Path) -> None:
        """Carry one journal entry over. Sending one twice does no harm, except for metrics (see `known_points`)."""
        if isinstance(entry, Metrics):
            self._send_metrics(run_id, entry.points)
        elif isinstance(entry, Params):
            self._send_params(run_id, entry.values)
        elif isinstance(entry, Tags):
            self._send_tags(run_id, entry.values)
        elif isinstance(entry, Artifacts):
            self._send_artifacts(run_id, folder / entry.path, entry.folder)
        elif isinstance(entry, DatasetInput):
            self._send_input(run_id, entry)
        elif isinstance(entry, Model):
            self._send_model(run_id, entry, folder)
        elif isinstance(entry, Finish):
            self.end_run(run_id, entry.status, entry.reason, entry.log_lines, entry.time)

    def known_points(self, run_id: str, names: Iterable[str]) -> set[tuple[str, int]]:
        """(metric, step) of every point that the run has for these metrics."""
        return {(name, point.step) for name in set(names) for point in self.client.get_metric_history(run_id, name)}

    def _send_metrics(self, run_id: str, points: Iterable[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, timestamp, step) for name, value, timestamp, step in points]
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(run_id, metrics=metrics[start : start + 1000])

    def _send_tags(self, run_id: str, values: Mapping[str, str]) -> None:
        """Set the tags; one that is refused keeps none of the others back, and is raised when they are there."""
        refused: Exception | None = None
        for name, value in values.items():
            try:
                self.client.set_tag(run_id, name, value[:8000])
            except Exception as error:  # whatever MLflow raises: only what it refuses is held back
                if not is_refusal(error):
                    raise
                refused = error
        if refused is not None:
            raise refused

    def _send_params(self, run_id: str, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        known = self.client.get_run(run_id).data.params
        params = [
            Param(name, value if len(value) <= PARAM_LIMIT else value[: PARAM_LIMIT - len(CUT)] + CUT)
            for name, value in values.items()
            if name not in known
        ]
        for start in range(0, len(params), 100):
            self.client.log_batch(run_id, params=params[start : start + 100])

    def _send_artifacts(self, run_id: str, path: Path, folder: str) -> None:
        if path.is_dir():
            self.client.log_artifacts(run_id, str(path), folder or None)
        elif path.exists():
            self.client.log_artifact(run_id, str(path), folder or None)

    def _send_input(self, run_id: str, entry: DatasetInput) -> None:
        from mlflow.entities import Dataset, InputTag
        from mlflow.entities import DatasetInput as Input

        source = {"uri": entry.source, "revision": entry.revision, "sha256": entry.digest}
        dataset = Dataset(
            name=entry.name, digest=entry.digest[:36], source_type="stsflow",
            source=json.dumps(source, ensure_ascii=False),
            profile=json.dumps({"num_rows": entry.rows}), schema=json.dumps({"columns": entry.columns}),
        )  # fmt: skip
        self.client.log_inputs(run_id, datasets=[Input(dataset, [InputTag("mlflow.data.context", entry.context)])])

    # ------------------------------------------------------------------------------------------------ models

    def _send_model(self, run_id: str, entry: Model, folder: Path) -> None:
        """Log the model in a child process (the flavour needs torch, this process must not), then register it.

        A model with this digest that another run of the experiment has logged is linked, not logged again.
        """
        if self._logged_model(run_id, entry.digest) is None and not self._link_model(run_id, entry.digest):
            from stsflow.tasks.tracking.model_process import log_model_in_child

            log_model_in_child(self.uri, run_id, folder / entry.path, entry, folder)
        if entry.register_as:
            self.register(run_id, entry)

    def _logged_model(self, run_id: str, digest: str) -> Any | None:
        run = self.client.get_run(run_id)
        for output in getattr(getattr(run, "outputs", None), "model_outputs", None) or []:
            model = self.client.get_logged_model(output.model_id)
            if model.tags.get(DIGEST_TAG) == digest:
                return model
        return None

    def _link_model(self, run_id: str, digest: str) -> bool:
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        experiment = self.client.get_run(run_id).info.experiment_id
        found = self.client.search_logged_models([experiment], f"tags.`{DIGEST_TAG}` = '{digest}'", max_results=20)
        ready = [model for model in found if model.status == LoggedModelStatus.READY]
        if ready:
            self.client.log_outputs(run_id, [LoggedModelOutput(ready[0].model_id, step=0)])
        return bool(ready)

    def register(self, run_id: str, entry: Model) -> str:
        """Number of the registered model's version with the weights of `entry`, made when there is none yet.

        A run that makes weights which are registered already makes no second version of the same bytes.
        """
        name = str(entry.register_as)
        with lease(self.workspace.lease(f"register-{fingerprint(name)[:24]}")):
            return self.version_with(name, entry.digest) or self._new_version(name, run_id, entry)

    def _new_version(self, name: str, run_id: str, entry: Model) -> str:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(
                name, description=f"Sentence-embedding models of the recipe that registers as {name}."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        model = self._logged_model(run_id, entry.digest)
        if model is None:
            raise TrackingUnavailable(
                f"the run {run_id} holds no logged model with digest {entry.digest[:12]} to register"
            )
        version = self.client.create_model_version(
            name, source=f"models:/{model.model_id}", run_id=run_id, description=entry.description[:90_000],
            tags=dict(entry.tags) | {DIGEST_TAG: entry.digest}, model_id=model.model_id,
        )  # fmt: skip
        return str(version.version)

    def version_with(self, name: str, digest: str) -> str | None:
        """Number of the newest version of registered model `name` that holds the weights with this digest, or None."""
        # The name stays out of the filter, which has no way to write a quote within a text.
        found = self.client.search_model_versions(f"tags.`{DIGEST_TAG}` = '{digest}'")
        return max((str(version.version) for version in found if version.name == name), key=int, default=None)

    def alias(self, name: str, alias: str) -> Any | None:
        """The model version that `alias` of registered model `name` points to, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in NO_SUCH_THING:
                return None
            raise

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point `alias` of registered model `name` at `version`; raises PreconditionError when MLflow refuses.

        It does when somebody has deleted the version since it was looked up.
        """
        with refused_before_work(self.shown_uri, f"the alias {alias!r} for version {version} of {name!r}"):
            self.client.set_registered_model_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove `alias` of registered model `name`; raises PreconditionError when MLflow refuses."""
        with refused_before_work(self.shown_uri, f"to remove the alias {alias!r} of {name!r}"):
            self.client.delete_registered_model_alias(name, alias)

    def note(self, name: str, key: str, value: str) -> None:
        """Keep a tag on registered model `name`; raises PreconditionError when MLflow refuses."""
        with refused_before_work(self.shown_uri, f"a tag on {name!r}"):
            self.client.set_registered_model_tag(name, key, value)

    def notes(self, name: str) -> dict[str, str]:
        """The tags of registered model `name`; none when there is no such model."""
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.client.get_registered_model(name).tags)
        except MlflowException as error:
            if error.error_code in NO_SUCH_THING:
                return {}
            raise

    def weights_of(self, name: str, version: str) -> str | None:
        """Digest of the version's weights, `version N` where it carries none; None when there is no such version."""
        from mlflow.exceptions import MlflowException

        try:
            tags = self.client.get_model_version(name, version).tags
        except MlflowException as error:
            if error.error_code in NO_SUCH_THING:
                return None
            raise
        return tags.get(DIGEST_TAG) or f"version {version}"

    def model_version(self, name: str, version: str) -> Any:
        """Details of a version; raises PreconditionError when there is no such version."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version(name, version)
        except MlflowException as error:
            raise PreconditionError(
                f"the registered model {name!r} has no version {version} in {self.shown_uri}"
            ) from error

    def download_model(self, name: str, version: str, target: Path) -> Path:
        """The sentence-transformers folder of a registered version, copied below `target`.

        Raises PreconditionError when the version or its files are gone.
        """
        import mlflow

        self._become_the_default()
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            try:
                local = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=scratch))
            except (mlflow.MlflowException, FileNotFoundError, NotADirectoryError) as error:
                raise PreconditionError(
                    f"the files of version {version} of {name!r} cannot be had from {self.shown_uri}: {_reason(error)}"
                ) from error
            folder = local / "model.sentence_transformer"
            os.rename(folder if folder.is_dir() else local, target)
        return target


def _basic_auth() -> tuple[str, str] | None:
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (user, password) if user and password else None


def _reason(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def milliseconds(moment: datetime | None = None) -> int:
    """Milliseconds since 1970 of `moment`, or of now."""
    return int((moment or datetime.now(UTC)).timestamp() * 1000)
