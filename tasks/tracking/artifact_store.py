"""Whole artifact stores, copied in and out: for backup and restore."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_folder(uri: str) -> Path | None:
    """The folder that an artifact destination names, or None when it is a store elsewhere, such as `s3://…`."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(uri)


def fetch_all(uri: str, folder: Path) -> Path:
    """Copy every artifact of the store `uri` below `folder` (made when missing); return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    origin = local_folder(uri)
    if origin is not None:
        if origin.is_dir():
            shutil.copytree(origin, folder, dirs_exist_ok=True)
        return folder
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(uri).download_artifacts("", dst_path=str(folder))
    return folder


def send_all(folder: Path, uri: str) -> None:
    """Copy everything below `folder` into the store `uri`; what is there under other names stays."""
    target = local_folder(uri)
    if target is not None:
        shutil.copytree(folder, target, dirs_exist_ok=True)
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if any(folder.iterdir()):
        get_artifact_repository(uri).log_artifacts(str(folder))
