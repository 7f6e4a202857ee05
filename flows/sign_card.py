"""A model with its card signed by its maker: `stsflow sign-card`, and `release.sign` of a recipe."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from stsflow.tasks.card.signature import SigningKey, signing_key_file
from stsflow.tasks.card.verify import locate, verify_card
from stsflow.tasks.ground.errors import CheckFailed
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.recipe.sections import RunConfig


class SignedFolder(Record):
    """What was signed, and how to check it."""

    folder: Path
    signature: Path
    files: int
    key_id: str
    public_key: str
    added_by_hand: int
    """Additions in the card that no record makes, signed with the rest."""


def signing_key(recipe: RunConfig) -> SigningKey | None:
    """The key that the recipe signs with, opened before work begins; None where it signs nothing.

    Raises PreconditionError when it is not there, is no key, or its password is not in the environment.
    """
    return None if recipe.release.sign is None else SigningKey(signing_key_file(recipe.release.sign.key))


def sign_folder(folder: Path, key: Path | None, ask: Callable[[], str] | None = None) -> SignedFolder:
    """Sign the model in `folder` (a run's or a model's) with its card.

    Raises CheckFailed for a card that contradicts its own records, which nobody should sign; PreconditionError for a
    folder without a model, or a key that cannot be used.
    """
    opened = SigningKey(signing_key_file(key), ask)
    model, _ = locate(folder)
    found = verify_card(folder, tools=None)
    if found.kind == "stsflow" and found.problems:
        first = found.problems[0]
        raise CheckFailed(
            f"{found.card} does not hold ({first.place}: {first.message}), and was not signed; all that is wrong says: "
            f"stsflow verify-card {folder}"
        )
    signed = opened.sign(model)
    return SignedFolder(
        folder=model, signature=signed.signature, files=signed.files, key_id=signed.key_id,
        public_key=opened.public, added_by_hand=len(found.added),
    )  # fmt: skip


def ask_for_password() -> str:
    """The password of the key, from the terminal; empty where nobody sits at one."""
    return getpass.getpass("password of the key: ", stream=sys.stderr) if sys.stdin.isatty() else ""


def print_signed(signed: SignedFolder, console: Console) -> None:
    """What was signed, and the command that checks it."""

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    if signed.added_by_hand:
        say(f"with {signed.added_by_hand} addition(s) by hand, which no record makes")
    say(f"{signed.folder}: {signed.files} files signed with the key {signed.key_id}: {signed.signature.name}")
    say(f"checked by: stsflow verify-card {signed.folder} --signed-by {signed.public_key}")
