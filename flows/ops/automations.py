"""What Prefect does by itself about our runs: ends those whose process is gone, and tells a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from pydantic import SecretStr

from stsflow.flows.ops.champion_event import APPROVAL_WANTED, CHAMPION_CHANGED

FLOWS = ["finetune", "assess", "retrain"]
HEARTBEAT_WINDOW_SECONDS = 300
"""Ten beats of a worker made by `stsflow up`, and more than one of a run by hand with Prefect's default of 180 s: a
busy run that is late by a beat must not be called dead."""
WEBHOOK_BLOCK = "stsflow-notifications"
QUIET_STATES = ("Completed", "Failed", "Crashed", "Cancelled", "Cancelling", "Paused", "Suspended")
"""After one of these a run has no heart that beats: it is over, or waits for a person's yes without a process."""
QUIET_EVENTS = {f"prefect.flow-run.{state}" for state in QUIET_STATES}


def heartbeat_automation(window_seconds: int) -> AutomationCore:
    """Calls a run crashed when its heart has been silent for the window: its process is gone and nobody said so."""
    return AutomationCore(
        name="stsflow: heartbeat",
        description="A run whose process vanished (power, kill -9, a lost machine) ends as crashed.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_our_flows(),
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *QUIET_EVENTS},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=window_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"no heartbeat for {window_seconds} s: the process is gone"
            )
        ],
    )


def notification_automations(webhook: UUID) -> list[AutomationCore]:
    """Tell the webhook about every run of ours that failed or crashed, every new champion, every yes that is wanted."""
    failed = (
        '{"event": "run failed", "flow_run": {{ flow_run.name | tojson }}, "state": {{ flow_run.state.name | tojson }},'
        ' "message": {{ (flow_run.state.message or "") | tojson }}, "url": {{ flow_run | ui_url | tojson }}}'
    )
    champion = (
        '{"event": "champion changed", "model": {{ event.payload.model | tojson }},'
        ' "version": {{ event.payload.version | tojson }}, "previous": {{ event.payload.previous | tojson }},'
        ' "reason": {{ event.payload.reason | tojson }}}'
    )
    wanted = (
        '{"event": "approval wanted", "model": {{ event.payload.model | tojson }},'
        ' "version": {{ event.payload.version | tojson }}, "until": {{ event.payload.until | tojson }},'
        ' "reason": {{ event.payload.reason | tojson }}}'
    )
    return [
        AutomationCore(
            name="stsflow: approval wanted",
            description="Tells the webhook about a candidate that waits for a person's yes.",
            trigger=_reactive({APPROVAL_WANTED}, "stsflow.registered-model.*", {}),
            actions=[CallWebhook(block_document_id=webhook, payload=wanted)],
        ),
        AutomationCore(
            name="stsflow: run failed",
            description="Tells the webhook about a run that failed or crashed.",
            trigger=_reactive(
                {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}, "prefect.flow-run.*", _our_flows()
            ),
            actions=[CallWebhook(block_document_id=webhook, payload=failed)],
        ),
        AutomationCore(
            name="stsflow: champion changed",
            description="Tells the webhook about a new champion of a registered model.",
            trigger=_reactive({CHAMPION_CHANGED}, "stsflow.registered-model.*", {}),
            actions=[CallWebhook(block_document_id=webhook, payload=champion)],
        ),
    ]


def make_automation(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Create the automation, or update the one of that name; a second one of the same name is never made."""
    present = client.read_automations_by_name(wanted.name)
    if not present:
        client.create_automation(wanted)
        return
    known = wanted.model_dump(mode="json", exclude={"owner_resource"})  # the server's update refuses that field
    client.update_automation(present[0].id, AutomationCore.model_validate(known))


def save_webhook(url: str) -> UUID:
    """Keep the webhook's address in an encrypted block; return the block's id."""
    block = Webhook(method="POST", url=SecretStr(url), headers={"Content-Type": "application/json"})
    return block.save(WEBHOOK_BLOCK, overwrite=True)  # type: ignore[return-value]  # sync here, typed as both


def _reactive(expect: set[str], resource: str, related: Mapping[str, Any]) -> EventTrigger:
    return EventTrigger(
        match={"prefect.resource.id": resource},
        match_related=dict(related),
        expect=expect,
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _our_flows() -> dict[str, Any]:
    return {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
