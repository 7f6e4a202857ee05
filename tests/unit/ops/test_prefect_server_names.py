"""Whoever names a Prefect server, in whichever of the places that Prefect reads, gets no embedded one beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stsflow.flows.ops.configured_prefect import names_a_prefect_server

URL = "http://127.0.0.1:4200/api"
PLACES = {
    "prefect.toml": f'[api]\nurl = "{URL}"\n',
    "pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n',
    ".env": f"PREFECT_API_URL={URL}\n",
    "home/profiles.toml": f'active = "team"\n[profiles.team]\nPREFECT_API_URL = "{URL}"\n',
}
OTHERS = {
    "prefect.toml": "[server.ui]\nenabled = false\n",
    "pyproject.toml": "[tool.ruff]\nline-length = 120\n",
    ".env": f"# PREFECT_API_URL={URL}\nOTHER=1\n",
    "home/profiles.toml": f'active = "mine"\n[profiles.mine]\n[profiles.team]\nPREFECT_API_URL = "{URL}"\n',
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


@pytest.mark.parametrize("place", PLACES)
def test_a_server_is_found_where_prefect_finds_it(place: str) -> None:
    Path(place).write_text(OTHERS[place], encoding="utf-8")
    assert not names_a_prefect_server()
    Path(place).write_text(PLACES[place], encoding="utf-8")
    assert names_a_prefect_server()


@pytest.mark.parametrize("place", PLACES)
def test_prefect_itself_agrees(place: str) -> None:
    """The same file, read by Prefect in a process of its own."""
    import subprocess
    import sys

    Path(place).write_text(PLACES[place], encoding="utf-8")
    code = "from prefect.settings import PREFECT_API_URL; print(PREFECT_API_URL.value())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == URL


def test_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not names_a_prefect_server()
    monkeypatch.setenv("PREFECT_API_URL", URL)
    assert names_a_prefect_server()
