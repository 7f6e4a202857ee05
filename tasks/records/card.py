"""A written card."""

from __future__ import annotations

from pathlib import Path

from stsflow.tasks.ground.schema import Record


class CardRef(Record):
    """A written card."""

    path: Path
    """README.md in the run's card folder; a copy lies in the model folder."""
    facts: Path | None = None
    """facts.json: where every number of the card comes from."""
    figures: tuple[Path, ...] = ()
    sha256: str = ""

    def body(self) -> str:
        """The card without its YAML header, for places that show markdown and would show the header as text."""
        text = self.path.read_text(encoding="utf-8")
        return text.partition("\n---\n")[2].lstrip() if text.startswith("---\n") else text
