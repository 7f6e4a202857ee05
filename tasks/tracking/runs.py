"""Runs of a workspace: which folder, which MLflow run, who works on it, and how it ended."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from stsflow.tasks.ground.child import last_lines
from stsflow.tasks.ground.errors import DamagedRecord, RecipeError
from stsflow.tasks.ground.process import is_alive, this_process
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.run import RunRef, RunState
from stsflow.tasks.tracking.journal import Journal
from stsflow.tasks.tracking.relay import Relay
from stsflow.tasks.tracking.store import Store

logger = logging.getLogger(__name__)


def known_runs(workspace: Workspace) -> Iterator[tuple[RunFolder, RunState]]:
    """Every run of the workspace that has a readable run.json, oldest first by folder name."""
    if not workspace.runs.is_dir():
        return
    for path in sorted(workspace.runs.iterdir()):
        folder = RunFolder(path)
        with suppress(DamagedRecord):
            yield folder, RunState.load(folder.state)


def damaged_runs(workspace: Workspace) -> Iterator[tuple[RunFolder, str]]:
    """Every run whose run.json is there and cannot be read, and what is wrong with it."""
    for path in sorted(workspace.runs.iterdir()) if workspace.runs.is_dir() else ():
        folder = RunFolder(path)
        if folder.state.exists():
            try:
                RunState.load(folder.state)
            except DamagedRecord as error:
                yield folder, error.message


def holder_is_alive(state: RunState) -> bool:
    """Whether the process that works on the run still exists. A run on another host counts as alive."""
    return is_alive(state.process_id, state.process_started, state.host)


def unfinished_run(workspace: Workspace, sha256: str, name: str | None = None) -> tuple[RunFolder, RunState] | None:
    """The newest run of this recipe that has not finished and that nobody works on; by `name`, that run."""
    found = None
    for folder, state in known_runs(workspace):
        if name is not None and state.name != name and state.mlflow_run_id != name:
            continue
        if (
            state.recipe_sha256 == sha256
            and state.status != "finished"
            and not (state.status == "running" and holder_is_alive(state))
        ):
            found = folder, state
    return found


def find_run(workspace: Workspace, name: str) -> tuple[RunFolder, RunState]:
    """The run with this folder name or MLflow run id; raises RecipeError that lists the newest names."""
    runs = list(known_runs(workspace))
    for folder, state in runs:
        if name in (state.name, state.mlflow_run_id):
            return folder, state
    names = ", ".join(state.name for _, state in runs[-5:]) or "none"
    raise RecipeError(f"there is no run {name!r} in {workspace.root}; the newest: {names}")


def open_run(
    store: Store, workspace: Workspace, recipe: RunConfig, sha256: str, *, flow_run_id: str, started: datetime,
    tags: dict[str, str], resume: str | None, fresh: bool,
) -> RunRef:  # fmt: skip
    """Open the record of a run: continue this recipe's unfinished one, else start a new one.

    The caller holds the recipe's lease. Writes run.json; raises RecipeError when `resume` names a run that cannot be
    continued with this recipe.
    """
    if resume is not None:
        _check_resumable(workspace, sha256, resume)
    found = None if fresh else unfinished_run(workspace, sha256, resume)
    # A run id says by itself whether this store has the run. Its address does not: the workspace's own store is a file
    # to a run without servers, and an HTTP address while `stsflow up` is at work.
    if found is not None and store.reopen_run(found[1].mlflow_run_id):
        folder, old = found
        state = old.model_copy(update=this_process() | {
            "status": "running", "attempt": old.attempt + 1, "ended": None, "reason": "",
            "tracking_uri": store.shown_uri,
            "flow_run_ids": (*old.flow_run_ids, flow_run_id) if flow_run_id else old.flow_run_ids,
        })  # fmt: skip
        state.write(folder.state)
        return reference(folder, state)
    half_opened = _half_opened(workspace, recipe.name, sha256)
    folder = half_opened or _new_folder(workspace, recipe.name, sha256)
    run_id, experiment_id = store.open_run(
        recipe.tracking.experiment, folder.root.name, tags, recipe.description, started, adopt=half_opened is not None
    )
    state = RunState(
        name=folder.root.name, recipe_name=recipe.name, recipe_sha256=sha256, status="running", mlflow_run_id=run_id,
        experiment_id=experiment_id, tracking_uri=store.shown_uri, flow_run_ids=(flow_run_id,) if flow_run_id else (),
        started=started, **this_process(),
    )  # fmt: skip
    state.write(folder.state)
    return reference(folder, state)


def state_of(run: RunRef) -> RunState:
    """What run.json says of a run that this process works on; made again where it is damaged."""
    folder = RunFolder(run.folder)
    state = RunState.load_or_none(folder.state)
    if state is None:
        state = RunState(
            name=run.name, recipe_name=run.recipe_name, recipe_sha256=run.recipe_sha256, status="running",
            mlflow_run_id=run.mlflow_run_id, experiment_id=run.experiment_id, tracking_uri=run.tracking_uri,
            flow_run_ids=(run.flow_run_id,) if run.flow_run_id else (), attempt=run.attempt, started=datetime.now(UTC),
            **this_process(),
        )  # fmt: skip
        state.write(folder.state)
    return state


def close_run(folder: RunFolder, status: str, reason: str = "") -> None:
    """Write how the run ended into run.json."""
    state = RunState.load(folder.state)
    state.model_copy(update={"status": status, "reason": reason, "ended": datetime.now(UTC)}).write(folder.state)


def note_training(folder: RunFolder, fingerprint: str) -> None:
    """Write which training the run uses into run.json."""
    RunState.load(folder.state).model_copy(update={"training": fingerprint}).write(folder.state)


def trainer_log_lines(workspace: Workspace, state: RunState) -> str:
    """The last lines of the log of the run's trainer; empty when it has not come that far."""
    return last_lines(workspace.training(state.training).log, 20) if state.training else ""


