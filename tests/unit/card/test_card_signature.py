"""A signature over card, weights and facts: ours holds for minisign, minisign's for us, every change is named."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_card import Finished

from stsflow.flows.sign_card import sign_folder, signing_key
from stsflow.tasks.card.evidence import portable_recipe
from stsflow.tasks.card.signature import SigningKey, check_signature
from stsflow.tasks.card.verify import verify_card
from stsflow.tasks.ground.errors import CheckFailed, PreconditionError
from stsflow.tasks.ground.fingerprint import sha256_of_model

minisign = pytest.importorskip("minisign", reason="the extra `sign` is not installed")
TOOL = shutil.which("minisign")
needs_the_tool = pytest.mark.skipif(TOOL is None, reason="the program minisign is not installed")
PASSWORD = "a password that nobody writes down"


def make_key(folder: Path, name: str, password: str | None = None) -> tuple[Path, Path]:
    """Secret and public key, as files."""
    pair = minisign.KeyPair.generate()
    secret, public = folder / f"{name}.key", folder / f"{name}.pub"
    if password is not None:
        pair.secret_key.encrypt(password, opslimit=32_768, memlimit=2**20)
    secret.write_bytes(bytes(pair.secret_key) + b"\n")
    public.write_bytes(bytes(pair.public_key) + b"\n")
    return secret, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_key(tmp_path, "mine")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the names of a model's."""
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("README.md", "facts.json", "model.safetensors", "1_Pooling/config.json"):
        (folder / name).write_text(f"content of {name}\n", encoding="utf-8")
    return folder


# ---------------------------------------------------------------------------------- the format, against minisign's own


@needs_the_tool
def test_minisign_and_sha256sum_check_what_we_signed(model: Path, keys: tuple[Path, Path]) -> None:
    SigningKey(keys[0]).sign(model)
    for command in (
        [str(TOOL), "-H", "-Vm", "SHA256SUMS", "-p", str(keys[1])],
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
    ):
        done = subprocess.run(command, cwd=model, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_the_tool
@pytest.mark.parametrize("legacy", [False, True])
def test_we_check_what_minisign_signed_with_its_own_key(model: Path, tmp_path: Path, legacy: bool) -> None:
    secret, public = tmp_path / "own.key", tmp_path / "own.pub"
    subprocess.run([str(TOOL), "-G", "-W", "-s", str(secret), "-p", str(public)], check=True, capture_output=True)
    names = ["1_Pooling/config.json", "README.md", "facts.json", "model.safetensors"]
    sums = subprocess.run(["sha256sum", *names], cwd=model, capture_output=True, text=True, check=True).stdout
    (model / "SHA256SUMS").write_text(sums, encoding="utf-8")
    sign = [str(TOOL), "-Sm", "SHA256SUMS", "-W", "-s", str(secret), "-t", "by hand", *(["-l"] if legacy else [])]
    subprocess.run(sign, cwd=model, check=True, capture_output=True)
    check = check_signature(model, str(public))
    assert (check.problems, check.comment) == ([], "by hand")
    assert check.key_id.lstrip("0") in public.read_text(encoding="utf-8")  # minisign writes it as a number


@needs_the_tool
def test_a_key_that_minisign_made_signs(model: Path, tmp_path: Path) -> None:
    secret, public = tmp_path / "own.key", tmp_path / "own.pub"
    subprocess.run([str(TOOL), "-G", "-W", "-s", str(secret), "-p", str(public)], check=True, capture_output=True)
    SigningKey(secret).sign(model)
    assert check_signature(model, public.read_text(encoding="utf-8").split("\n")[1]).problems == []


@needs_the_tool
def test_a_key_with_a_password_that_minisign_made_signs(model: Path, tmp_path: Path) -> None:
    secret, public = tmp_path / "own.key", tmp_path / "own.pub"
    subprocess.run(
        [str(TOOL), "-G", "-s", str(secret), "-p", str(public)], input=f"{PASSWORD}\n{PASSWORD}\n", text=True,
        check=True, capture_output=True,
    )  # fmt: skip
    SigningKey(secret, lambda: PASSWORD).sign(model)
    subprocess.run([str(TOOL), "-Vm", "SHA256SUMS", "-p", str(public)], cwd=model, check=True, capture_output=True)


# ------------------------------------------------------------------------------------------------- what holds, what not


def test_a_signed_card_holds_and_its_model_is_the_same(finished: Finished, keys: tuple[Path, Path]) -> None:
    before = sha256_of_model(finished.model)
    signed = sign_folder(finished.run.root, keys[0])
    assert sha256_of_model(finished.model) == before
    assert signed.files == sum(path.is_file() for path in finished.model.rglob("*")) - 2
    result = finished.verify(signed_by=str(keys[1]))
    assert (result.outcome, result.problems) == ("holds", ())
    assert result.signed_by.startswith(f"{signed.key_id} (timestamp:")
    assert any("--signed-by" in note for note in finished.verify().notes)


def test_where_nothing_can_be_measured_the_signature_says_whose_word_it_is(
    finished: Finished, keys: tuple[Path, Path]
) -> None:
    sign_folder(finished.model, keys[0])
    alone = verify_card(finished.model, tools=None)
    assert (alone.outcome, alone.holds, alone.signed_by) == ("not compared", False, "")
    result = verify_card(finished.model, tools=None, signed_by=str(keys[1]))
    assert (result.outcome, result.holds) == ("signed", True)


def weights(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"other weights")


def facts(model: Path) -> None:
    (model / "facts.json").write_text("{}", encoding="utf-8")


def text_added_after_signing(model: Path) -> None:
    with (model / "README.md").open("a", encoding="utf-8") as stream:
        stream.write("\nCertified by everybody.\n")


def file_added(model: Path) -> None:
    (model / "1_Pooling" / "extra.json").write_text("{}", encoding="utf-8")


def file_gone(model: Path) -> None:
    (model / "1_Pooling" / "config.json").unlink()


def list_written_anew(model: Path) -> None:
    (model / "SHA256SUMS").write_text("", encoding="utf-8")


def signature_gone(model: Path) -> None:
    (model / "SHA256SUMS.minisig").unlink()


def list_gone(model: Path) -> None:
    (model / "SHA256SUMS").unlink()


def comment_changed(model: Path) -> None:
    path = model / "SHA256SUMS.minisig"
    path.write_text(path.read_text(encoding="utf-8").replace("timestamp:", "timestamp:9"), encoding="utf-8")


def no_signature_at_all(model: Path) -> None:
    (model / "SHA256SUMS.minisig").write_bytes(b"\xff\x00 nonsense")


def signed_by_somebody_else(model: Path) -> None:
    SigningKey(make_key(model.parent, "other")[0]).sign(model)


def everything_of_another_signed_folder(model: Path) -> None:
    (model / "model.safetensors").write_text("earlier weights", encoding="utf-8")
    shutil.copy(model / "SHA256SUMS.minisig", model.parent / "kept")
    SigningKey(model.parent / "mine.key").sign(model)
    shutil.copy(model.parent / "kept", model / "SHA256SUMS.minisig")


TAMPERED: dict[Callable[[Path], None], str] = {
    weights: "model.safetensors",
    facts: "facts.json",
    text_added_after_signing: "README.md",
    file_added: "1_Pooling/extra.json",
    file_gone: "1_Pooling/config.json",
    list_written_anew: "SHA256SUMS.minisig",
    signature_gone: "SHA256SUMS.minisig",
    list_gone: "SHA256SUMS",
    comment_changed: "SHA256SUMS.minisig",
    no_signature_at_all: "SHA256SUMS.minisig",
    signed_by_somebody_else: "SHA256SUMS.minisig",
    everything_of_another_signed_folder: "SHA256SUMS.minisig",
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda tamper: tamper.__name__)
def test_what_was_changed_after_signing_is_named(
    model: Path, keys: tuple[Path, Path], tamper: Callable[[Path], None]
) -> None:
    SigningKey(keys[0]).sign(model)
    tamper(model)
    check = check_signature(model, str(keys[1]))
    assert [problem.place for problem in check.problems] == [TAMPERED[tamper]]


def test_a_card_whose_signature_does_not_hold_does_not_hold(finished: Finished, keys: tuple[Path, Path]) -> None:
    result = finished.verify(signed_by=str(keys[1]))
    assert (result.outcome, [problem.place for problem in result.problems]) == ("does not hold", ["SHA256SUMS.minisig"])


def test_a_card_that_contradicts_its_facts_is_not_signed(finished: Finished, keys: tuple[Path, Path]) -> None:
    card = finished.model / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace("is better", "is far better"), encoding="utf-8")
    with pytest.raises(CheckFailed, match="does not hold"):
        sign_folder(finished.model, keys[0])
    assert not (finished.model / "SHA256SUMS").exists()


