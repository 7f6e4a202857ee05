"""What the person at the terminal sees of a training that goes on after a kill."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stsflow.tasks.tracking.journal import Journal
from stsflow.tasks.training.events import Event
from stsflow.tasks.training.task import Watcher


def finding(seq: int, text: str) -> Event:
    return Event(seq=seq, time=0.0, kind="finding", attempt=seq, text=text)


def points(seq: int) -> Event:
    return Event(seq=seq, time=0.0, kind="log", attempt=seq, step=seq, values={"loss": 0.5})


def test_what_an_earlier_attempt_has_said_is_not_said_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("stsflow.tasks.training.progress")
    logger.addHandler(caplog.handler)  # `stsflow` keeps its lines from the root logger
    caplog.set_level(logging.INFO, logger=logger.name)
    try:
        earlier = [finding(1, "said before"), points(2)]
        Watcher(Journal(tmp_path / "journal.jsonl"), None).see(earlier)
        caplog.clear()
        Watcher(Journal(tmp_path / "journal.jsonl"), None).see([*earlier, finding(3, "said now")])
    finally:
        logger.removeHandler(caplog.handler)
    assert {record.getMessage() for record in caplog.records} == {"said now"}
