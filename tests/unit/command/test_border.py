"""Workspaces and machines in odd states: one sentence and an exit code, from whichever command."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import requests
from misbehaving_server import MisbehavingServer
from small_recipe import environment

from stsflow.flows.__main__ import main
from stsflow.flows.command.border import in_a_sentence
from stsflow.flows.command.terminal import prepare_process
from stsflow.tasks.ground.errors import DiskFull, PreconditionError
from stsflow.tasks.ground.sqlite import fault_of, require_usable
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store

COMMANDS = {
    "run": ["run", "recipe.yaml"], "plan": ["plan", "recipe.yaml"], "deploy": ["deploy", "recipe.yaml"],
    "evaluate": ["evaluate", "model", "--recipe", "recipe.yaml"], "verify-card": ["verify-card", "model"],
    "promote": ["promote", "name"], "sync": ["sync", "run"], "up": ["up"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def mask_put_back() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["stsflow", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(str(end.value.code))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_workspace_that_is_a_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STSFLOW_WORKSPACE", raising=False)
    (tmp_path / ".stsflow").write_text("", "utf-8")
    assert ended(COMMANDS[command], monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"stsflow: {tmp_path}/.stsflow is a file, and must be a folder")


def test_a_card_is_checked_where_no_workspace_is_and_none_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("# A model\n", "utf-8")
    monkeypatch.setenv("STSFLOW_WORKSPACE", "/proc/here/.stsflow")
    assert ended(["verify-card", str(tmp_path)], monkeypatch) == 3
    assert "does not hold" in capsys.readouterr().out


NAMES = {
    "a question mark": "what?",
    "a control character": "two\nlines",
    "bytes that are not UTF-8": os.fsdecode(b"caf\xe9"),
}


@pytest.mark.parametrize("words", NAMES)
def test_a_name_that_no_address_of_a_database_can_hold(words: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / NAMES[words] / ".stsflow")
    with pytest.raises(PreconditionError, match=words) as refused:
        workspace.make()
    refused.value.message.encode("utf-8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_databases_lie_in_a_folder_of_any_other_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path / "a#b %41 é&x=1 50%" / ".stsflow")
    Store(workspace).experiment("here")
    assert workspace.mlflow_database.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["a#b %41 é&x=1 50%"]


def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(PreconditionError, match=r"/proc/here/\.stsflow cannot be made: .*STSFLOW_WORKSPACE"):
        Workspace(Path("/proc/here/.stsflow")).make()


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    leave = "import os, sys; os.rmdir(os.getcwd()); sys.argv[1:] = ['doctor']"
    code = f"{leave}; from stsflow.flows.__main__ import main; main()"
    clean = {name: value for name, value in environment(tmp_path).items() if name != "STSFLOW_WORKSPACE"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path / "gone", env=clean, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "stsflow: the current folder is gone; change to one that is there\n")


def test_an_argument_that_is_not_utf_8(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["plan", os.fsdecode(b"caf\xe9.yaml")], monkeypatch) == 2
    assert capsys.readouterr().err.startswith(r"stsflow: the argument 'caf\udce9.yaml' is not UTF-8")


def test_what_a_command_writes_is_for_its_user_alone(workspace: Workspace) -> None:
    prepare_process(use_services=False)
    made = [workspace.root, workspace.prefect_home]
    (workspace.root / "later").mkdir()
    (workspace.root / "later" / "file").write_text("", "utf-8")
    for path in [*made, workspace.root / "later", workspace.root / "later" / "file"]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_command_that_only_looks_makes_nothing(workspace: Workspace) -> None:
    prepare_process(use_services=False, writes=False)
    assert not workspace.root.exists()


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("named", ["", "intern.example.org", "*"])
def test_no_proxy_stands_before_a_server_of_this_machine(
    named: str, http_server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", named)
    address = http_server.serve("/there", b"here")
    if named != "*":
        with pytest.raises(httpx.HTTPError):
            httpx.get(address)
    prepare_process(use_services=False)
    assert httpx.get(address).content == b"here"
    assert requests.get(address, timeout=5).content == b"here"
    assert urllib.request.urlopen(address).read() == b"here"
    assert os.environ["NO_PROXY"].startswith(named)


def full_device() -> BaseException:
    """What writing to a full disk really raises."""
    try:
        with Path("/dev/full").open("wb", buffering=0) as stream:
            stream.write(b"x")
    except OSError as error:
        return error
    raise AssertionError("/dev/full has room")


def raised_from(cause: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except BaseException as inner:
            raise RuntimeError("a library's own words") from inner
    except RuntimeError as outer:
        return ExceptionGroup("tasks", [outer])


def full_database() -> sqlite3.Error:
    """What SQLite raises when its file may not grow."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE rows (one)")
        connection.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO rows VALUES (zeroblob(100000))")
    return caught.value


def broken_database(path: Path) -> sqlite3.Error:
    """What SQLite raises on a file with pages that were overwritten."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE rows (one)")
        connection.execute("INSERT INTO rows VALUES (zeroblob(100000))")
        connection.commit()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"x" * (len(content) - 4096))
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError) as caught:
        connection.execute("SELECT sum(length(one)) FROM rows").fetchall()
    return caught.value


def test_a_full_disk_is_said_whatever_library_met_it(workspace: Workspace) -> None:
    workspace.make()
    for error in (full_device(), OSError(errno.EDQUOT, "Disk quota exceeded", "f"),
                  full_database()):  # fmt: skip
        for one in (error, raised_from(error)):
            said = in_a_sentence(one, workspace)
            assert isinstance(said, DiskFull) and said.exit_code == 1
            assert f"the disk of {workspace.root} is full" in said.message


def test_a_disk_without_a_mebibyte_explains_what_nothing_else_does(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.make()
    error = RuntimeError("Server error '500 Internal Server Error'\nmore")
    assert in_a_sentence(error, workspace) is None
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    said = in_a_sentence(error, workspace)
    assert isinstance(said, DiskFull) and "500 Internal Server Error'" in said.message and "\n" not in said.message


def test_a_part_of_the_workspace_that_is_in_the_way(workspace: Workspace, tmp_path: Path) -> None:
    workspace.make()
    workspace.runs.write_text("", "utf-8")
    with pytest.raises(OSError) as caught:
        (workspace.runs / "run").mkdir()
    said = in_a_sentence(caught.value, workspace)
    assert isinstance(said, PreconditionError) and str(workspace.runs) in said.message
    with pytest.raises(OSError) as elsewhere:
        (tmp_path / "workspace" / ".." / "x" / "y").mkdir()
    assert in_a_sentence(elsewhere.value, workspace) is None


@pytest.mark.parametrize("content", [b"not a database" * 400, None])
def test_a_database_that_cannot_be_used_is_named_at_once(workspace: Workspace, content: bytes | None) -> None:
    workspace.make()
    assert fault_of(workspace.mlflow_database) == ""
    if content is None:
        workspace.mlflow_database.mkdir()
    else:
        workspace.mlflow_database.write_bytes(content)
    with pytest.raises(PreconditionError, match=f"the database {workspace.mlflow_database} cannot be used: .*restore"):
        require_usable(workspace.mlflow_database)


def test_a_database_that_breaks_in_the_middle_is_a_sentence(workspace: Workspace, tmp_path: Path) -> None:
    said = in_a_sentence(raised_from(broken_database(tmp_path / "broken.db")), workspace.make())
    assert isinstance(said, PreconditionError) and "malformed" in said.message and "doctor" in said.message
