"""`stsflow promote NAME --history`: who became champion, and how much evidence the test sets still hold."""

from __future__ import annotations

from rich.console import Console

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.names import MODEL
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.records.looks import Account, Look
from stsflow.tasks.release.accounts import accounts_of
from stsflow.tasks.release.looks import looks_of
from stsflow.tasks.release.trail import Step, steps_of
from stsflow.tasks.tracking.task import connect_tracking


class History(Record):
    """What was decided about a registered model."""

    registered_as: str
    steps: tuple[Step, ...]
    """Of the trail, oldest first."""
    accounts: tuple[Account, ...]
    """One for each test set that decisions looked at."""
    looks: tuple[Look, ...]
    """Oldest first."""


def history_of(name: str) -> History:
    """The trail and the ledger of the registered model; raises PreconditionError where there is neither."""
    MODEL.check("promote", name)
    registry = connect_tracking.fn(Workspace.here()).registry
    steps, looks = steps_of(registry, name), sorted(looks_of(registry, name).values(), key=lambda look: look.when)
    if not steps and not looks:
        raise PreconditionError(f"nothing was ever decided about a registered model {name!r} in {registry.shown_uri}")
    return History(registered_as=name, steps=tuple(steps), accounts=tuple(accounts_of(looks)), looks=tuple(looks))


def print_history(history: History, console: Console) -> None:
    """The history for a person: the trail, then each test set with its looks."""
    for step in history.steps:
        versions = " to ".join(f"version {one}" for one in (step.old, step.new) if one)
        _say(console, f"{step.when}  {step.what}: {versions}, by {step.who}: {step.why}")
    for account in history.accounts:
        _say(console, f"\n{in_words(account)}")
        for look in history.looks:
            if look.rows_digest == account.rows_digest:
                _say(console, f"  {_look_in_words(look)}")


def in_words(account: Account) -> str:
    """How much evidence is left in a test set, what level the next decision has, and the rows that it needs."""
    whole = f"{100 * account.budget.level:g} %{' a year' if account.budget.per == 'year' else ''}"
    text = (
        f"{', '.join(account.suites)} ({account.rows:,} rows, {account.rows_digest[:12]}): {account.looks} "
        f"{'look' if account.looks == 1 else 'looks'}; {account.left:.0%} of the error budget of {whole} is left"
    )
    if not account.next_level:
        return f"{text}; the next decision has no level: fresh rows restore it"
    needs = ", ".join(f"{float(gain):g}: {rows:,}" for gain, rows in account.rows_for.items())
    return f"{text}; the next decision has the level {account.next_level:.2g}, and by true gain needs rows: {needs}"


def _look_in_words(look: Look) -> str:
    at = f"level {look.level:.2g}" if look.budget is not None else "its own interval"
    return (
        f"{look.when:%Y-%m-%d %H:%M}  {look.candidate[:12]} against {look.champion[:12]}: {look.metric} "
        f"{look.difference:+.4f} (standard error {look.error:.4f}), at {at}, by {look.who}"
    )


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
