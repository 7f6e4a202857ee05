"""Two runs in one workspace at the same time: no work is done twice, and one trains at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import Chaos
from small_recipe import write_small_recipe

from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.training.events import Event, read_events

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_one_recipe_twice_and_another_that_shares_its_data(tmp_path: Path, tiny_bert: Path) -> None:
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    plain = ("--set", "release.register_as=null", "--set", "release.rules=[]", "--set", "training.max_steps=200",
             "--set", "training.epochs=100")  # fmt: skip
    workspace = Workspace(tmp_path / ".stsflow")
    same = Chaos(workspace, recipe, plain)
    other = Chaos(workspace, recipe, (*plain, "--set", "training.seed=7"))
    running = [same.start(), same.start(), other.start()]
    ends = [one.end(timeout=800) for one in running]
    assert [one.process.returncode for one in running] == [0, 0, 0], [errors[-2000:] for _, errors in ends]
    assert any("this recipe is being run by process" in " ".join(errors.split()) for _, errors in ends[:2])

    states = sorted(state.status for state in same.states)
    assert states == ["finished"] * 3 and set(same.flow_states().values()) == {"COMPLETED"}
    logs = [read_events(folder / "events.jsonl") for folder in workspace.root.glob("trainings/*")]
    assert len(logs) == 2 and all({event.attempt for event in events} == {1} for events in logs)
    first, second = sorted(_span(events) for events in logs)
    assert first[1] <= second[0], "two trainings held the one slot at the same time"


def _span(events: list[Event]) -> tuple[float, float]:
    return events[0].time, events[-1].time
