"""How a command finds the services that run in its workspace."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from stsflow.flows.ops.loopback import reach_loopback_directly
from stsflow.flows.ops.services import supervisor
from stsflow.flows.ops.services.passwords import client_environment, read_auth
from stsflow.flows.ops.services.settings import record_path, recorded
from stsflow.tasks.ground.workspace import Workspace


def running_environment(workspace: Workspace) -> dict[str, str]:
    """What a command needs in its environment to use the running services; empty when nothing is up.

    The password, where one is asked for, comes from the file that `up` used, or again from STSFLOW_AUTH.
    """
    if supervisor.ask(workspace) is None or not record_path(workspace).is_file():
        return {}
    services = recorded(workspace)
    found = {"PREFECT_API_URL": services.prefect_api_url, "MLFLOW_TRACKING_URI": services.mlflow_url}
    return found | (client_environment(read_auth(services.auth_file)) if services.user else {})


def connect(workspace: Workspace, *, prefect: bool = True) -> bool:
    """Make this process use the running services, unless its environment names others; True when some are up.

    To be called before prefect or mlflow is imported: both read the environment then. Without `prefect` only the
    MLflow server is used: the person has a Prefect server of their own. The password goes with the address that it
    belongs to, and never to a server that the person named.
    """
    if not (found := running_environment(workspace)):
        return False
    reach_loopback_directly(str(urlsplit(found["PREFECT_API_URL"]).hostname))
    if prefect:
        os.environ.setdefault("PREFECT_API_URL", found["PREFECT_API_URL"])
    os.environ.setdefault("MLFLOW_TRACKING_URI", found["MLFLOW_TRACKING_URI"])
    for address in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        if os.environ.get(address, "").rstrip("/") == found[address]:
            for name, value in found.items():
                if name.startswith(address.partition("_")[0]):
                    os.environ.setdefault(name, value)
    return True
