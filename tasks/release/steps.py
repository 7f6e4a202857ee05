"""A release in its order: decide, gate, register what passed, move the alias.

Each step is written down, in the run's folder and in its journal, before the next one begins, and finds by itself what
an earlier process has done of it: a release that was killed anywhere goes on from there, and until its last step the
champion is the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.workspace import RunFolder
from stsflow.tasks.records.release import Basis, GatedExport, Release
from stsflow.tasks.release.promotion import ChampionMoved, settle, still_stands
from stsflow.tasks.tracking import entries
from stsflow.tasks.tracking.journal import Artifacts, Model
from stsflow.tasks.tracking.registry import Registry
from stsflow.tasks.tracking.relay import Relay

PATIENCE_SECONDS = 60.0
TIMES = 5
"""How often a decision is made anew, because the champion moved meanwhile, before the release gives up."""


class NotRegistered(Exception):
    """The tracker is away or refuses: there is no version, and the old champion stays. The text says why."""


@dataclass(frozen=True)
class Steps:
    """The steps of one run's release as the registered model `name`."""

    relay: Relay
    folder: RunFolder
    run_name: str
    name: str
    approval_hours: float | None = None
    """Hours that a person has for a yes, where one is needed."""

    @property
    def registry(self) -> Registry:
        """Where the model is registered."""
        return self.relay.store.registry

    def decided(self, now: Callable[[], Basis], decide: Callable[[Basis], Release]) -> Release:
        """The decision: the one on record while its basis holds, else a new one."""
        require_sent_so_far(self.relay, self.name)
        basis, earlier = now(), Release.load_or_none(self.folder.decision)
        if earlier is not None and earlier.registered_as == self.name and still_stands(earlier, basis):
            return earlier
        return self._written("decided", decide(basis))

    def gated(self, decision: Release, exports: Sequence[GatedExport]) -> Release:
        """The decision with what the gate said of each export; the model itself passed by the decision's own rules."""
        if decision.exports == tuple(exports):
            return decision
        return self._written("gated", decision.model_copy(update={"exports": tuple(exports)}))

    def registered(self, decision: Release, model: Model) -> Release:
        """The decision with the version's number, which holds the model and the exports that passed.

        Raises NotRegistered when the tracker does not take it.
        """
        wanted = model.model_copy(update={"register_as": self.name, "exports": decision.exports})
        self.relay.journal.append_once(wanted)
        require_sent_so_far(self.relay, self.name)
        version = self.registry.version_with(self.name, model.digest)
        if version is None:
            if refused := self.relay.refused:
                raise NotRegistered(f"MLflow refuses ({'; '.join(refused.values())})")
            raise PreconditionError(
                f"MLflow at {self.relay.store.shown_uri} holds no version of {self.name!r} with the weights of "
                f"{self.run_name}"
            )
        return self._written("registered", decision.model_copy(update={"version": version}))

    def settled(self, decision: Release) -> Release:
        """The release with the aliases moved; raises ChampionMoved where it has to be decided anew."""
        result = settle(self.registry, self.name, str(decision.version), decision, self.approval_hours)
        return self._written("settled", result)

    def _written(self, step: str, release: Release) -> Release:
        release.write(self.folder.decision)
        self.relay.journal.append_once(entries.release_step(step, release))
        return release


def carry_out(
    steps: Steps, now: Callable[[], Basis], decide: Callable[[Basis], Release], exports: Sequence[GatedExport],
    model: Model,
) -> Release:  # fmt: skip
    """All the steps, from the first that is not done; decided anew as long as the champion moves meanwhile."""
    for left in reversed(range(TIMES)):
        try:
            decision = steps.gated(steps.decided(now, decide), exports)
            return steps.settled(steps.registered(decision, model))
        except ChampionMoved:
            if not left:
                raise
        except NotRegistered as why_not:
            return Release(registered_as=steps.name, reason=f"not registered: {why_not}")
    raise AssertionError("unreachable")


def record(relay: Relay, folder: Path, release: Release) -> None:
    """How the release ended, in the run's folder and its journal."""
    release.write(RunFolder(folder).decision)
    for entry in [*entries.release(release), Artifacts(path="release", folder="release")]:
        relay.journal.append_once(entry)


def require_sent_so_far(relay: Relay, name: str) -> None:
    """Raise NotRegistered unless the tracker has, or has refused, everything up to now."""
    if relay.finish(patience_seconds=PATIENCE_SECONDS) or relay.refused:
        return
    what = "refuses this user" if relay.no_access else "is away"
    raise NotRegistered(
        f"MLflow {what} ({relay.last_error}); when it takes the record, run the recipe again: what was made is "
        f"reused, and {quote(name)} is decided on"
    )
