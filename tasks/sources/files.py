"""Rows in files: local or by URL, verified by hash where the recipe states one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from stsflow.tasks.ground.addresses import check_address, is_url, path_in, without_credentials
from stsflow.tasks.ground.charset import check_encoding
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.fingerprint import fingerprint, git_blob_id, sha256_of_file
from stsflow.tasks.sources.bounded import BoundedSource
from stsflow.tasks.sources.family import Access

if TYPE_CHECKING:
    from stsflow.tasks.reading.places import Place
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.records.sources import FileRef, SourceRef


class FilesSource(BoundedSource):
    """Rows in tsv, csv, json, jsonl or parquet files: local paths, folders, globs, or http(s) URLs."""

    kind: Literal["files"] = "files"
    locks: ClassVar[frozenset[str]] = frozenset({"sha256", "git_blob"})
    places: ClassVar[frozenset[str]] = frozenset({"paths"})
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or globs, relative to `data.root`, or http(s) URLs. Read in this order; a glob in sorted order.
    A URL may name variables of the environment, `https://host/sts.csv?${STS_QUERY}`, and holds no secret itself."""
    format: Literal["auto", "tsv", "csv", "json", "jsonl", "parquet"] = "auto"
    """How the bytes are read; `auto` goes by the file name's ending (`.gz` and `.zst` are allowed on text)."""
    quoting: Literal["auto", "none", "minimal"] = "auto"
    """tsv and csv: `minimal` reads quoted fields (RFC 4180), `none` takes quotes as ordinary characters; `auto` reads
    csv the first way and tsv the second, or the other way where that one alone gives whole rows, and says so."""
    delimiter: str | None = None
    """tsv and csv: the character between fields, such as `;`; default: a comma in csv, a tab in tsv."""
    decimal: Literal[".", ","] = "."
    """tsv and csv: the decimal mark of numbers."""
    header: bool = True
    """tsv and csv: the first line names the columns. Without it, `columns` must name them."""
    columns: tuple[str, ...] = ()
    """tsv and csv without a header: the names of the columns, left to right."""
    encoding: str = "utf-8"
    """Text encoding; a byte order mark is accepted."""
    records_at: str | None = None
    """json: the dotted path of the list of rows inside the document, such as `data.items`; default: the document."""
    sha256: dict[str, str] = {}
    """Expected SHA-256, by entry of `paths` (or by file name)."""
    git_blob: dict[str, str] = {}
    """Expected git blob id, by entry of `paths` (or by file name)."""

    @field_validator("paths", "sha256", "git_blob")
    @classmethod
    def _addresses_hold_no_secret(cls, value: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        for entry in value:
            check_address(entry)
        return value

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value in '"\r\n' or (ord(value) < 32 and value != "\t")):
            raise ValueError("a delimiter is one character, such as `;` or `|`, and no quote and no line end")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding_of_files(cls, value: str) -> str:
        check_encoding(value)
        return value

    @model_validator(mode="after")
    def _columns_fit_the_header(self) -> Self:
        if not self.header and not self.columns:
            raise ValueError("without a header (`header: false`), `columns` must name the columns, left to right")
        if self.header and self.columns:
            raise ValueError("`columns` names the columns of files without a header; set `header: false` with it")
        for name in self.columns:
            if self.columns.count(name) > 1:
                raise ValueError(f"`columns` names {name!r} more than once")
        return self

    def fetch(self, access: Access) -> SourceRef:
        """The files on this machine, each verified; raises `DataError` (missing, outside of the root, wrong hash)."""
        from stsflow.tasks.reading.download import fetch_url, hash_mismatch
        from stsflow.tasks.reading.places import resolve_entry
        from stsflow.tasks.records.sources import SourceRef

        self._check_hash_names(access)
        files: list[FileRef] = []
        for entry in self.paths:
            if is_url(entry):
                path = fetch_url(
                    entry, access.downloads, sha256=_expected(self.sha256, entry),
                    git_blob=_expected(self.git_blob, entry), timeout_seconds=access.timeout_seconds,
                    retries=access.retries, max_unpacked_bytes=self.max_unpacked_bytes,
                )  # fmt: skip
                files.append(file_ref(without_credentials(entry), path))
                continue
            for place in resolve_entry(entry, access.root):
                try:
                    problem = hash_mismatch(
                        place.path, _expected_at(self.sha256, place), _expected_at(self.git_blob, place)
                    )
                    found = file_ref(place.shown, place.path)
                except OSError as error:
                    raise DataError(f"{place.shown}: the file cannot be read ({error.strerror}).") from None
                if problem is not None:
                    raise DataError(f"{place.shown}: {problem}.")
                files.append(found)
        return SourceRef(
            kind=self.kind,
            name=Path(path_in(files[0].uri)).name,
            uri=files[0].uri if len(files) == 1 else f"{files[0].uri} and {len(files) - 1} more",
            revision=files[0].sha256 if len(files) == 1 else fingerprint([file.sha256 for file in files]),
            files=tuple(files),
        )

    def read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        """The named columns of all files in order, or of its part; raises `DataError` with file and line."""
        return self.taken(columns, lambda names: self._read(fetched, names))

    def _read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        from stsflow.tasks.reading.delimited import Dialect
        from stsflow.tasks.reading.formats import ENDINGS, format_of, read_file
        from stsflow.tasks.reading.rows import Reading

        rows = []
        for file in fetched.files:
            kind = self.format if self.format != "auto" else format_of(path_in(file.uri))
            if kind is None:
                raise DataError(
                    f"{file.uri}: the name's ending does not say the format (known: {', '.join(ENDINGS)}, and .gz or "
                    ".zst on text); set `format`."
                )
            dialect = Dialect(
                delimiter=self.delimiter or ("," if kind == "csv" else "\t"), quoting=self.quoting,
                prefers_quotes=kind == "csv", header=self.header, columns=self.columns, encoding=self.encoding,
                decimal=self.decimal,
            )  # fmt: skip
            rows.append(
                read_file(
                    file.path, file.uri, kind, columns, dialect=dialect, records_at=self.records_at, limits=self.limits
                )
            )
        return Reading(tuple(rows))

    def state(self, access: Access) -> str:
        """Expected hashes where the recipe pins them, else hashes of local files and ETags of remote ones."""
        return "; ".join(self._states(access))

    @property
    def remote(self) -> str:
        """The first address among the paths."""
        return next((f"{entry} is an address, which" for entry in self.paths if is_url(entry)), "")

    @property
    def below_root(self) -> tuple[str, ...]:
        """The paths that are no address."""
        return tuple(entry for entry in self.paths if not is_url(entry))

    def locked(self, fetched: SourceRef) -> Self:
        """The same files with the hash of each, by its name where that tells it from the others."""
        names = [Path(path_in(file.uri)).name for file in fetched.files]
        hashes = {
            (name if names.count(name) == 1 else file.uri): file.sha256
            for name, file in zip(names, fetched.files, strict=True)
        }
        return self.model_copy(update={"sha256": hashes})

    def _states(self, access: Access) -> Iterator[str]:
        from stsflow.tasks.reading.download import remote_state
        from stsflow.tasks.reading.places import resolve_entry

        for entry in self.paths:
            if not is_url(entry):
                for place in resolve_entry(entry, access.root):
                    yield f"{place.shown} sha256 {sha256_of_file(place.path)}"
                continue
            pinned = _expected(self.sha256, entry) or _expected(self.git_blob, entry)
            if pinned is None:
                found = remote_state(entry, timeout_seconds=access.timeout_seconds, retries=access.retries)
                yield f"{without_credentials(entry)} {found}"
            else:
                yield f"{without_credentials(entry)} pinned to {pinned}"

    def _check_hash_names(self, access: Access) -> None:
        """Refuse an expected hash that belongs to no file: it would look verified and not be."""
        from stsflow.tasks.reading.places import resolve_entry

        known: set[str] = set()
        for entry in self.paths:
            if is_url(entry):
                known |= {entry, without_credentials(entry), Path(path_in(entry)).name}
            else:
                for place in resolve_entry(entry, access.root):
                    known |= {entry, place.shown, Path(place.shown).name}
        for field, hashes in (("sha256", self.sha256), ("git_blob", self.git_blob)):
            for name in hashes:
                if name not in known:
                    raise DataError(
                        f"source.{field} names {name!r}, which is none of the files: {', '.join(sorted(known))}."
                    )


def file_ref(uri: str, path: Path) -> FileRef:
    """The record of a file at `path` that people know as `uri`."""
    from stsflow.tasks.records.sources import FileRef

    return FileRef(
        uri=uri, path=path, bytes=path.stat().st_size, sha256=sha256_of_file(path), git_blob=git_blob_id(path)
    )


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
