"""A signature over a card, its facts, its figures and the weights beside it, in minisign's format.

What is signed is SHA256SUMS, the list of every file of the model folder as `sha256sum` writes it, so that whoever has
no stsflow checks the same with `minisign -V` and `sha256sum -c`. Both files lie beside the weights and are no part of
the model's digest. https://jedisct1.github.io/minisign/ describes the format (Ed25519).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stsflow.tasks.card.card_text import Problem
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.files import links_that_leave, write_bytes_atomically, write_text_atomically
from stsflow.tasks.ground.fingerprint import HUB_FILES, SIGNATURE, SIGNED_LIST, sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_VARIABLE, PASSWORD_VARIABLE = "STSFLOW_SIGNING_KEY", "STSFLOW_SIGNING_PASSWORD"
"""Environment: the file of the secret key where nothing else names one, and its password."""
LARGEST_FILE = 64 * 2**20
"""Bytes of a list, and far more than any key or signature has."""


@dataclass(frozen=True)
class Signed:
    """A folder that was signed."""

    signature: Path
    key_id: str
    """As minisign prints it."""
    files: int


@dataclass(frozen=True)
class SignatureCheck:
    """What a signature is worth to who holds the public key."""

    key_id: str
    comment: str
    """What the signer said of it, under the signature; empty where that does not hold."""
    problems: list[Problem]


class SigningKey:
    """The person's secret key, which stays in this object: no text of it is written, logged or recorded."""

    def __init__(self, path: Path, ask: Callable[[], str] | None = None) -> None:
        """Read the file that `minisign -G` wrote. Its password comes from STSFLOW_SIGNING_PASSWORD, else from `ask`.

        Raises PreconditionError when it cannot be read, is no such key, or the password does not open it.
        """
        minisign = _library()
        try:
            self._key = minisign.SecretKey.from_bytes(_read(path))
        except minisign.Error:
            raise PreconditionError(f"{path} is no secret key of minisign; make one with: minisign -G") from None
        if self._key.is_encrypted():
            password = os.environ.get(PASSWORD_VARIABLE) or (ask() if ask is not None else "")
            if not password:
                raise PreconditionError(
                    f"the key {path} has a password: set {PASSWORD_VARIABLE}, or sign with `stsflow sign-card` in a "
                    "terminal, which asks for it; `minisign -G -W` makes a key without one"
                )
            try:
                self._key.decrypt(password)
            except minisign.Error:
                raise PreconditionError(f"the password does not open the key {path}") from None

    @property
    def public(self) -> str:
        """The public key, as `minisign -P` and `--signed-by` take it."""
        return str(self._key.get_public_key().to_base64().decode("ascii"))

    def sign(self, folder: Path) -> Signed:
        """Write SHA256SUMS of the model in `folder` and its signature, in place of earlier ones."""
        leaving = links_that_leave(folder)
        if leaving:
            raise PreconditionError(f"{leaving[0]} is a link out of its folder: what it points to cannot be signed")
        sums = _sums(folder)
        odd = [name for name in sums if "\n" in name or "\\" in name]
        if odd:
            raise PreconditionError(f"{folder}: the name {odd[0]!r} cannot stand in a list of `sha256sum`; rename it")
        text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        (folder / SIGNATURE).unlink(missing_ok=True)  # a kill in between leaves no signature of another list
        write_text_atomically(folder / SIGNED_LIST, text)
        comment = f"timestamp:{time.time():.0f}\tfile:{SIGNED_LIST}\thashed"
        signature = self._key.sign(text.encode("utf-8"), trusted_comment=comment)
        write_bytes_atomically(folder / SIGNATURE, bytes(signature).rstrip(b"\n") + b"\n")
        return Signed(folder / SIGNATURE, _shown(self._key.get_public_key()), len(sums))


def signing_key_file(named: Path | None) -> Path:
    """The file of the secret key: the one that is named, else the environment's; raises PreconditionError."""
    found = named or Path(os.environ.get(KEY_VARIABLE, ""))
    if found == Path():
        raise PreconditionError(f"no key to sign with: name its file, or set {KEY_VARIABLE} to it")
    return found.expanduser()


def is_signed(model: Path) -> bool:
    """Whether a signature lies in the model folder, good or not."""
    return (model / SIGNATURE).is_file()


def check_signature(model: Path, signed_by: str) -> SignatureCheck:
    """What holds of the signature in the model folder by the public key `signed_by` (its file, or its text).

    Nothing that the list names is opened: it is compared with the files that are there. Raises PreconditionError when
    the public key is none.
    """
    minisign, public = _library(), _public_key(signed_by)
    key_id = _shown(public)
    if not is_signed(model) or not (model / SIGNED_LIST).is_file():
        missing = SIGNATURE if not is_signed(model) else SIGNED_LIST
        return SignatureCheck(key_id, "", [Problem(missing, "It is missing: nothing here is signed.")])
    listed = _read(model / SIGNED_LIST)
    try:
        signature = minisign.Signature.from_bytes(_read(model / SIGNATURE))
        public.verify(listed, signature)
    except minisign.VerifyError:
        message = f"The signature is not one of {SIGNED_LIST} by the key {key_id}."
        return SignatureCheck(key_id, "", [Problem(SIGNATURE, message)])
    except minisign.Error:
        return SignatureCheck(key_id, "", [Problem(SIGNATURE, "It is no signature of minisign.")])
    return SignatureCheck(key_id, str(signature.trusted_comment), _differences(_listed(listed), _sums(model)))


def _differences(listed: dict[str, str], there: dict[str, str]) -> list[Problem]:
    """Files that are not those that were signed: changed, gone, added."""
    problems = []
    for name in sorted(listed.keys() | there.keys()):
        if name not in there:
            problems.append(Problem(name, "It was signed and is gone."))
        elif name not in listed:
            problems.append(Problem(name, "It was not there when the folder was signed."))
        elif listed[name] != there[name]:
            problems.append(Problem(name, "It is not the file that was signed."))
    return problems


def _sums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the folder but the list, its signature and the hub's own, by name there, sorted."""
    beside = {SIGNED_LIST, SIGNATURE, *HUB_FILES}
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in beside
    }


def _listed(content: bytes) -> dict[str, str]:
    """Name to digest, of a list as `sha256sum` writes it."""
    lines = content.decode("utf-8", errors="replace").splitlines()
    return {line[66:]: line[:64] for line in lines if len(line) > 66}


def _public_key(signed_by: str) -> Any:
    minisign, path = _library(), Path(signed_by).expanduser()
    try:
        if path.is_file():
            return minisign.PublicKey.from_bytes(_read(path))
        return minisign.PublicKey.from_base64(signed_by)
    except (minisign.Error, OSError, ValueError):
        raise PreconditionError(
            f"--signed-by {signed_by}: this is no public key of minisign; give the file that `minisign -G` wrote "
            "(minisign.pub), or the 56 characters in its second line"
        ) from None


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise PreconditionError(f"{path} is too large for a key, a signature or a list of files")
        return path.read_bytes()
    except OSError as error:
        raise PreconditionError(f"{path} cannot be read: {error.strerror or error}") from None


def _shown(public: Any) -> str:
    """The number of a public key as minisign prints it: eight bytes, little endian, in hexadecimal."""
    import base64

    return base64.b64decode(public.to_base64())[2:10][::-1].hex().upper()


def _library() -> Any:
    try:
        import minisign
    except ImportError:
        raise PreconditionError(
            "signatures need py-minisign, which is not installed: pip install 'stsflow[sign]'"
        ) from None
    return minisign
