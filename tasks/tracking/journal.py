"""The record of a run on disk, before any server has it: an append-only list of entries.

Every stage writes here and never to MLflow. The relay carries the entries over, in order and exactly once; a tracker
that is away delays it, and costs a run nothing. One JSON object a line, the last key of which is the checksum of what
stands before it. A torn last line (a kill in the middle of a write) is cut off when the journal is opened again; a line
that is not what was written keeps its number and holds no entry.
"""

from __future__ import annotations

import json
import logging
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.release import GatedExport

logger = logging.getLogger(__name__)


class Params(Record):
    """Parameters of the run; a value is set once."""

    kind: Literal["params"] = "params"
    values: dict[str, str]


class Metrics(Record):
    """Points of metrics: (name, value, milliseconds since 1970, step)."""

    kind: Literal["metrics"] = "metrics"
    points: tuple[tuple[str, float, int, int], ...]
    event: int | None = None
    """Sequence number of the last trainer event that is in here."""


class Tags(Record):
    """Tags of the run."""

    kind: Literal["tags"] = "tags"
    values: dict[str, str]


class Artifacts(Record):
    """A file or folder, relative to the run's folder, and where it goes in the run's artifacts."""

    kind: Literal["artifacts"] = "artifacts"
    path: str
    folder: str


class DatasetInput(Record):
    """A data set that the run read."""

    kind: Literal["input"] = "input"
    name: str
    digest: str
    source: str
    revision: str
    context: str
    rows: int
    columns: tuple[str, ...]


class Model(Record):
    """The tuned model, to be logged and, where a name is given, registered with the exports that passed."""

    kind: Literal["model"] = "model"
    path: str
    """Relative to the run's folder."""
    digest: str
    dimension: int
    example: tuple[str, ...]
    register_as: str | None = None
    description: str = ""
    tags: dict[str, str] = {}
    exports: tuple[GatedExport, ...] = ()
    """Other forms of it; those that passed the gate become artifacts of the registered version."""


class ModelScores(Record):
    """Metrics of the run that are those of its logged model on a data set, so that MLflow ranks models by them."""

    kind: Literal["model_scores"] = "model_scores"
    digest: str
    """Of the model's weights."""
    scores: tuple[tuple[str, str, str], ...]
    """Name of the metric, name of the data set, digest of the data set. Values are those of the run."""


class Finish(Record):
    """The end of the run."""

    kind: Literal["finish"] = "finish"
    status: Literal["FINISHED", "FAILED", "KILLED"]
    time: int
    reason: str = ""
    log_lines: str = ""
    """Last lines of the trainer's log, where it ended badly."""


Entry = Annotated[
    Params | Metrics | Tags | Artifacts | DatasetInput | Model | ModelScores | Finish, Field(discriminator="kind")
]
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)
_CHECKSUM = re.compile(rb',"crc32":"([0-9a-f]{8})"\}$')


