"""Push a registered version to the hub: in one commit, with the files that are new or have changed.

It may be repeated as often as one likes. What is there already is not sent again, and where nothing is to be changed
nothing is committed; so a push that broke goes on where it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import git_blob_id
from stsflow.tasks.recipe.sections import PushConfig
from stsflow.tasks.records.release import HubPush
from stsflow.tasks.release.hub_errors import asked
from stsflow.tasks.release.hub_repository import MADE_BY_THE_HUB, MARK, Found, HubRepository
from stsflow.tasks.release.shipment import Shipment

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Changes:
    """What a commit has to do so that the repository holds the shipment."""

    upload: tuple[str, ...]
    remove: tuple[str, ...]


def push(shipment: Shipment, config: PushConfig) -> HubPush:
    """What lies on the hub afterwards; commits only what is new, changed, or gone since the last push.

    Raises PreconditionError where the repository is not ours or the token may not write, DownloadFailed when the hub
    stays away. Files that somebody else has added there are left alone.
    """
    repository = HubRepository(config, shipment.name)
    return asked(
        f"pushing {shipment.name} version {shipment.version} to {config.repo}", lambda: _once(shipment, repository)
    )


def _once(shipment: Shipment, repository: HubRepository) -> HubPush:
    found = repository.look(shipment.title)
    if not found.exists:
        repository.make()
        found = repository.look(shipment.title)
    if found.branch_missing:
        repository.api.create_branch(repository.push.repo, branch=found.revision, repo_type="model", exist_ok=True)
    changes = changes_to(found, shipment)
    if not (changes.upload or changes.remove):
        return _result(shipment, repository, found, changes)
    logger.info("pushing %d of %d files to %s", len(changes.upload), len(shipment.files) + 1, repository.page)
    _commit(shipment, repository, found, changes)
    after = repository.look(shipment.title)
    if left := changes_to(after, shipment).upload:
        raise PreconditionError(
            f"{repository.page} was sent {', '.join(left[:3])} and does not hold it: a .gitignore there leaves it out, "
            "or somebody else has changed it since; mend the .gitignore, or push again"
        )
    return _result(shipment, repository, after, changes)


def changes_to(found: Found, shipment: Shipment) -> Changes:
    """What the repository lacks, and what it still has of an earlier push."""
    upload = [name for name in shipment.hashes if not _is_there(found.files.get(name), shipment, name)]
    mark = found.files.get(MARK)
    if mark is None or mark.blob_id != _git_blob(shipment.mark):
        upload.append(MARK)
    pushed = found.mark.files if found.mark else {}
    gone = sorted((pushed.keys() & found.files.keys()) - shipment.files.keys() - MADE_BY_THE_HUB - {MARK})
    return Changes(tuple(upload), tuple(gone))


def _is_there(there: RepoFile | None, shipment: Shipment, name: str) -> bool:
    if there is None:
        return False
    if there.lfs is not None:
        return bool(there.lfs.sha256 == shipment.hashes[name])
    return bool(there.blob_id == git_blob_id(shipment.files[name]))


def _git_blob(content: bytes) -> str:
    from huggingface_hub.utils.sha import git_hash

    return git_hash(content)


def _commit(shipment: Shipment, repository: HubRepository, found: Found, changes: Changes) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    contents: dict[str, Path | bytes] = {**shipment.files, MARK: shipment.mark}
    opens_one = repository.push.pull_request and not found.pull_request
    # One commit, so that nobody ever loads the half of a release; upload_folder makes several of a large folder.
    repository.api.create_commit(
        repository.push.repo,
        [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=contents[name]) for name in changes.upload),
            *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in changes.remove),
        ],
        commit_message=shipment.title,
        commit_description=shipment.why,
        repo_type="model",
        revision=None if opens_one else found.revision,
        create_pr=opens_one,
        parent_commit=found.head,
    )


def _result(shipment: Shipment, repository: HubRepository, found: Found, changes: Changes) -> HubPush:
    commit = found.head or ""
    return HubPush(
        repo=repository.push.repo, version=shipment.version, revision=found.revision, commit=commit,
        url=f"{repository.page}/commit/{commit}", pull_request=found.pull_request, uploaded=changes.upload,
        removed=changes.remove, unchanged=len(shipment.files) + 1 - len(changes.upload),
    )  # fmt: skip
