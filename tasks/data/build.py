"""From a recipe's sources to data sets on disk, found again by content."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stsflow.tasks.data.defined import describe_gold
from stsflow.tasks.ground.addresses import path_in
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.leakage.policies import check_leakage
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.reading.formats import format_of
from stsflow.tasks.reading.integrity import check_rows
from stsflow.tasks.recipe.sections import DataConfig, LeakageConfig, TrainingSet
from stsflow.tasks.records.data import PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.sets.rows import write_rows
from stsflow.tasks.sets.spilled import spilling_below
from stsflow.tasks.sources import Access
from stsflow.tasks.suites import Suite, SuiteOfRows, suites_of_rows

logger = logging.getLogger(__name__)

LIBRARIES = ("python", "datasets")
SAID = frozenset({"integrity.quoting", "integrity.quotes_kept", "integrity.byte_order_mark"})
"""Findings on how the bytes were read, said at once: they stand in reports and cards, but `evaluate` has neither."""


@dataclass(frozen=True)
class _Wanted:
    """One data set that a recipe asks for."""

    name: str
    role: Any
    section: TrainingSet | SuiteOfRows
    source: SourceRef


def prepare_data(
    data: DataConfig, suites: Mapping[str, Suite], workspace: Workspace, *, fresh: bool = False
) -> PreparedData:
    """Every training set and every suite's data: fetched, checked, shaped, compared with each other, on disk.

    Each set is an Arrow folder below `workspace.made("prepared", fingerprint)`, which appears whole or not at all. A
    second call with the same bytes and sections finds it. Raises DataError, with file and line, for whatever is wrong
    with the data, before anything is written.
    """
    access = Access(data.root, workspace.downloads, data.download_timeout_seconds, data.download_retries)
    return _prepare(data.train, suites, data.leakage, access, workspace, fresh)


def prepare_evaluation(suites: Mapping[str, Suite], root: Path | None, workspace: Workspace) -> PreparedData:
    """The data of suites alone, without anything to train on; relative paths start from `root`."""
    return _prepare({}, suites, LeakageConfig(), Access(root, workspace.downloads), workspace, False)


def _prepare(
    train: Mapping[str, TrainingSet], suites: Mapping[str, Suite], leakage: LeakageConfig, access: Access,
    workspace: Workspace, fresh: bool,
) -> PreparedData:  # fmt: skip
    wanted = list(_fetched(train, suites, access))
    key = _fingerprint(wanted, leakage)
    found = find_or_make(
        workspace, "prepared", key, PreparedData, lambda folder: _build(wanted, leakage, key, folder),
        what="the prepared data", fresh=fresh,
    )  # fmt: skip
    prepared = _with_sources(found, wanted)
    for item in (*prepared.train, *prepared.evaluation):
        logger.info("%s: %s", item.name, _in_words(item))
    for finding in prepared.findings:
        if finding.code in SAID:
            logger.info("%s %s", finding.message, finding.remedy)
    return prepared


def _fetched(train: Mapping[str, TrainingSet], suites: Mapping[str, Suite], access: Access) -> Iterator[_Wanted]:
    for name, section in train.items():
        yield _Wanted(name, "train", section, section.source.fetch(access))
    for name, suite in suites_of_rows(suites).items():
        yield _Wanted(name, "evaluation", suite, suite.source.fetch(access))


def _fingerprint(wanted: list[_Wanted], leakage: LeakageConfig) -> str:
    """Of bytes, sections, code and libraries; not of the names that the bytes go by, except for their endings."""
    sets = []
    for one in wanted:
        section = one.section.model_dump(mode="json", exclude={"source"}) | {"source": one.section.source.how_read()}
        files = [[format_of(path_in(file.uri)), file.sha256] for file in one.source.files]
        sets.append([one.name, one.role, section, one.source.revision, files])
    return fingerprint(
        sets,
        leakage,
        code_of(__name__),
        {n: v for n, v in versions().items() if n in LIBRARIES},
        pa.__version__,
    )


def _build(wanted: list[_Wanted], leakage: LeakageConfig, key: str, target: Path) -> PreparedData:
    findings: list[Finding] = []
    with spilling_below(target):
        built = [_build_set(item, target / item.role / item.name, findings) for item in wanted]
        train = [item for item in built if item.role == "train"]
        evaluation = [item for item in built if item.role == "evaluation"]
        checked = check_leakage(train, evaluation, leakage, target / "leakage")
    return PreparedData(
        fingerprint=key,
        train=checked.train,
        evaluation=checked.evaluation,
        overlaps=checked.overlaps,
        suite_overlaps=checked.suite_overlaps,
        findings=(*findings, *checked.findings),
    )


def _build_set(wanted: _Wanted, folder: Path, findings: list[Finding]) -> PreparedSet:
    section = wanted.section
    reading = section.source.read(wanted.source, section.shape.reads)
    check_rows(wanted.name, reading.rows, section.expect_rows)
    shaped = section.shape.shape(reading, wanted.name, getattr(section, "allow_empty_fields", True))
    table, notes = shaped.table, dict(shaped.notes)
    limit = getattr(section, "limit", None)
    if limit is not None and table.num_rows > limit:
        notes["over_limit"] = table.num_rows - limit
        table = table.slice(0, limit)
    if table.num_rows == 0:
        raise DataError(_nothing_left(wanted, reading.rows, shaped.dropped, notes))
    findings += [*reading.findings, *shaped.findings]
    if not isinstance(section, TrainingSet):
        findings += describe_gold(wanted.name, section, table)
    return PreparedSet(
        name=wanted.name, role=wanted.role, shape=section.shape.kind, roles=section.shape.roles,
        title=section.title or wanted.name, path=folder,
        columns=tuple(table.column_names), digest=write_rows(table, folder), rows=table.num_rows,
        counts=RowCounts(read=reading.rows, dropped=shaped.dropped, kept=table.num_rows, notes=notes),
        source=wanted.source, split=getattr(section, "split", ""), language=section.language, license=section.license,
        quality=section.quality(table) if isinstance(section, SuiteOfRows) else None,
    )  # fmt: skip


def _nothing_left(wanted: _Wanted, read: int, dropped: Mapping[str, int], notes: Mapping[str, int]) -> str:
    reasons = [f"{count:,} dropped as {reason}" for reason, count in dropped.items()]
    reasons += [f"{name.replace('_', ' ')}: {count:,}" for name, count in notes.items()]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return (
        f"{wanted.name}: no row is left of {read:,} read from {wanted.source.name}{why}. "
        f"The shape {wanted.section.shape.kind!r} must give at least one."
    )


def _with_sources(prepared: PreparedData, wanted: list[_Wanted]) -> PreparedData:
    """The same rows may have been read from another folder last time; the record names where they lie now."""
    sources = {(item.role, item.name): item.source for item in wanted}

    def now(items: tuple[PreparedSet, ...]) -> tuple[PreparedSet, ...]:
        return tuple(item.model_copy(update={"source": sources[item.role, item.name]}) for item in items)

    return prepared.model_copy(update={"train": now(prepared.train), "evaluation": now(prepared.evaluation)})


def _in_words(item: PreparedSet) -> str:
    """`4,998 rows from 7,500 (12 empty left out)`."""
    left_out = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in item.counts.dropped.items())
    return f"{item.rows:,} rows from {item.counts.read:,}" + (f" ({left_out} left out)" if left_out else "")
