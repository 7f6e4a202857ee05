"""A person's yes: the evidence for whoever answers, the answer by command, and the flow run that waits in Prefect.

A run of a deployment is suspended: its process ends, nothing is held for the days that a person may take, and a worker
goes on with it when the answer is there. A run by hand has nobody who would go on with it: its candidate is left
waiting, and a command answers.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal
from uuid import UUID

from prefect import suspend_flow_run
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.input import RunInput
from pydantic import Field, StringConstraints

from stsflow.flows.ops.champion_event import announce_champion
from stsflow.flows.summary import RunSummary
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.trying_again import publish_artifact
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.release import Approval, Release, in_minutes
from stsflow.tasks.release.answers import approve, refuse
from stsflow.tasks.release.approval import approval_of, note, now
from stsflow.tasks.release.promotion import basis_of
from stsflow.tasks.tracking import entries, runs
from stsflow.tasks.tracking.store import Store

logger = logging.getLogger(__name__)

Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class Answer(RunInput):
    """What the form in Prefect asks for."""

    approve: bool = Field(description="Yes: it becomes champion. No: its weights stay out until they are readmitted.")
    who: Said = Field(description="Your name, for the record.")
    why: Said = Field(description="What you looked at, and why you decide so.")


class Asked(Record):
    """The file `release/asked.json`: a flow run was suspended with this question."""

    flow_run_id: str
    summary: RunSummary


def answer(store: Store, name: str, version: str, approved: bool, who: str, why: str) -> Release:
    """The release as a person's answer leaves it, in the registry, in MLflow's run and in the run's folder.

    Raises PreconditionError where nothing waits, where the champion or the evidence is not what was asked about, or
    where the time is over.
    """
    run_id = str(store.registry.model_version(name, version).run_id or "")
    if approved:
        _require_the_same_evidence(store, name, version, run_id)
    result = (approve if approved else refuse)(store.registry, name, version, who, why)
    write_down(store, run_id, result)
    if result.promoted:
        announce_champion(name, version, result.previous, result.decision)
    return result


def write_down(store: Store, run_id: str, result: Release) -> None:
    """Keep how a release ended after its run: in the run's folder where it is here, in the run's tags and files."""
    found = [folder for folder, state in runs.known_runs(store.workspace) if state.mlflow_run_id == run_id]
    whole = result
    for folder in found:
        before = Release.load_or_none(folder.decision)
        if before is not None and not result.outcomes:  # an answer says nothing of what was decided before
            said = {"approval": result.approval, "promoted": result.promoted, "previous": result.previous}
            whole = before.model_copy(update=said)
        whole.write(folder.decision)
    if not run_id or not store.knows_run(run_id):
        return
    store.tag_run(run_id, entries.release_tags(whole))
    with tempfile.TemporaryDirectory() as scratch:
        path = whole.write(Path(scratch) / "decision.json")
        store.client.log_artifact(run_id, str(path), "release")


def _require_the_same_evidence(store: Store, name: str, version: str, run_id: str) -> None:
    """Raise PreconditionError unless the run's record still holds the scores and rules that were decided on."""
    approval = approval_of(store.registry, name, version)
    if approval is None:
        return  # said better by whoever answers
    with tempfile.TemporaryDirectory() as scratch:
        for folder in _records(store, run_id, Path(scratch)):
            recipe, report = RunConfig.from_recipe(folder.recipe), EvaluationReport.load(folder.report("tuned"))
            guards = list(recipe.guards.values())
            if basis_of(store.registry, name, report, recipe.release.rules, guards).evidence != approval.basis.evidence:
                raise PreconditionError(
                    f"the scores or rules in {folder.root} are not those that version {version} of {name!r} was "
                    f"decided on; decide anew with: stsflow promote {quote(name)}"
                )


def _records(store: Store, run_id: str, scratch: Path) -> Iterator[RunFolder]:
    """The run's record: its folder where it is of this workspace, else what MLflow has."""
    for folder, state in runs.known_runs(store.workspace):
        if state.mlflow_run_id == run_id:
            yield folder
            return
    if (found := store.download_record(run_id, scratch / "record")) is None:
        raise PreconditionError(
            f"the record of the MLflow run {run_id} is neither in {store.workspace.root} nor whole in "
            f"{store.shown_uri}: without its evidence nothing is approved"
        )
    yield RunFolder(found)


