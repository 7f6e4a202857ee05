"""The record of a run on disk, before any server has it: an append-only list of entries.

Every stage writes here and never to MLflow. The relay carries the entries over, in order and exactly once; a tracker
that is away delays it, and costs a run nothing. One JSON object a line; a torn last line (a kill in the middle of a
write) is cut off when the journal is opened again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from tasks.schema import Record


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
    """The tuned model, to be logged and, where a name is given, registered."""

    kind: Literal["model"] = "model"
    path: str
    """Relative to the run's folder."""
    digest: str
    dimension: int
    example: tuple[str, ...]
    register_as: str | None = None
    description: str = ""
    tags: dict[str, str] = {}


class Finish(Record):
    """The end of the run."""

    kind: Literal["finish"] = "finish"
    status: Literal["FINISHED", "FAILED", "KILLED"]
    time: int
    reason: str = ""
    log_lines: str = ""
    """Last lines of the trainer's log, where it ended badly."""


Entry = Annotated[Params | Metrics | Tags | Artifacts | DatasetInput | Model | Finish, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


class Journal:
    """The journal file of one run. Entries are numbered from 1."""

    def __init__(self, path: Path) -> None:
        """Open `path`, or start it; a torn last line is cut off."""
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

    def __len__(self) -> int:
        return self._length

    def append(self, *entries: Entry) -> None:
        """Add `entries`; when this returns they are on disk."""
        if not entries:
            return
        lines = b"".join(_ENTRY.dump_json(entry) + b"\n" for entry in entries)
        with self.path.open("ab") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())
        self._length += len(entries)

    def after(self, number: int) -> Iterator[tuple[int, Entry]]:
        """Entries with a number above `number`, in order."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            for position, line in enumerate(stream, start=1):
                if position > number and line.endswith(b"\n"):
                    yield position, _ENTRY.validate_json(line)

    @property
    def sent(self) -> int:
        """Number of the last entry that the tracker has confirmed."""
        try:
            return int(self._sent.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0

    def confirm(self, number: int) -> None:
        """Note that the tracker has everything up to entry `number`."""
        from tasks.files import write_text_atomically

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


def metrics_now(values: Mapping[str, float], *, step: int = 0) -> Metrics:
    """The values as points at this moment."""
    now = int(time.time() * 1000)
    return Metrics(points=tuple((name, float(value), now, step) for name, value in values.items()))


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
