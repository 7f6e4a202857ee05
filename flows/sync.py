"""`stsflow sync`: complete the MLflow record of a run whose tracker was away."""

from __future__ import annotations

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking import runs
from stsflow.tasks.tracking.relay import require_sent
from stsflow.tasks.tracking.store import Store
from stsflow.tasks.tracking.store_address import check_reachable

PATIENCE_SECONDS = 60.0


def sync_run(name: str) -> dict[str, object]:
    """Send what MLflow does not have yet of run `name`; return run, entries and how many of them MLflow has.

    Raises TrackingUnavailable when it still does not take everything.
    """
    workspace = Workspace.here()
    folder, state = runs.find_run(workspace, name)
    check_reachable(workspace)
    relay = runs.relay_of(Store(workspace), runs.reference(folder, state))
    require_sent(relay.finish(patience_seconds=PATIENCE_SECONDS), relay, state.name)
    return {
        "run": state.name,
        "mlflow_run_id": state.mlflow_run_id,
        "entries": len(relay.journal),
        "sent": relay.journal.sent,
    }
