"""Where the servers' password comes from, and what is refused before anything is started."""

from __future__ import annotations

import base64
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from stsflow.flows.ops.services import Services, ServicesReport, print_report, supervisor, up
from stsflow.flows.ops.services.launch import environment_of
from stsflow.flows.ops.services.passwords import Auth, own_password_file, read_auth
from stsflow.tasks.ground.errors import PreconditionError, Refused
from stsflow.tasks.ground.workspace import Workspace


def services(workspace: Workspace, **more: object) -> Services:
    values = {
        "prefect_port": 4200, "mlflow_port": 5000, "prefect_database": "sqlite+aiosqlite:///p.db",
        "mlflow_database": "sqlite:///m.db", "artifacts": "a", "user": "stsflow", "directory": workspace.root,
    }  # fmt: skip
    return Services.model_validate(values | more)


def test_a_password_is_made_once_and_for_its_owner_alone(workspace: Workspace) -> None:
    path = own_password_file(workspace)
    first = read_auth(path)
    assert first is not None and first.user == "stsflow"
    assert len(base64.urlsafe_b64decode(first.password)) == 24  # 192 random bits
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_auth(own_password_file(workspace)) == first
    other = read_auth(own_password_file(Workspace(workspace.root / "other")))
    assert other is not None and other.password != first.password


def test_both_servers_ask_for_it_and_workers_know_it(workspace: Workspace) -> None:
    auth = Auth("stsflow", "correct-horse-battery")
    of = {
        name: environment_of(name, services(workspace), workspace, auth, {})
        for name in ("prefect", "mlflow", "worker-cpu")
    }
    assert of["prefect"]["PREFECT_SERVER_API_AUTH_STRING"] == "stsflow:correct-horse-battery"
    assert of["mlflow"]["MLFLOW_AUTH_ADMIN_PASSWORD"] == "correct-horse-battery"
    configuration = Path(of["mlflow"]["MLFLOW_AUTH_CONFIG_PATH"]).read_text(encoding="utf-8")
    assert "authorization_function = stsflow.tasks.tracking.login:authenticate" in configuration
    worker = of["worker-cpu"]
    assert worker["PREFECT_API_AUTH_STRING"] == "stsflow:correct-horse-battery"
    assert worker["MLFLOW_TRACKING_PASSWORD"] == "correct-horse-battery"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "stsflow",
        ":correct-horse-battery",
        "stsflow:short",
        "stsflow:correct-hörse-battery",
        "s\tf:correct-horse-battery",
    ],
)
def test_what_is_no_user_and_password_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "password"
    path.write_text(line + "\n", encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(PreconditionError, match="must hold `user:password` in printable ASCII"):
        read_auth(path)


def test_a_password_and_none_exclude_each_other(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="--auth-file and --no-auth exclude each other"):
        up(workspace, auth_file=tmp_path / "password", no_auth=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pools": ("cpu\n[program:evil]\ncommand=touch /tmp/x",)}, "--pool: found .*; allowed: ASCII"),
        ({"pools": ("../x",)}, "--pool: found '../x'; allowed: ASCII"),
        ({"pools": ("",)}, "--pool: found ''; allowed: ASCII"),
        ({"pools": ("cpu", "cpu")}, "--pool: one was named twice"),
        ({"host": "no such host"}, "--host 'no such host' is no address of this machine"),
        ({"host": "192.0.2.1"}, "--host '192.0.2.1' is no address of this machine"),
        ({"host": "127.0.0.1\n"}, "is no address of this machine"),
        ({"host": "\0"}, "is no address of this machine"),
        ({"prefect_port": 70000}, "--prefect-port 70000 is no port; 1 to 65535 are allowed"),
        ({"mlflow_port": -1}, "--mlflow-port -1 is no port"),
        ({"allowed_hosts": ("a,b",)}, "--allowed-host 'a,b' cannot be used"),
        ({"allowed_origins": ("https://a\nX: y",)}, "--allowed-origin .* cannot be used"),
    ],
)
def test_what_would_become_another_setting_is_refused(
    workspace: Workspace, options: dict[str, object], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        up(workspace, **options)  # type: ignore[arg-type]
    assert not (workspace.services / "services.json").exists()


@pytest.mark.parametrize("name", ["100%", "a ;b", 'a"b', "a\nb", "a\x1bb"])
def test_a_path_that_would_become_another_setting_is_refused(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path / name)
    with pytest.raises(PreconditionError, match="which the process manager cannot handle"):
        supervisor.write_configuration(workspace, services(workspace))
    assert not (workspace.services / "supervisord.conf").exists()


def test_a_pool_in_the_record_is_a_name_too(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="pools"):
        services(workspace, pools=("cpu\n[program:evil]",))


def test_what_up_prints_says_where_the_password_is_or_that_there_is_none(workspace: Workspace) -> None:
    def printed(**more: object) -> str:
        console = Console(file=StringIO(), width=80)
        print_report(ServicesReport(services=services(workspace, **more), logs=workspace.services), console)
        assert isinstance(console.file, StringIO)
        return console.file.getvalue()

    path = workspace.services / "a folder with a long name" / "password"
    assert f"password    {path}\n" in printed(auth_file=path)  # in one line, however narrow the window
    assert "password    the one in STSFLOW_AUTH" in printed()
    assert "no password (--no-auth): every user and program of this machine can read and change all" in printed(
        user=None
    )
