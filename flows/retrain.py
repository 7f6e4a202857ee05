"""The nightly look: has any source changed since the last training? Only then is the recipe run."""

from __future__ import annotations

import json
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.variables import Variable

from stsflow.flows.approval import ask_in_prefect, asked_before
from stsflow.flows.finetune import finetune
from stsflow.flows.push import push_as_asked
from stsflow.flows.summary import RunSummary
from stsflow.tasks.data.state import source_states
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.tracking.task import connect_tracking


class Seen(Record):
    """What the last training was made from."""

    recipe: str
    """Fingerprint of the recipe."""
    sources: dict[str, str]
    """Digest of each source's state (revision, ETag or hash), by training set or suite."""

    def reasons_against(self, earlier: Seen | None) -> list[str]:
        """Why a training from this state would differ from one of `earlier`; empty when it would not."""
        if earlier is None:
            return ["there is no earlier training of this recipe on record"]
        reasons = ["the recipe changed"] if self.recipe != earlier.recipe else []
        for name, state in self.sources.items():
            if name not in earlier.sources:
                reasons.append(f"{name} is new")
            elif earlier.sources[name] != state:
                reasons.append(f"{name} changed")
        return reasons + [f"{name} is gone" for name in earlier.sources if name not in self.sources]


def run_name() -> str:
    """`retrain-<recipe>`, so that a list of nights can be read."""
    recipe: Any = flow_run.parameters["recipe"]
    return f"retrain-{recipe.name if isinstance(recipe, RunConfig) else recipe['name']}"


@flow(name="retrain", flow_run_name=run_name)
def retrain(recipe: RunConfig, force: bool = False) -> State[Any]:
    """Run `recipe` when a source's revision, ETag or hash, or the recipe itself, is not what the last training saw.

    Ends in the state `Skipped`, with the reason, when nothing changed. What was seen is remembered only after the
    training has succeeded, so that a failed night is tried again. `force` trains in any case.
    """
    workspace = Workspace.here()
    if (asked := asked_before(workspace, flow_run.id or "")) is not None:
        return Completed(message=_answered(recipe, asked).release)
    seen = look_at_sources(recipe)
    earlier = remembered(recipe.name)
    reasons = ["asked for"] if force else seen.reasons_against(earlier)
    if not reasons:
        message = f"skipped: none of {len(seen.sources)} sources changed since the last training"
        return Completed(name="Skipped", message=message)
    get_run_logger().info("training, because %s", "; ".join(reasons))
    summary = finetune(recipe)
    remember(recipe.name, seen)
    if summary.approval is not None:
        _answered(recipe, summary)
    return Completed(message=f"trained, because {'; '.join(reasons)}")


def _answered(recipe: RunConfig, summary: RunSummary) -> RunSummary:
    """The summary after a person's answer, which this flow run waits for: `finetune` runs inside it, and cannot."""
    store = connect_tracking(Workspace.here())
    return push_as_asked(recipe.release, store, ask_in_prefect(store, summary))


@task(name="look at sources", retries=3, retry_delay_seconds=30)
def look_at_sources(recipe: RunConfig) -> Seen:
    """The state of every source of training sets and suites now. Asks for heads and hashes, downloads nothing.

    A source that the recipe pins (a commit, a hash) cannot change until the recipe does.
    """
    states = source_states(recipe.data, recipe.evaluation.suites, recipe.mining)
    return Seen(
        recipe=fingerprint(recipe.model_dump(mode="json")),
        sources={name: fingerprint(state)[:16] for name, state in sorted(states.items())},
    )


def variable_name(recipe_name: str) -> str:
    """Name of the Prefect variable that holds what the last training of a recipe saw."""
    return "stsflow_seen_" + recipe_name.replace("-", "_").replace(".", "_")


def remembered(recipe_name: str) -> Seen | None:
    """What the last training of the recipe saw, or None. A text of another version counts as none: train once more."""
    try:
        value = Variable.get(variable_name(recipe_name))
    except ObjectNotFound:
        return None
    if value is None:
        return None
    try:
        return Seen.model_validate(value if isinstance(value, dict) else json.loads(str(value)))
    except ValueError:
        return None


def remember(recipe_name: str, seen: Seen) -> None:
    """Keep `seen` in the Prefect variable of the recipe: every worker, on whatever machine, looks there."""
    Variable.set(variable_name(recipe_name), seen.model_dump(mode="json"), overwrite=True)
