"""Repositories of the Hugging Face hub, at a pinned commit, through the hub's own client and its cache."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.errors import (
    DataError,
    DiskFull,
    ModelError,
    PreconditionError,
    Refused,
    StsflowError,
    causes,
)
from stsflow.tasks.ground.names import HUB_ID, REVISION
from stsflow.tasks.ground.trying_again import PASSING_STATUSES, TryAgain, trying_again, wish_of

log = logging.getLogger(__name__)

RepositoryKind = Literal["model", "dataset"]
OFFLINE_ADVICE = "Check the network and the proxy settings, or fetch it beforehand on a machine that is online."


def endpoint() -> str:
    """Address of the hub: `HF_ENDPOINT`, else the public one."""
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def fetch_snapshot(
    repo_id: str,
    revision: str,
    kind: RepositoryKind,
    *,
    allow_patterns: Sequence[str] | None = None,
    cache: Path | None = None,
    retries: int = 5,
    timeout_seconds: float = 60.0,
) -> Path:
    """The folder with the files of `repo_id` at `revision`; what is in the cache already is not fetched again.

    `allow_patterns` limits the files (`["data/*.parquet"]`). `cache` defaults to the hub's own cache (`HF_HOME`), so
    that what other tools have fetched counts. A token is taken from `HF_TOKEN` or the user's login, as the hub's client
    does, and never appears in a message. Raises `RecipeError` (no name for the hub), `ModelError` or `DataError` (no
    such repository or revision, no access), `PreconditionError` (not in the cache and `HF_HUB_OFFLINE` is set),
    `DownloadFailed` (after every retry).
    """
    HUB_ID.check("hub id", repo_id)
    REVISION.check(f"revision of {repo_id}", revision)
    what = _describe(repo_id, revision, kind)

    def attempt() -> Path:
        try:
            return _snapshot(repo_id, revision, kind, allow_patterns, cache, timeout_seconds)
        except Exception as error:  # the client raises from several families, its own and its HTTP library's
            raise _translated(error, repo_id, revision, kind) from None

    return trying_again(attempt, retries=retries, what=what, advice=OFFLINE_ADVICE)


def _snapshot(
    repo_id: str,
    revision: str,
    kind: RepositoryKind,
    allow_patterns: Sequence[str] | None,
    cache: Path | None,
    timeout_seconds: float,
) -> Path:
    import httpx2
    from huggingface_hub import HfApi, constants, get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    patterns = None if allow_patterns is None else list(allow_patterns)

    def download(*, local: bool) -> Path:
        return Path(
            snapshot_download(
                repo_id, repo_type=kind, revision=revision, cache_dir=cache, endpoint=endpoint(),
                allow_patterns=patterns, etag_timeout=timeout_seconds, local_files_only=local,
            )
        )  # fmt: skip

    # The client spends 23 s of its own retries on listing the files of a hub that is not there. One plain request
    # first tells at once; it is left out when the listing is known, so that a cached snapshot needs no network.
    try:
        get_cached_repo_tree(repo_id, repo_type=kind, revision=revision, cache_dir=cache)
    except CachedRepoTreeNotFoundError:
        if not constants.is_offline_mode():
            try:
                HfApi(endpoint=endpoint()).repo_info(
                    repo_id, repo_type=kind, revision=revision, timeout=timeout_seconds
                )
            except httpx2.TransportError as unreachable:
                try:
                    return download(local=True)
                except LocalEntryNotFoundError:
                    raise unreachable from None
    return download(local=False)


def cached_snapshot(
    repo_id: str, revision: str, kind: RepositoryKind, *, allow_patterns: Sequence[str] | None = None
) -> Path | None:
    """The folder of `repo_id` at `revision` in the hub's own cache; None when it is not there. Nothing is fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    patterns = None if allow_patterns is None else list(allow_patterns)
    try:
        return Path(
            snapshot_download(
                repo_id, repo_type=kind, revision=revision, allow_patterns=patterns, local_files_only=True
            )
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _describe(repo_id: str, revision: str, kind: RepositoryKind) -> str:
    return f"hub {'data set' if kind == 'dataset' else 'model'} {repo_id} at {revision}"


def _translated(error: Exception, repo_id: str, revision: str, kind: RepositoryKind) -> Exception:
    """The error of ours that says what the client's `error` means, or `TryAgain`, or `error` itself when unknown."""
    import httpx2
    from huggingface_hub import errors

    what = _describe(repo_id, revision, kind)
    refusal: type[Refused] = DataError if kind == "dataset" else ModelError
    page = f"{without_credentials(endpoint())}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
    for cause in causes(error):
        if isinstance(cause, StsflowError):
            return cause
        if isinstance(cause, errors.GatedRepoError):
            return refusal(f"{what} is gated: accept its terms at {page} and set HF_TOKEN to a token with access.")
        if isinstance(cause, errors.RevisionNotFoundError):
            return refusal(f"{what}: the repository exists but has no such revision; its commits are listed at {page}.")
        if isinstance(cause, errors.RepositoryNotFoundError):
            return refusal(
                f"{what} does not exist or is private: check the name, or set HF_TOKEN to a token that may read it."
            )
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return PreconditionError(
                f"{what} is not wholly in the hub's cache and HF_HUB_OFFLINE is set: unset it, or fetch the files "
                f"beforehand with `hf download {repo_id} --repo-type {kind} --revision {revision}`."
            )
        if isinstance(cause, errors.HfHubHTTPError):
            return _from_status(cause.response.status_code, wish_of(cause.response.headers), what, page, refusal)
        if isinstance(cause, httpx2.TransportError):
            return TryAgain(f"{type(cause).__name__} from {without_credentials(endpoint())}")
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return DiskFull(f"{what}: no room left on the disk of the hub's cache.")
    if isinstance(error, errors.HFValidationError):
        return refusal(f"{what}: this is not a valid repository name.")
    if isinstance(error, errors.FileMetadataError | errors.EntryNotFoundError | OSError):
        return TryAgain(f"the hub's answer was incomplete ({type(error).__name__})")
    return error


def _from_status(status: int, wish: float | None, what: str, page: str, refusal: type[Refused]) -> Exception:
    if status in PASSING_STATUSES:
        return TryAgain(f"HTTP {status} from the hub", wish)
    if status in (401, 403):
        return refusal(f"{what}: the hub refuses access (HTTP {status}): set HF_TOKEN to a token that may read {page}.")
    return refusal(f"{what}: the hub answers HTTP {status} for {page}.")