def relay_of(store: Store, run: RunRef) -> Relay:
    """The relay of a run's journal."""
    return Relay(store, run.mlflow_run_id, Journal(RunFolder(run.folder).journal), run.folder)


def _check_resumable(workspace: Workspace, sha256: str, name: str) -> None:
    _, state = find_run(workspace, name)
    if state.recipe_sha256 != sha256:
        raise RecipeError(
            f"--resume {name}: that run was started with another recipe ({state.recipe_name}, hash "
            f"{state.recipe_sha256[:12]}, this one {sha256[:12]}); run it with the recipe it was started with "
            f"({workspace.run(state.name).recipe}), or start a new run"
        )
    if state.status == "finished":
        raise RecipeError(f"--resume {name}: that run has finished; run the recipe again, or with --fresh")


def _half_opened(workspace: Workspace, name: str, sha256: str) -> RunFolder | None:
    """The folder of a run whose process was killed while it opened it: there is no run.json yet.

    The caller holds the recipe's lease, so nobody else is about to write it.
    """
    if not workspace.runs.is_dir():
        return None
    folders = (RunFolder(path) for _, path in _folders_of(workspace, name, sha256))
    return next((folder for folder in folders if not folder.state.exists()), None)


def _new_folder(workspace: Workspace, name: str, sha256: str) -> RunFolder:
    workspace.runs.mkdir(parents=True, exist_ok=True)
    number = max((taken for taken, _ in _folders_of(workspace, name, sha256)), default=0) + 1
    while True:
        folder = workspace.run(f"{_stem(name, sha256)}-{number:03d}")
        try:
            folder.root.mkdir(mode=0o700)
            return folder
        except FileExistsError:
            number += 1


def _folders_of(workspace: Workspace, name: str, sha256: str) -> list[tuple[int, Path]]:
    """Number and path of every run folder of a recipe."""
    pattern = re.compile(rf"{re.escape(_stem(name, sha256))}-(\d+)")
    matches = ((pattern.fullmatch(path.name), path) for path in sorted(workspace.runs.iterdir()))
    return [(int(match[1]), path) for match, path in matches if match]


def _stem(name: str, sha256: str) -> str:
    return f"{name}-{sha256[:8]}"


def reference(folder: RunFolder, state: RunState) -> RunRef:
    """The reference of the run in `folder`."""
    return RunRef(
        name=state.name, folder=folder.root, recipe_name=state.recipe_name, recipe_sha256=state.recipe_sha256,
        mlflow_run_id=state.mlflow_run_id, experiment_id=state.experiment_id, tracking_uri=state.tracking_uri,
        flow_run_id=state.flow_run_ids[-1] if state.flow_run_ids else "", attempt=state.attempt,
    )  # fmt: skip
