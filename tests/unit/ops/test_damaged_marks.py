"""What `stsflow up` wrote and finds damaged: `down` goes on, every other command says what to do."""

from __future__ import annotations

import pytest

from stsflow.flows.ops.services import down
from stsflow.flows.ops.services.settings import mark_path, record_path, recorded
from stsflow.tasks.ground.errors import DamagedRecord
from stsflow.tasks.ground.workspace import Workspace


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"pid": "x"}', b'{"pid": -1, "started": 0}', b'{"pid": 1e300}']
)
def test_down_passes_over_a_damaged_mark_and_removes_it(workspace: Workspace, content: bytes) -> None:
    workspace.make()
    workspace.services.mkdir()
    mark_path(workspace, "mlflow").write_bytes(content)
    assert down(workspace).ended == ()
    assert not mark_path(workspace, "mlflow").exists()


def test_a_damaged_record_of_the_services_names_the_way_out(workspace: Workspace) -> None:
    workspace.make()
    workspace.services.mkdir()
    record_path(workspace).write_bytes(b"{")
    with pytest.raises(DamagedRecord, match=r"stsflow down.*stsflow up"):
        recorded(workspace)
    down(workspace)
    assert not record_path(workspace).exists()
