"""Foreign Host, foreign Origin: refused by both servers as they are shipped."""

from __future__ import annotations

import httpx
import pytest
from live_services import Up

FOREIGN = "evil.example"


@pytest.mark.parametrize("path", ["/api/health", "/api/flow_runs/filter", "/", "/ui-settings"])
def test_prefect_refuses_a_foreign_host(servers: Up, path: str) -> None:
    for host in (FOREIGN, f"{FOREIGN}:{servers.services.prefect_port}", "127.0.0.1.evil.example", "127.0.0.1:1"):
        answer = httpx.get(servers.services.prefect_url + path, headers={"Host": host})
        assert (answer.status_code, answer.text) == (403, "Host header not allowed")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_prefect_refuses_a_foreign_origin(servers: Up, origin: str) -> None:
    url = f"{servers.services.prefect_api_url}/flow_runs/filter"
    for method in ("POST", "OPTIONS", "GET"):
        answer = httpx.request(method, url, headers={"Origin": origin})
        assert (answer.status_code, answer.text) == (403, "Origin header not allowed")
        assert "access-control-allow-origin" not in answer.headers


def test_prefect_closes_a_foreign_websocket(servers: Up) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    url = f"ws://127.0.0.1:{servers.services.prefect_port}/api/events/in"
    with connect(url, proxy=None, subprotocols=["prefect"]):  # type: ignore[list-item]
        pass
    with pytest.raises(InvalidStatus, match="403"), connect(url, origin="http://evil.example", proxy=None):  # type: ignore[arg-type]
        pass


def test_prefect_answers_under_its_own_names(servers: Up) -> None:
    port = servers.services.prefect_port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        own = {"Host": host, "Origin": f"http://{host}"}
        assert httpx.get(f"{servers.services.prefect_api_url}/health", headers=own).status_code == 200


def test_mlflow_refuses_a_foreign_host(servers: Up) -> None:
    for path in ("/", "/api/2.0/mlflow/experiments/search?max_results=1"):
        answer = httpx.get(servers.services.mlflow_url + path, headers={"Host": FOREIGN})
        assert answer.status_code == 403 and "Invalid Host header" in answer.text


def test_mlflow_refuses_a_foreign_origin(servers: Up) -> None:
    """A page elsewhere can change nothing; what it may ask for, its browser will not let it read."""
    foreign = {"Origin": "http://evil.example"}
    create = f"{servers.services.mlflow_url}/api/2.0/mlflow/experiments/create"
    answer = httpx.post(create, json={"name": "planted"}, headers=foreign, auth=servers.auth)
    assert answer.status_code == 403 and "Cross-origin request blocked" in answer.text
    search = f"{servers.services.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=100"
    read = httpx.get(search, headers=foreign, auth=servers.auth)
    assert "access-control-allow-origin" not in read.headers
    assert "planted" not in [e["name"] for e in httpx.get(search, auth=servers.auth).json()["experiments"]]


def test_mlflow_works_under_its_own_origin(servers: Up) -> None:
    url = f"{servers.services.mlflow_url}/api/2.0/mlflow/experiments/create"
    own = {"Origin": servers.services.mlflow_url}
    answer = httpx.post(url, json={"name": "from its own page"}, headers=own, auth=servers.auth)
    assert answer.status_code == 200
