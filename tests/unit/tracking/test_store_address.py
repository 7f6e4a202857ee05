"""An address that is no store of MLflow is one sentence, at once, and MLflow is not asked."""

from __future__ import annotations

import pytest

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.store_address import check_addresses, check_reachable

WRONG = {
    "junk://x": "'junk://x', which is no store of MLflow; allowed: http://",
    "file:///tmp/mlruns": "a store in files, which MLflow has ended: use sqlite:///PATH",
    "./mlruns": "a store in files, which MLflow has ended",
    "postgresql://me:PLANTED@127.0.0.1:9/x": "the database server at 127.0.0.1:9 does not answer",
    "mysql+pymysql://127.0.0.1:9/x": "the database server at 127.0.0.1:9 does not answer",
    "http://[x": "which is no address",
    "http://127.0.0.1:99999": "which is no address: Port out of range",
}


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"])
@pytest.mark.parametrize("address", WRONG)
def test_a_wrong_address_is_refused_before_a_store_is_opened(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    monkeypatch.setenv(variable, address)
    for use in (Store, check_reachable):
        with pytest.raises(PreconditionError) as caught:
            use(workspace)
        assert caught.value.message.startswith(f"{variable} is ") and WRONG[address] in caught.value.message
        assert "PLANTED" not in caught.value.message


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "sqlite:////tmp/x.db", "databricks", "databricks://me"])
def test_an_address_of_a_kind_that_mlflow_has_is_left_to_it(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    check_addresses()
