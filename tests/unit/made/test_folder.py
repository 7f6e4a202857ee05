"""What its key determines is made once, appears whole, and is made again when it changed on the disk."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.folder import RECORD, SEAL, find_or_make, find_or_make_all, held

KEY, OTHER = "a" * 64, "b" * 64


class Note(Record):
    """What is made here."""

    number: int
    file: Path
    more: dict[str, tuple[Path, ...]] = {}


class Maker:
    """Writes a file; its number says how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, folder: Path) -> Note:
        self.asked += 1
        (folder / "rows").mkdir()
        (folder / "rows" / "one.txt").write_text("one")
        return Note(
            number=self.asked, file=folder / "rows" / "one.txt", more={"a": (folder / "rows", Path("/elsewhere"))}
        )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def maker() -> Maker:
    return Maker()


def made(workspace: Workspace, maker: Maker, *, fresh: bool = False) -> Note:
    return find_or_make(workspace, "notes", KEY, Note, maker, what="the note", fresh=fresh)


def left(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in (workspace.root / "notes").iterdir())


def test_it_is_made_once_and_its_paths_are_where_it_lies(workspace: Workspace, maker: Maker) -> None:
    first = made(workspace, maker)
    folder = workspace.root / "notes" / KEY[:24]
    assert first.file == folder / "rows" / "one.txt" and first.file.read_text() == "one"
    assert first.more == {"a": (folder / "rows", Path("/elsewhere"))}
    assert made(workspace, maker) == first and maker.asked == 1
    assert {path.name for path in folder.iterdir()} == {"rows", RECORD, SEAL} and left(workspace) == [KEY[:24]]


def test_fresh_makes_it_again(workspace: Workspace, maker: Maker) -> None:
    made(workspace, maker)
    assert made(workspace, maker, fresh=True).number == 2
    assert made(workspace, maker).number == 2


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("rows/one.txt", "two", "rows/one.txt is not what was sealed (SHA-256 differs)"),
        ("rows/one.txt", None, "rows/one.txt is missing"),
        (RECORD, "{}", "record.json has 2 bytes, sealed with"),
        (SEAL, "{", "it has no readable seal"),
    ],
)
def test_what_changed_on_the_disk_is_made_again_and_said_once(
    workspace: Workspace, maker: Maker, caplog: pytest.LogCaptureFixture, file: str, content: str | None, why: str
) -> None:
    path = workspace.made("notes", KEY) / file
    made(workspace, maker)
    path.unlink() if content is None else path.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert made(workspace, maker).number == 2
    (said,) = caplog.messages
    assert said.startswith("the note in ") and f"made again, as {why}" in said
    assert made(workspace, maker).number == 2 and left(workspace) == [KEY[:24]]


def test_what_fails_leaves_what_was_there(workspace: Workspace, maker: Maker) -> None:
    def fail(folder: Path) -> Note:
        (folder / "half").write_text("")
        raise OSError("no more room")

    with pytest.raises(OSError, match="no more room"):
        find_or_make(workspace, "notes", KEY, Note, fail, what="the note")
    assert left(workspace) == []
    first = made(workspace, maker)
    with pytest.raises(OSError, match="no more room"):
        find_or_make(workspace, "notes", KEY, Note, fail, what="the note", fresh=True)
    assert made(workspace, maker) == first


def end_inside(root: Path) -> None:
    """Be killed while the folder is being made."""

    def make(folder: Path) -> Note:
        (folder / "half.txt").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    find_or_make(Workspace(root), "notes", KEY, Note, make, what="the note")


def test_what_a_killed_process_had_made_goes_when_the_same_is_made_again(workspace: Workspace, maker: Maker) -> None:
    child = multiprocessing.get_context("spawn").Process(target=end_inside, args=(workspace.root,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert [name for name in left(workspace) if name.startswith(f".{KEY[:24]}.")]
    made(workspace, maker)
    assert left(workspace) == [KEY[:24]]


def test_of_several_those_that_are_missing_are_made_together(workspace: Workspace, maker: Maker) -> None:
    made(workspace, maker)
    asked: list[list[str]] = []

    def make(folders: Mapping[str, Path]) -> dict[str, Note]:
        asked.append(list(folders))
        return {key: maker(folder) for key, folder in folders.items()}

    found = find_or_make_all(workspace, "notes", [OTHER, KEY, OTHER], Note, make, what="the notes")
    assert {key: note.number for key, note in found.items()} == {OTHER: 2, KEY: 1}
    assert find_or_make_all(workspace, "notes", [KEY, OTHER], Note, make, what="the notes") == found
    assert asked == [[OTHER]]


def _make_slowly(root: Path, number: int) -> None:
    def make(folder: Path) -> Note:
        time.sleep(0.5)
        return Note(number=number, file=folder / "none")

    found = find_or_make(Workspace(root), "notes", KEY, Note, make, what="the note")
    (root / f"{number}.txt").write_text(str(found.number))


def test_of_several_processes_one_makes_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_make_slowly, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len({(tmp_path / f"{number}.txt").read_text() for number in range(3)}) == 1


def test_who_waits_says_for_what_and_for_whom(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    import threading

    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with held(workspace, "notes", KEY, "the note"):
            holding.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    with caplog.at_level(logging.INFO):
        threading.Timer(0.2, done.set).start()
        with held(workspace, "notes", KEY, "the note"):
            thread.join()
    (said,) = caplog.messages
    assert said.startswith("waiting for the note: process ")
