"""What a check found."""

from __future__ import annotations

from typing import Literal

from stsflow.tasks.ground.schema import Record


class Finding(Record):
    """Something that a check found, with what to do about it."""

    severity: Literal["info", "warning", "error"]
    """`error`: the run is refused. `warning`: it goes on, and the card says so."""
    code: str
    """Stable short name, such as `exposure.low` or `leakage.shared_sentences`."""
    subject: str
    """What it is about: a data set, a suite, a field of the recipe."""
    message: str
    """One sentence with the numbers."""
    remedy: str = ""
    """What to change; empty when there is nothing to do."""
    numbers: dict[str, float] = {}
    """The numbers of the message, by name."""

    def in_words(self) -> str:
        """What it is about, where the message does not say so itself, then message and remedy."""
        about = "" if self.subject in self.message else f"{self.subject}: "
        return f"{about}{self.message} {self.remedy}".strip()