class Journal:
    """The journal file of one run. Entries are numbered from 1."""

    def __init__(self, path: Path) -> None:
        """Open `path`, or start it; a torn last line is cut off.

        A journal that is shorter than what the tracker has confirmed was cut by something else: it goes on from its
        end, and is `doubtful`.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._length = 0
        self._sent = path.with_suffix(".sent")
        if path.exists():
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) != len(content):
                os.truncate(path, len(whole))
            self._length = whole.count(b"\n")
        self.doubtful = False
        """The tracker may have more than the count of sent entries says: it is asked before points are sent."""
        if (found := _count_in(self._sent)) is None or found > self._length:
            self.doubtful = True
            lost = "cannot be read" if found is None else f"says {found:,} entries, and {self._length:,} are left"
            logger.warning("%s: the count of sent entries %s; what MLflow has stays there", path, lost)
            self.confirm(0 if found is None else self._length)

    def __len__(self) -> int:
        return self._length

    def append(self, *entries: Entry) -> None:
        """Add `entries`; when this returns they are on disk."""
        if not entries:
            return
        lines = b"".join(map(_line, entries))
        with self.path.open("ab") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())
        self._length += len(entries)

    def after(self, number: int) -> Iterator[tuple[int, Entry | None]]:
        """Entries with a number above `number`, in order; None in the place of one that is damaged."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            for position, line in enumerate(stream, start=1):
                if position > number and line.endswith(b"\n"):
                    yield position, _parsed(line)

    @property
    def damaged(self) -> tuple[int, ...]:
        """Numbers of the entries that are not what was written."""
        return tuple(number for number, entry in self.after(0) if entry is None)

    @property
    def is_ended(self) -> bool:
        """Whether the last entry says how the run ended."""
        return any(isinstance(entry, Finish) for _, entry in self.after(max(self._length - 1, 0)))

    @property
    def sent(self) -> int:
        """Number of the last entry that the tracker has confirmed."""
        return _count_in(self._sent) or 0

    def confirm(self, number: int) -> None:
        """Note that the tracker has everything up to entry `number`."""
        write_text_atomically(self._sent, str(number))

    def append_once(self, entry: Entry) -> None:
        """Add `entry` unless an equal one is there already; of metrics, the points that are new."""
        if isinstance(entry, Metrics):
            self.append_new_points(entry)
        elif all(old != entry for _, old in self.after(0)):
            self.append(entry)

    def append_new_points(self, entry: Metrics) -> None:
        """Add the points of `entry` whose (name, step) the journal does not hold yet.

        A stage that runs again after a crash writes the same points again; MLflow cannot delete a point, so the second
        one must never get there.
        """
        held = {(name, step) for _, old in self.after(0) if isinstance(old, Metrics) for name, _, _, step in old.points}
        points = tuple(point for point in entry.points if (point[0], point[3]) not in held)
        if points:
            self.append(entry.model_copy(update={"points": points}))

    @property
    def last_event(self) -> int:
        """Sequence number of the last trainer event that the journal holds; 0 when it holds none."""
        events = [entry.event for _, entry in self.after(0) if isinstance(entry, Metrics) and entry.event is not None]
        return max(events, default=0)


def damage_of(path: Path) -> str:
    """What is wrong with the journal at `path`, in words; empty when nothing is. Reads, and changes nothing.

    A last line without its end is no damage: another process may be writing it.
    """
    if not path.is_file():
        return ""
    lines = path.read_bytes().split(b"\n")[:-1]
    damaged = [str(number) for number, line in enumerate(lines, start=1) if _parsed(line) is None]
    if damaged:
        more = f" and {len(damaged) - 3:,} more" if len(damaged) > 3 else ""
        return f"line {', '.join(damaged[:3])}{more} of {path} is not what was written"
    sent = path.with_suffix(".sent")
    count = _count_in(sent)
    if count is None:
        return f"{sent} holds no number"
    if count > len(lines):
        return f"{path} was cut: MLflow has {count:,} entries of it, and {len(lines):,} are left"
    return ""


def _count_in(path: Path) -> int | None:
    """The number in the file; 0 without a file, None when it holds none."""
    if not path.is_file():
        return 0
    found = re.fullmatch(rb"\d{1,15}", path.read_bytes().strip())
    return int(found[0]) if found else None


def _line(entry: Entry) -> bytes:
    body = entry.model_dump_json().encode("utf-8")
    return body[:-1] + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def _parsed(line: bytes) -> Entry | None:
    """The entry of a line; None when it is not what was written. Lines of earlier versions have no checksum."""
    line = line.rstrip(b"\n")
    if found := _CHECKSUM.search(line):
        line = line[: found.start()] + b"}"
        if zlib.crc32(line) != int(found[1], 16):
            return None
    try:
        return _ENTRY.validate_json(line)
    except ValidationError:
        return None


def metrics_now(values: Mapping[str, float], *, step: int = 0) -> Metrics:
    """The values as points at this moment."""
    now = milliseconds()
    return Metrics(points=tuple((name, float(value), now, step) for name, value in values.items()))


def milliseconds(moment: datetime | None = None) -> int:
    """Milliseconds since 1970 of `moment`, or of now."""
    return int((moment or datetime.now(UTC)).timestamp() * 1000)


def flat_params(prefix: str, value: object) -> Iterable[tuple[str, str]]:
    """Dotted names and text values of nested sections: `training.learning_rate`, `5e-05`. Empty ones are left out."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat_params(f"{prefix}.{key}" if prefix else str(key), item)
    elif isinstance(value, list | tuple):
        if value:
            yield prefix, json.dumps(value, ensure_ascii=False)
    elif value is not None and value != "":
        yield prefix, value if isinstance(value, str) else json.dumps(value)