def evidence_page(name: str, version: str, approval: Approval, release: Release) -> str:
    """What a person sees before the answer, as markdown."""
    against = approval.basis.champion
    lines = [
        f"**{name} version {version}** would become champion, "
        + (f"in the place of version {against}." if against else "the first one."),
        "",
        f"No answer until {in_minutes(approval.until)} is a no.",
        "",
        "| rule | holds | why |",
        "|---|---|---|",
        *(f"| {one.rule} | {'yes' if one.holds else 'no'} | {_cell(one.reason)} |" for one in release.outcomes),
        *(f"| export {e.name} | {'yes' if e.passed else 'no'} | {_cell(e.reason)} |" for e in release.exports),
    ]
    command = f"stsflow promote {quote(name)} --approve --by WHO --because WHY"
    return "\n".join([*lines, "", f"By command: `{command}`, or `--refuse`.", ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def ask_in_prefect(store: Store, summary: RunSummary) -> RunSummary:
    """The summary as it is after the answer, where this flow run can wait for one; else as it is.

    Suspends the flow run of a deployment the first time, and returns when it is started again with the answer. Where
    the champion has moved meanwhile nothing is promoted: the summary says that it has to be decided anew.
    """
    context = FlowRunContext.get()
    if summary.approval is None or summary.approval.state != "waiting" or context is None or context.flow_run is None:
        return summary
    flow_run, name, version = context.flow_run, str(summary.registered_as), str(summary.model_version)
    if flow_run.deployment_id is None or flow_run.parent_task_run_id is not None:
        return summary
    release = Release.load(RunFolder(summary.run_dir).decision)
    approval = approval_of(store.registry, name, version) or summary.approval
    if approval.state != "waiting":  # answered by command meanwhile, or too late
        return _with_the_answer(store, summary, name, version, approval)
    approval = approval.model_copy(update={"flow_run_id": str(flow_run.id)})
    note(store.registry, name, version, approval)
    Asked(flow_run_id=str(flow_run.id), summary=summary).write(RunFolder(summary.run_dir).asked)
    page = evidence_page(name, version, approval, release)
    publish_artifact(create_markdown_artifact, key="approval", markdown=page, description=f"{name} version {version}")
    seconds = int((datetime.fromisoformat(summary.approval.until) - now()).total_seconds())
    said = suspend_flow_run(
        wait_for_input=Answer.with_initial_data(description=page), timeout=max(seconds, 1),
        key=f"approval-{fingerprint(approval.basis)[:16]}",
    )  # fmt: skip
    state: Literal["approved", "refused"] = "approved" if said.approve else "refused"
    answer_given = approval.model_copy(update={"state": state, "who": said.who, "why": said.why})
    return _with_the_answer(store, summary, name, version, answer_given)


def _with_the_answer(store: Store, summary: RunSummary, name: str, version: str, given: Approval) -> RunSummary:
    """The summary after the answer `given`."""
    if given.state not in ("approved", "refused"):
        return summary.model_copy(update={"approval": given, "release": given.in_words()})
    try:
        release = answer(store, name, version, given.state == "approved", given.who, given.why)
    except PreconditionError as why_not:
        logger.warning("%s", why_not.message)
        now_said = approval_of(store.registry, name, version)
        return summary.model_copy(update={"approval": now_said, "release": f"not promoted: {why_not.message}"})
    logger.info("%s", release.decision)
    whole = Release.load_or_none(RunFolder(summary.run_dir).decision) or release
    return summary.model_copy(
        update={"approval": release.approval, "promoted": release.promoted, "release": whole.sentence}
    )


def asked_before(workspace: Workspace, flow_run_id: str) -> RunSummary | None:
    """The summary with which this flow run was suspended; None when it was not."""
    if not flow_run_id:
        return None
    for folder, _ in runs.known_runs(workspace):
        asked = Asked.load_or_none(folder.asked)
        if asked is not None and asked.flow_run_id == flow_run_id:
            return asked.summary
    return None


def tell_prefect(approval: Approval | None) -> None:
    """Let the flow run that waits for this answer go on; does nothing where none waits, or on another server."""
    if approval is None or not approval.flow_run_id:
        return
    said = {"approve": approval.state == "approved", "who": approval.who, "why": approval.why}
    try:
        with get_client(sync_client=True) as client:
            flow_run = client.read_flow_run(UUID(approval.flow_run_id))
            if flow_run.state is not None and flow_run.state.is_paused():
                client.resume_flow_run(flow_run.id, run_input=said)
    except ObjectNotFound:
        logger.info("the flow run %s that waited is not known to this Prefect server", approval.flow_run_id)
