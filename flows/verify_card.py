"""`stsflow verify-card`: a card checked against the weights beside it, with the functions that wrote it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from rich.console import Console

from stsflow.flows.card_places import Places
from stsflow.tasks.card.measured_again import Tools
from stsflow.tasks.card.verify import VerifyResult, verify_card
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.release import Approval, Release
from stsflow.tasks.release.approval import approval_of


def verify(
    named: str, *, data: Path | None = None, recipe: RunConfig | None = None, signed_by: str | None = None
) -> VerifyResult:
    """What holds of the card of `named` (a folder, or `models:/name@alias`).

    The rows are read below the folder `data`, or as the person's own `recipe` says, or as the run's record in this
    workspace says. A card's own recipe names no place that is read without one of these: only generated rows are made
    from it. `signed_by` is the public key of whoever must have signed the folder: its file, or its text.
    """
    workspace = Workspace.here()
    folder, said = _folder_of(named, workspace)
    with tempfile.TemporaryDirectory(prefix="verify-card-") as temporary:
        places = Places(folder, workspace, Path(temporary), data, recipe)
        tools = Tools(read_rows=places.read_rows, find_base=places.find_base, measure_tokens=places.measure_tokens)
        result = verify_card(folder, tools=tools, find_record=places.find_record, signed_by=signed_by)
    return result.model_copy(update={"notes": (*result.notes, *said)})


def _folder_of(named: str, workspace: Workspace) -> tuple[Path, list[str]]:
    """The folder of the model, and what a person said when it was released: no card, made before, can say it."""
    if not named.startswith("models:/"):
        folder = Path(named)
        run = folder if (folder / "run.json").is_file() else folder.parent
        release = Release.load_or_none(RunFolder(run).decision)
        return folder, _said(release.approval if release else None, "its run's release")
    from stsflow.tasks.tracking.store import Store
    from stsflow.tasks.tracking.store_address import check_reachable

    check_reachable(workspace)
    registry = Store(workspace).registry
    found = registry.by_uri(named)
    return found.path, _said(approval_of(registry, found.name, found.version), f"version {found.version}")


def _said(approval: Approval | None, about: str) -> list[str]:
    return [] if approval is None else [f"{about}: {approval.in_words()}."]


def print_verification(result: VerifyResult, console: Console) -> None:
    """What does not hold, what was not compared, who vouches for what; and the verdict."""

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    for problem in result.problems:
        say(f"{problem.place}: {problem.message}")
    for addition in result.added:
        lines = [json.dumps(line, ensure_ascii=False) for line in addition.text.split("\n") if line.strip()]
        say(f"added by hand: {addition.place}: {' '.join(lines) or 'empty lines'}")
    for sentence in result.not_compared:
        say(f"not compared: {sentence}")
    for note in result.notes:
        say(f"note: {note}")
    if result.kind == "stsflow" and (result.compared or result.unvouched):
        record = f"the run's record ({result.record})" if result.record else "the run's record, which is not at hand"
        say(f"measured again: {result.measured:,} facts; compared with {record}: {result.recorded:,}")
        if result.unvouched:
            groups = ", ".join(f"{name} ({count:,})" for name, count in result.unvouched.items())
            say(f"the run's word, nobody here vouches for: {sum(result.unvouched.values()):,} facts: {groups}")
        for text in result.unvouched_texts:
            say(f"the run's word, nobody here vouches for: {text}")
    if result.signed_by:
        say(f"signed by the key {result.signed_by}: card, weights and facts are those that were signed")
    verdict = {
        "holds": "holds",
        "does not hold": f"does not hold: {len(result.problems):,} problem(s)",
        "signed": "signed: nothing speaks against it; no score of the model could be compared here",
        "not compared": "not compared: nothing speaks against it, but no score of the model could be compared",
    }[result.outcome]
    beside = f"; {len(result.added):,} addition(s) by hand, which no record makes" if result.added else ""
    say(f"{result.card}: {verdict}{beside}")
