"""Pushing a champion to the hub: the last step of a release, and `stsflow push`."""

from __future__ import annotations

import logging
from pathlib import Path
from shlex import quote

from prefect import flow
from rich.console import Console

from stsflow.flows.summary import RunSummary
from stsflow.tasks.ground.errors import PreconditionError, PushFailed, StsflowError
from stsflow.tasks.ground.names import MODEL
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import PushConfig, ReleaseConfig
from stsflow.tasks.records.release import HubPush, Release
from stsflow.tasks.release.hub_repository import MAIN, HubRepository
from stsflow.tasks.release.task import push_to_hub
from stsflow.tasks.release.trail import CHAMPION
from stsflow.tasks.tracking import runs
from stsflow.tasks.tracking.entries import hub_tags
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.task import connect_tracking

logger = logging.getLogger(__name__)

REGISTERED = "models:/"
ASKED = "stsflow.push"
"""Tag of a version: where its recipe wants it pushed once it is champion."""


def ask_to_push(config: ReleaseConfig, store: Store, release: Release) -> None:
    """Note with the version where it is to be pushed once it is champion, for whoever makes it that, on any machine."""
    if config.push is not None and release.version is not None:
        wanted = config.push.model_dump_json()
        store.registry.tag_version(str(release.registered_as), release.version, ASKED, wanted)


def push_as_asked(config: ReleaseConfig, store: Store, summary: RunSummary) -> RunSummary:
    """The summary with what lies on the hub, after a recipe's release; as it is where nothing is to be pushed.

    Raises PushFailed, which says how to go on: the model is champion all the same.
    """
    if config.push is None or summary.registered_as is None or summary.model_version is None:
        return summary
    pushed = push_if_champion(store, summary.registered_as, summary.model_version)
    if pushed is None:
        return summary
    path = pushed.write(RunFolder(summary.run_dir).hub)
    store.tag_run(summary.mlflow_run_id, hub_tags(pushed))
    store.client.log_artifact(summary.mlflow_run_id, str(path), "release")
    return summary.model_copy(update={"hub": pushed})


def with_push(store: Store, release: Release) -> Release:
    """The release with what was pushed in its sentence; see `push_if_champion`."""
    if release.registered_as is None or release.version is None:
        return release
    pushed = push_if_champion(store, release.registered_as, release.version)
    if pushed is None:
        return release
    run_id = store.registry.model_version(release.registered_as, release.version).run_id
    store.tag_run(str(run_id or ""), hub_tags(pushed))
    return release.model_copy(update={"reason": f"{release.reason}; {pushed.sentence}"})


def push_if_champion(store: Store, name: str, version: str) -> HubPush | None:
    """What lies on the hub; None where nobody asked for it, or the version is not champion now.

    A version that was champion before is pushed too, so that the next run of the recipe makes up for a push that
    broke. Raises PushFailed.
    """
    asked = store.registry.version_tags(name, version).get(ASKED)
    champion = store.registry.alias(name, CHAMPION)
    if asked is None or champion is None or str(champion.version) != version:
        return None
    config = PushConfig.model_validate_json(asked)
    try:
        return push_to_hub(store, name, config)
    except StsflowError as error:
        again = f"stsflow push {quote(f'{REGISTERED}{name}@{CHAMPION}')}"
        raise PushFailed(
            f"version {version} of {name!r} is champion and not on the hub: {error.message.rstrip('.')}. Run the "
            f"recipe again, or: {again}"
        ) from None


