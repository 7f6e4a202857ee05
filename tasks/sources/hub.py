"""One split of a data set on the Hugging Face hub, read from its own files under the same checks as local ones.

Which files belong to a configuration and split is worked out by the datasets library; their bytes are fetched through
the hub's client and read here, because the library's csv reading would lose rows to quotes without a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from stsflow.tasks.ground.addresses import without_credentials
from stsflow.tasks.ground.charset import PACKED, Limits, check_packed, open_bytes
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.hub import endpoint, fetch_snapshot
from stsflow.tasks.ground.names import HubId, HubWord
from stsflow.tasks.sources.bounded import BoundedSource
from stsflow.tasks.sources.family import Access

if TYPE_CHECKING:
    from stsflow.tasks.reading.rows import Reading
    from stsflow.tasks.records.sources import SourceRef

DESCRIPTIONS = ("README.md", ".huggingface.yaml", "*.py")


class HubSource(BoundedSource):
    """One split of a data set on the Hugging Face hub, at a pinned revision. Script data sets are not supported."""

    kind: Literal["hub"] = "hub"
    id: HubId
    """Name on the hub, such as `kakaobrain/kor_nli`."""
    revision: str = Field(min_length=7)
    """Commit to read; a branch name is refused, because it would not name the same rows next month."""
    config: HubWord | None = None
    """Configuration (subset) of the data set."""
    split: HubWord = "train"
    """Split of the data set."""
    quoting: Literal["auto", "none", "minimal"] = "auto"
    """For a data set of csv or tsv files, as for `files`."""

    @field_validator("revision")
    @classmethod
    def _is_a_commit(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{40}", value):
            raise ValueError(
                "a data set is pinned to a full commit hash (40 hexadecimal digits), because a branch would not name "
                "the same rows next month; the data set's page lists its commits under Files, History"
            )
        return value

    def fetch(self, access: Access) -> SourceRef:
        """The split's files in the hub's cache; raises as `ground.hub.fetch_snapshot`, and `DataError` for scripts."""
        from stsflow.tasks.reading.formats import ENDINGS
        from stsflow.tasks.records.sources import SourceRef
        from stsflow.tasks.sources.files import file_ref

        def fetch(patterns: Sequence[str]) -> Path:
            return fetch_snapshot(
                self.id, self.revision, "dataset", allow_patterns=patterns, retries=access.retries,
                timeout_seconds=access.timeout_seconds,
            )  # fmt: skip

        folder = fetch(DESCRIPTIONS)
        if (folder / f"{self.id.rpartition('/')[2]}.py").exists():
            raise DataError(
                f"{_shown(self)}: the data set is defined by a Python script, which is never run here. Pin a revision "
                "that holds data files instead: most have one under the branch refs/convert/parquet."
            )
        data_files = [f"*{ending}{packed}" for ending in ENDINGS for packed in ("", *PACKED)]
        declared = _declared(self, folder)
        folder = fetch([*DESCRIPTIONS, *(_patterns_of_split(self, declared) if declared else data_files)])
        files = [file_ref(path.relative_to(folder).as_posix(), path) for path in _split_files(self, folder)]
        return SourceRef(
            kind=self.kind,
            name=self.id,
            uri=f"{without_credentials(endpoint())}/datasets/{self.id}/tree/{self.revision}",
            revision=self.revision,
            files=tuple(files),
        )

    def read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        """The named columns of the split, or of its part; raises `DataError` with file and row."""
        return self.taken(columns, lambda names: self._read(fetched, names))

    def _read(self, fetched: SourceRef, columns: Sequence[str]) -> Reading:
        from stsflow.tasks.reading.delimited import Dialect
        from stsflow.tasks.reading.formats import format_of, read_file
        from stsflow.tasks.reading.rows import Reading

        rows = []
        for file in fetched.files:
            shown = f"{self.id}/{file.uri}"
            kind = format_of(file.uri)
            if kind is None:
                raise DataError(f"{shown}: only tsv, csv, json, jsonl and parquet files can be read.")
            dialect = Dialect("," if kind == "csv" else "\t", self.quoting, prefers_quotes=kind == "csv")
            kind = "jsonl" if kind == "json" and _has_object_lines(file.path, shown, self.limits) else kind
            rows.append(read_file(file.path, shown, kind, columns, dialect=dialect, limits=self.limits))
        return Reading(tuple(rows))

    def state(self, access: Access) -> str:
        """The pinned commit: it cannot change."""
        del access
        return f"{self.id} at {self.revision}"

    @property
    def remote(self) -> str:
        """The hub."""
        return "a data set on the hub"

    @classmethod
    def hub_id(cls, fetched: SourceRef) -> str:
        """Its name on the hub."""
        return fetched.name

    @classmethod
    def page(cls, fetched: SourceRef) -> str:
        """The data set's page at that commit."""
        return f"https://huggingface.co/datasets/{fetched.name}/tree/{fetched.revision}"


