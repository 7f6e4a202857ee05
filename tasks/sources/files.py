"""Rows in files: local or by URL, verified by hash where the recipe states one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stsflow.tasks.data.delimited import Dialect
from stsflow.tasks.data.download import fetch_url, hash_mismatch, remote_state
from stsflow.tasks.data.formats import ENDINGS, format_of, read_file
from stsflow.tasks.data.places import Place, resolve_entry
from stsflow.tasks.data.reading import Reading
from stsflow.tasks.ground.addresses import is_url, path_in, without_credentials
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.fingerprint import fingerprint, git_blob_id, sha256_of_file
from stsflow.tasks.records.data import FileRef, SourceRef

if TYPE_CHECKING:
    from stsflow.tasks.sources import Access, FilesSource


def fetch_files(source: FilesSource, access: Access) -> SourceRef:
    """Bring every file of `source` onto this machine and verify it; see `FilesSource.fetch`."""
    _check_hash_names(source, access)
    files: list[FileRef] = []
    for entry in source.paths:
        if is_url(entry):
            path = fetch_url(
                entry, access.downloads, sha256=_expected(source.sha256, entry),
                git_blob=_expected(source.git_blob, entry), timeout_seconds=access.timeout_seconds,
                retries=access.retries, max_unpacked_bytes=source.max_unpacked_bytes,
            )  # fmt: skip
            files.append(file_ref(without_credentials(entry), path))
            continue
        for place in resolve_entry(entry, access.root):
            try:
                problem = hash_mismatch(
                    place.path, _expected_at(source.sha256, place), _expected_at(source.git_blob, place)
                )
                found = file_ref(place.shown, place.path)
            except OSError as error:
                raise DataError(f"{place.shown}: the file cannot be read ({error.strerror}).") from None
            if problem is not None:
                raise DataError(f"{place.shown}: {problem}.")
            files.append(found)
    return SourceRef(
        kind="files",
        name=Path(path_in(files[0].uri)).name,
        uri=files[0].uri if len(files) == 1 else f"{files[0].uri} and {len(files) - 1} more",
        revision=files[0].sha256 if len(files) == 1 else fingerprint([file.sha256 for file in files]),
        files=tuple(files),
    )


def file_ref(uri: str, path: Path) -> FileRef:
    """The record of a file at `path` that people know as `uri`."""
    return FileRef(
        uri=uri, path=path, bytes=path.stat().st_size, sha256=sha256_of_file(path), git_blob=git_blob_id(path)
    )


def read_files(source: FilesSource, fetched: SourceRef, columns: Sequence[str]) -> Reading:
    """The named columns of the fetched files; see `FilesSource.read`."""
    rows = []
    for file in fetched.files:
        kind = source.format if source.format != "auto" else format_of(path_in(file.uri))
        if kind is None:
            raise DataError(
                f"{file.uri}: the name's ending does not say the format (known: {', '.join(ENDINGS)}, and .gz on "
                "text); set `format`."
            )
        dialect = Dialect(
            delimiter=source.delimiter or ("," if kind == "csv" else "\t"), quoting=source.quoting,
            prefers_quotes=kind == "csv", header=source.header, columns=source.columns, encoding=source.encoding,
            decimal=source.decimal,
        )  # fmt: skip
        rows.append(
            read_file(
                file.path, file.uri, kind, columns, dialect=dialect, records_at=source.records_at, limits=source.limits
            )
        )
    return Reading(tuple(rows))


def files_state(source: FilesSource, access: Access) -> str:
    """What a fetch would give now, as text that changes when the files do; see `FilesSource.state`."""
    return "; ".join(_states(source, access))


def _states(source: FilesSource, access: Access) -> Iterator[str]:
    for entry in source.paths:
        if not is_url(entry):
            for place in resolve_entry(entry, access.root):
                yield f"{place.shown} sha256 {sha256_of_file(place.path)}"
            continue
        pinned = _expected(source.sha256, entry) or _expected(source.git_blob, entry)
        if pinned is None:
            found = remote_state(entry, timeout_seconds=access.timeout_seconds, retries=access.retries)
            yield f"{without_credentials(entry)} {found}"
        else:
            yield f"{without_credentials(entry)} pinned to {pinned}"


def _expected(hashes: Mapping[str, str], entry: str) -> str | None:
    for name in (entry, without_credentials(entry), Path(path_in(entry)).name):
        if name in hashes:
            return hashes[name]
    return None


def _expected_at(hashes: Mapping[str, str], place: Place) -> str | None:
    for name in (place.entry, place.shown, place.path.name, Path(place.shown).name):
        if name in hashes:
            return hashes[name]
    return None


def _check_hash_names(source: FilesSource, access: Access) -> None:
    """Refuse an expected hash that belongs to no file: it would look verified and not be."""
    known: set[str] = set()
    for entry in source.paths:
        if is_url(entry):
            known |= {entry, without_credentials(entry), Path(path_in(entry)).name}
        else:
            for place in resolve_entry(entry, access.root):
                known |= {entry, place.shown, Path(place.shown).name}
    for field, hashes in (("sha256", source.sha256), ("git_blob", source.git_blob)):
        for name in hashes:
            if name not in known:
                raise DataError(
                    f"source.{field} names {name!r}, which is none of the files: {', '.join(sorted(known))}."
                )
