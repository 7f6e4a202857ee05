"""Events that automations listen for."""

from __future__ import annotations

from prefect.events import emit_event

CHAMPION_CHANGED = "stsflow.champion.changed"
APPROVAL_WANTED = "stsflow.approval.wanted"


def announce_champion(model: str, version: str, previous: str | None, reason: str) -> None:
    """Tell Prefect that the alias `champion` of the registered model moved; an automation passes it on."""
    emit_event(
        event=CHAMPION_CHANGED,
        resource={"prefect.resource.id": f"stsflow.registered-model.{model}", "prefect.resource.name": model},
        payload={"model": model, "version": version, "previous": previous, "reason": reason},
    )


def announce_question(model: str, version: str, until: str, reason: str) -> None:
    """Tell Prefect that a version of the registered model waits for a person's yes."""
    emit_event(
        event=APPROVAL_WANTED,
        resource={"prefect.resource.id": f"stsflow.registered-model.{model}", "prefect.resource.name": model},
        payload={"model": model, "version": version, "until": until, "reason": reason},
    )