def _declared(source: HubSource, folder: Path) -> dict[str, list[str]] | None:
    """File patterns by split that the data set's card declares for the wanted configuration, or None."""
    configurations = _configurations(folder)
    if not configurations:
        if source.config not in (None, "default"):
            raise DataError(f"{_shown(source)}: there is no configuration {source.config!r}; it has only the default.")
        return None
    name = source.config or _default(source, configurations)
    if name not in configurations:
        raise DataError(
            f"{_shown(source)}: there is no configuration {name!r}; found: {', '.join(map(repr, configurations))}."
        )
    patterns = configurations[name].get("data_files")
    if patterns is None:
        return None
    from datasets.data_files import sanitize_patterns

    below = configurations[name].get("data_dir")
    prefix = f"{below}/" if below else ""
    return {split: [prefix + one for one in some] for split, some in sanitize_patterns(patterns).items()}


def _patterns_of_split(source: HubSource, splits: dict[str, list[str]]) -> list[str]:
    if source.split not in splits:
        found = ", ".join(map(repr, splits)) or "none"
        raise DataError(f"{_shown(source)}: there is no split {source.split!r}; found: {found}.")
    return splits[source.split]


def _default(source: HubSource, configurations: dict[str, dict[str, Any]]) -> str:
    marked = [name for name, values in configurations.items() if values.get("default")]
    if marked:
        return marked[0]
    if len(configurations) == 1 or "default" in configurations:
        return "default" if "default" in configurations else next(iter(configurations))
    raise DataError(f"{_shown(source)}: set `config`; found: {', '.join(map(repr, configurations))}.")


def _configurations(folder: Path) -> dict[str, dict[str, Any]]:
    """Configurations that the data set's card declares, by name."""
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    return dict(MetadataConfigs.from_dataset_card_data(DatasetCard.load(readme).data))


def _split_files(source: HubSource, folder: Path) -> list[Path]:
    """The split's files in the snapshot, as the datasets library finds and orders them."""
    from datasets.data_files import get_data_patterns, resolve_pattern
    from datasets.exceptions import DataFilesNotFoundError

    try:
        splits = _declared(source, folder) or {
            str(split): list(patterns) for split, patterns in get_data_patterns(str(folder)).items()
        }
        patterns = _patterns_of_split(source, splits)
        return [Path(path) for pattern in patterns for path in resolve_pattern(pattern, base_path=str(folder))]
    except (DataFilesNotFoundError, FileNotFoundError):
        raise DataError(f"{_shown(source)}: no data files of split {source.split!r} were found in it.") from None


def _shown(source: HubSource) -> str:
    config = f", configuration {source.config}" if source.config else ""
    return f"hub data set {source.id} at {source.revision}{config}"


def _has_object_lines(path: Path, shown: str, limits: Limits) -> bool:
    """Whether a `.json` file holds one object a line: the hub's files of that name come in both forms."""
    check_packed(path, shown, limits)
    with open_bytes(path) as stream:
        return stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