@flow(name="push", flow_run_name="push {what}")
def push_by_hand(
    what: str, repo: str | None = None, branch: str | None = None, pull_request: bool | None = None,
    private: bool | None = None,
) -> HubPush:  # fmt: skip
    """Push the champion that `what` names: a run of this workspace, or `models:/name@champion`.

    What is not said is as the recipe of the version says it; one whose recipe says nothing goes where it was pushed
    before. Raises PreconditionError when `what` is not champion, or nothing says where to.
    """
    workspace = Workspace.here()
    store = connect_tracking(workspace)
    name, version = _version_named(store, workspace, what)
    said = {"repo": repo, "branch": branch, "pull_request": pull_request, "private": private}
    asked = store.registry.version_tags(name, version).get(ASKED)
    known = PushConfig.model_validate_json(asked).model_dump() if asked else _pushed_before(store, name)
    values = place_of({key: value for key, value in said.items() if value is not None}, known)
    if "repo" not in values:
        raise PreconditionError(f"{what} was never pushed, and no recipe says where to; say --repo owner/name")
    champion = store.registry.alias(name, CHAMPION)
    if champion is None or str(champion.version) != version:
        now = f"version {champion.version} is" if champion else "there is none"
        raise PreconditionError(
            f"only a champion is pushed, and version {version} of {name!r} is not ({now}); decide on it with: stsflow "
            f"promote {quote(name)}"
        )
    wanted = PushConfig.model_validate(values)
    HubRepository(wanted, name).require_access()
    return push_to_hub(store, name, wanted)


def place_of(said: dict[str, str | bool], known: dict[str, str | bool | None]) -> dict[str, str | bool | None]:
    """Fields of a PushConfig: what was `said` over what is `known`; of branch and pull request the one that was said.

    A branch or a pull request that is known is one of the repository that is known.
    """
    drop = {"branch", "pull_request"} if "repo" in said and said["repo"] != known.get("repo") else set()
    drop |= {"pull_request"} if said.get("branch") else set()
    drop |= {"branch"} if said.get("pull_request") else set()
    return {key: value for key, value in known.items() if key not in drop} | said


def _version_named(store: Store, workspace: Workspace, what: str) -> tuple[str, str]:
    """Name and version of the registered model that `what` names."""
    if what.startswith(REGISTERED):
        name, at, alias = what.removeprefix(REGISTERED).partition("@")
        if at:
            found = store.registry.alias(MODEL.check(what, name), alias)
            if found is None:
                raise PreconditionError(f"{what}: there is no such alias in {store.shown_uri}")
            return name, str(found.version)
        name, slash, version = name.rpartition("/")
        if not slash or not version.isdigit():
            raise PreconditionError(f"{what}: write models:/name@champion or models:/name/version")
        return MODEL.check(what, name), version
    folder, _ = runs.find_run(workspace, Path(what).name)
    decision = Release.load_or_none(folder.decision)
    if decision is None or decision.registered_as is None or decision.version is None:
        raise PreconditionError(f"{what} has registered no model; only what was promoted is pushed")
    return decision.registered_as, decision.version


def still_on_the_hub(store: Store, name: str, version: str) -> str:
    """A clause that says where a version that was taken back still lies; empty where it was not pushed."""
    tags = store.registry.version_tags(name, version) if version else {}
    if "stsflow.hub.repo" not in tags:
        return ""
    command = f"stsflow push {quote(f'{REGISTERED}{name}@{CHAMPION}')}"
    return f"; {tags['stsflow.hub.repo']} on the hub still holds version {version}, replaced by: {command}"


def _pushed_before(store: Store, name: str) -> dict[str, str | bool | None]:
    """Where a version of the model was pushed to last; empty where none was."""
    found = store.client.search_model_versions(f"name = '{name}'") if "'" not in name else []
    pushed = [version for version in found if "stsflow.hub.repo" in version.tags]
    if not pushed:
        return {}
    tags = max(pushed, key=lambda version: int(version.version)).tags
    place, revision = {"repo": tags["stsflow.hub.repo"]}, tags.get("stsflow.hub.revision", MAIN)
    if revision.startswith("refs/pr/"):
        return {**place, "pull_request": True}
    return place if revision == MAIN else {**place, "branch": revision}


def print_push(pushed: HubPush, console: Console) -> None:
    """What was done, for a person."""
    console.print(pushed.sentence, soft_wrap=True, highlight=False)
