"""What promotion rules said, and what became of a model."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.looks import Look


def in_minutes(moment: str) -> str:
    """`2026-11-28 10:00 UTC`, of a moment in UTC as ISO 8601 writes it."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"


class RuleOutcome(Record):
    """What one promotion rule says."""

    rule: str
    holds: bool
    reason: str
    numbers: dict[str, float] = {}


class GatedExport(Record):
    """A form of the model beside its own folder, such as an ONNX file, and what the gate said of it."""

    name: str
    """As the recipe calls it: `onnx`, `int8`."""
    path: str
    """Its folder, relative to the run's folder."""
    digest: str
    """Of the folder's content."""
    passed: bool
    reason: str
    """One sentence: why it is released, or why not."""

    @property
    def place(self) -> str:
        """Where it lies among the artifacts of the registered version; nothing there is ever replaced."""
        return f"exports/{self.name}-{self.digest[:12]}"


class Basis(Record):
    """What a decision stands on. When any of it is another one, the decision says nothing any more."""

    weights: str
    """Digest of the candidate."""
    evidence: str
    """Fingerprint of its scores, the rules and the guards."""
    champion: str | None = None
    """Version that was champion; None when there was none."""
    champion_weights: str | None = None


class Approval(Record):
    """A person's yes to a version: when it was asked for, and how that ended."""

    state: Literal["waiting", "approved", "refused", "timed out", "superseded"]
    basis: Basis
    """What the person was asked on; anything else has to be decided anew."""
    reason: str
    """What the decision says."""
    asked: str
    until: str
    """No answer by then is a no. Both in UTC, as ISO 8601 writes it."""
    who: str = ""
    why: str = ""
    when: str = ""
    flow_run_id: str = ""
    """Prefect's flow run that waits for the answer, where one does."""

    def is_over(self, now: datetime) -> bool:
        """Whether it waits and the time for an answer is over."""
        return self.state == "waiting" and now >= datetime.fromisoformat(self.until)

    def in_words(self) -> str:
        """`approved by anna on 2026-11-28 10:00 UTC: read the errors`."""
        if self.state == "waiting":
            return f"waits for a person's yes until {in_minutes(self.until)}"
        if self.state == "timed out":
            return f"not promoted: nobody answered until {in_minutes(self.until)}, which is a no"
        if self.state == "superseded":
            return f"not promoted: {self.why} before anybody had answered"
        said = f"{self.state} by {self.who} on {in_minutes(self.when)}: {self.why}"
        return said if self.state == "approved" else f"not promoted: {said}"


class Release(Record):
    """What happened to the model after the card was written."""

    registered_as: str | None = None
    version: str | None = None
    promoted: bool = False
    """Whether it became champion."""
    previous: str | None = None
    """Version that was champion before, when this one took its place."""
    wins: bool = False
    """Whether every rule and every guard holds: what the decision says before anything is moved."""
    basis: Basis | None = None
    """What that decision stands on; None where nothing was decided."""
    approval: Approval | None = None
    """A person's yes, where the recipe asks for one and the rules let the candidate through."""
    exports: tuple[GatedExport, ...] = ()
    outcomes: tuple[RuleOutcome, ...] = ()
    looks: tuple[Look, ...] = ()
    """What the decision took of the error budget of each test set that a rule claims a gain on."""
    how: str = ""
    """How the version came about: `registered`, or registered before by a run that made the same weights."""
    reason: str = ""
    """One sentence: why it was or was not promoted."""

    @property
    def sentence(self) -> str:
        """What was registered, and whether it was promoted."""
        registered = f"{self.how} as {self.registered_as} version {self.version}; " if self.how else ""
        return registered + self.decision

    @property
    def decision(self) -> str:
        """What the rules said, and a person where one was asked."""
        if self.approval is None:
            return self.reason
        if self.approval.state == "approved":
            return f"{self.reason}; {self.approval.in_words()}"
        return f"{self.approval.in_words()}; the rules: {self.reason.removeprefix('promoted: ')}"


class HubPush(Record):
    """What a push left on the hub."""

    repo: str
    version: str
    """Version of the registered model that lies there."""
    revision: str
    """Branch, or `refs/pr/<number>`."""
    commit: str
    url: str
    """Page of the commit."""
    pull_request: str = ""
    """Page of the pull request; empty where there is none."""
    uploaded: tuple[str, ...] = ()
    """Files that were new or had changed."""
    removed: tuple[str, ...] = ()
    """Files of an earlier push that the release no longer has."""
    unchanged: int = 0
    """Files that were there already."""

    @property
    def sentence(self) -> str:
        """What was done and where it is."""
        place = self.pull_request or self.url
        if not (self.uploaded or self.removed):
            return f"{self.repo} holds version {self.version} already, nothing was committed: {place}"
        gone = f", {len(self.removed)} removed" if self.removed else ""
        done = f"{len(self.uploaded)} files uploaded{gone}, {self.unchanged} unchanged"
        return f"version {self.version} pushed to {self.repo}, {self.revision} ({done}): {place}"
