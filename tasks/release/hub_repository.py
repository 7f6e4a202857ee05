"""The repository of the hub that a model is pushed to: who we are there, what it holds, and whether it is ours.

Ours is a repository that carries our mark for this registered model, or one that holds nothing yet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import DamagedRecord, PreconditionError
from stsflow.tasks.ground.fingerprint import HUB_MARK
from stsflow.tasks.ground.hub import endpoint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.trying_again import TryAgain
from stsflow.tasks.recipe.sections import PushConfig, ReleaseConfig
from stsflow.tasks.release.hub_errors import NO_TOKEN, asked

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

logger = logging.getLogger(__name__)

MARK = HUB_MARK
"""File that says whose a repository is."""
MADE_BY_THE_HUB = frozenset({".gitattributes"})
MAIN = "main"
LARGEST_MARK = 10_000_000
TIMEOUT_SECONDS = 60.0


def require_push(release: ReleaseConfig) -> None:
    """Make sure that a push which the recipe asks for will be let in, before anything is made.

    Asks nothing where the recipe pushes nothing. Raises PreconditionError that says why not.
    """
    if release.push is not None:
        user = HubRepository(release.push, str(release.register_as)).require_access()
        logger.info("a new champion will be pushed to %s as %s", release.push.repo, user)


class Mark(Record):
    """What stands in the mark. What a later version adds to it is passed over."""

    model_config = ConfigDict(extra="ignore")

    registered_as: str
    """Registered model whose champion the repository holds."""
    version: str = ""
    model_digest: str = ""
    files: dict[str, str] = {}
    """SHA-256 of every file of the release, by its path."""


@dataclass(frozen=True)
class Found:
    """What lies where the release goes."""

    exists: bool
    """Whether there is such a repository."""
    revision: str = MAIN
    """Branch or `refs/pr/<number>` that a commit goes to."""
    head: str | None = None
    """Commit that `files` are of."""
    files: Mapping[str, RepoFile] = field(default_factory=dict)
    mark: Mark | None = None
    branch_missing: bool = False
    pull_request: str = ""
    """Page of our open pull request for this release."""


class HubRepository:
    """The repository that `push` names, for the registered model `name`."""

    def __init__(self, push: PushConfig, name: str) -> None:
        self.push, self.name = push, name

    @cached_property
    def api(self) -> HfApi:
        """The hub's client. It asks the environment for the token at every call and keeps none."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=endpoint())

    @property
    def page(self) -> str:
        """Its web page."""
        return f"{without_credentials(endpoint())}/{self.push.repo}"

    def require_access(self) -> str:
        """Who the token's user is; raises PreconditionError unless the release may go there.

        Asks the hub and changes nothing: that the token is valid and may write, that the repository is ours, or free.
        """
        return asked(f"checking that {self.name!r} may be pushed to {self.push.repo}", self._access)

    def _access(self) -> str:
        who = self.api.whoami()
        user, owner = str(who["name"]), self.push.repo.partition("/")[0]
        token = (who.get("auth") or {}).get("accessToken") or {}
        if token.get("role") == "read":
            raise PreconditionError(f"the token of {user} for the hub may only read; {NO_TOKEN}")
        groups = [str(group["name"]) for group in who.get("orgs") or ()]
        # Anybody may open a pull request where anybody may read.
        if not self.push.pull_request and owner.lower() not in {name.lower() for name in (user, *groups)}:
            member = f"of {', '.join(groups)} alone" if groups else "of no organisation"
            raise PreconditionError(
                f"release.push.repo: {self.push.repo} belongs to {owner}; the token is of {user}, a member {member}"
            )
        if self.look().exists and not self.push.pull_request:
            self.api.auth_check(self.push.repo, repo_type="model", write=True)
        return user

    def look(self, title: str = "") -> Found:
        """What lies where the release goes; `title` is that of the pull request that it would have.

        Raises PreconditionError where the repository is not ours, has moved, or is public where it must not be.
        """
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            info = self.api.repo_info(self.push.repo, repo_type="model", timeout=TIMEOUT_SECONDS)
        except RepositoryNotFoundError:
            return Found(exists=False)
        if info.id.lower() != self.push.repo.lower():
            raise PreconditionError(f"release.push.repo: {self.push.repo} has moved to {info.id}; name it so")
        if self.push.private and info.private is False:
            raise PreconditionError(
                f"{self.page} is public, and release.push.private is true, its default; make it private in its "
                "settings, or say private: false"
            )
        main = self._found(MAIN, info.sha)
        self._require_ours(main)
        if self.push.branch not in (None, MAIN):
            try:
                head = self.api.repo_info(self.push.repo, repo_type="model", revision=self.push.branch).sha
            except RevisionNotFoundError:
                return Found(True, str(self.push.branch), main.head, main.files, main.mark, branch_missing=True)
            return self._found(str(self.push.branch), head)
        if self.push.pull_request and (number := self._pull_request(title)):
            revision = f"refs/pr/{number}"
            head = self.api.repo_info(self.push.repo, repo_type="model", revision=revision).sha
            return self._found(revision, head, f"{self.page}/discussions/{number}")
        return main

    def make(self) -> None:
        """Make the repository; raises PreconditionError when the name is taken by one that the token may not see."""
        from huggingface_hub.errors import HfHubHTTPError

        try:
            self.api.create_repo(self.push.repo, repo_type="model", private=self.push.private)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            if not self.look().exists:
                raise PreconditionError(
                    f"the name {self.push.repo} is taken on the hub by a repository that the token may not see; choose "
                    "another one in release.push.repo"
                ) from None
            raise TryAgain("somebody else has just made it") from None

    def _found(self, revision: str, head: str | None, pull_request: str = "") -> Found:
        from huggingface_hub.errors import EntryNotFoundError
        from huggingface_hub.hf_api import RepoFile

        try:
            tree = list(self.api.list_repo_tree(self.push.repo, recursive=True, revision=head, repo_type="model"))
        except EntryNotFoundError:  # a repository without a file
            tree = []
        files = {item.path: item for item in tree if isinstance(item, RepoFile)}
        return Found(True, revision, head, files, self._mark(files, head), pull_request=pull_request)

    def _mark(self, files: Mapping[str, RepoFile], head: str | None) -> Mark | None:
        if MARK not in files or files[MARK].size > LARGEST_MARK:
            return None
        path = Path(self.api.hf_hub_download(self.push.repo, MARK, repo_type="model", revision=head))
        try:
            return Mark.load(path)
        except DamagedRecord:
            return None

    def _require_ours(self, found: Found) -> None:
        if found.mark is not None and found.mark.registered_as == self.name:
            return
        if found.mark is None and found.files.keys() <= MADE_BY_THE_HUB:
            return
        whose = f"holds the registered model {found.mark.registered_as!r}" if found.mark else "was not made by stsflow"
        raise PreconditionError(
            f"the name {self.push.repo} is taken: {self.page} {whose}, and nothing there is touched. Choose another "
            f"name in release.push.repo; or, if what it holds may be replaced, put a file {MARK} there that says "
            f'{{"registered_as": "{self.name}"}}'
        )

    def _pull_request(self, title: str) -> int | None:
        """Number of the open pull request with this title, the newest first."""
        found = self.api.get_repo_discussions(
            self.push.repo, repo_type="model", discussion_type="pull_request", discussion_status="open"
        )
        return max((one.num for one in found if one.title == title), default=None)