# ---------------------------------------------------------------------------------------------------------------- keys


def test_a_key_with_a_password_is_opened_from_the_environment_or_by_asking(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, public = make_key(tmp_path, "locked", PASSWORD)
    monkeypatch.delenv("STSFLOW_SIGNING_PASSWORD", raising=False)
    with pytest.raises(PreconditionError, match="has a password: set STSFLOW_SIGNING_PASSWORD"):
        SigningKey(secret)
    with pytest.raises(PreconditionError, match="does not open the key"):
        SigningKey(secret, lambda: "another one")
    SigningKey(secret, lambda: PASSWORD).sign(model)
    monkeypatch.setenv("STSFLOW_SIGNING_PASSWORD", PASSWORD)
    SigningKey(secret).sign(model)
    assert check_signature(model, str(public)).problems == []
    written = b"".join(path.read_bytes() for path in model.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in written and secret.read_bytes().split(b"\n")[1] not in written


@pytest.mark.parametrize("content", [b"", b"nonsense", b"untrusted comment: x\nRWQ=\n", b"\xff" * 200])
def test_what_is_no_key_is_refused(tmp_path: Path, model: Path, content: bytes) -> None:
    path = tmp_path / "no.key"
    path.write_bytes(content)
    with pytest.raises(PreconditionError, match="no secret key of minisign"):
        SigningKey(path)
    with pytest.raises(PreconditionError, match="no public key of minisign"):
        check_signature(model, str(path))


def test_a_recipe_names_its_key_or_leaves_it_to_the_environment(
    finished: Finished, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_sign(sign: dict[str, str] | None) -> Any:
        values = finished.records.recipe.model_dump(mode="json")
        return type(finished.records.recipe).model_validate(values | {"release": {"sign": sign}})

    monkeypatch.delenv("STSFLOW_SIGNING_KEY", raising=False)
    named = with_sign({"key": str(keys[0])})
    assert signing_key(with_sign(None)) is None
    found = signing_key(named)
    assert found is not None and found.public in keys[1].read_text(encoding="utf-8")
    assert str(portable_recipe(named).release.sign.key) == "mine.key"
    with pytest.raises(PreconditionError, match="set STSFLOW_SIGNING_KEY"):
        signing_key(with_sign({}))
    monkeypatch.setenv("STSFLOW_SIGNING_KEY", str(keys[0]))
    assert signing_key(with_sign({})) is not None
