"""An artifact for a server that is away."""

from __future__ import annotations

import httpx
import pytest

from stsflow.tasks.ground import trying_again


def test_a_server_that_comes_back_gets_the_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying_again, "ARTIFACT_PAUSE_SECONDS", 0.0)
    answers = iter([httpx.ConnectError("refused"), httpx.ReadError("reset"), None])
    made: list[object] = []

    def create(**what: object) -> None:
        if (error := next(answers)) is not None:
            raise error
        made.append(what)

    trying_again.publish_artifact(create, key="scores", table=[])
    assert made == [{"key": "scores", "table": []}]


def test_one_that_stays_away_costs_no_run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(trying_again, "ARTIFACT_PATIENCE_SECONDS", 0.0)

    def create(**_: object) -> None:
        raise httpx.ConnectError("refused")

    trying_again.publish_artifact(create, key="scores")
    assert "Prefect did not take the artifact scores: refused" in caplog.text
