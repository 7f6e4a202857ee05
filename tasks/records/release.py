"""What promotion rules said, and what became of a model."""

from __future__ import annotations

from stsflow.tasks.ground.schema import Record


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
    exports: tuple[GatedExport, ...] = ()
    outcomes: tuple[RuleOutcome, ...] = ()
    how: str = ""
    """How the version came about: `registered`, or registered before by a run that made the same weights."""
    reason: str = ""
    """One sentence: why it was or was not promoted."""

    @property
    def sentence(self) -> str:
        """What was registered, what was left out of it, and whether it was promoted."""
        kept_out = [f"the export {one.name} is not released: {one.reason}" for one in self.exports if not one.passed]
        registered = [f"{self.how} as {self.registered_as} version {self.version}"] if self.how else []
        return "; ".join([*registered, *kept_out, self.reason])
