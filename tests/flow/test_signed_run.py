"""A run that signs: what is registered is what was signed, and a key that cannot be used ends nothing halfway."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recipe import result_of, stsflow, write_small_recipe

minisign = pytest.importorskip("minisign", reason="the extra `sign` is not installed")
pytestmark = pytest.mark.slow


def test_a_run_signs_its_model_and_the_registered_one_is_checked_by_the_public_key(
    tmp_path: Path, tiny_bert: Path
) -> None:
    pair = minisign.KeyPair.generate()
    (tmp_path / "mine.key").write_bytes(bytes(pair.secret_key) + b"\n")
    recipe, workspace = write_small_recipe(tmp_path / "small.yaml", tiny_bert), tmp_path / ".stsflow"
    text = recipe.read_text(encoding="utf-8")
    assert "register_as: small-model" in text
    recipe.write_text(
        text.replace("register_as: small-model", "register_as: small-model\n  sign: {key: mine.key}"), encoding="utf-8"
    )
    missing = stsflow(workspace, "run", str(recipe), "--set", "release.sign.key=nowhere.key")
    assert missing.returncode == 2 and "nowhere.key cannot be read" in missing.stderr
    assert not (workspace / "prepared").exists()
    result_of(stsflow(workspace, "run", str(recipe), "--json"))
    uri, public = "models:/small-model@champion", pair.public_key.to_base64().decode()
    result = result_of(stsflow(workspace, "verify-card", uri, "--signed-by", public, "--json"))
    assert result["outcome"] == "holds" and "timestamp:" in result["signed_by"]
    other = minisign.KeyPair.generate().public_key.to_base64().decode()
    done = stsflow(workspace, "verify-card", uri, "--signed-by", other)
    assert done.returncode == 3 and "SHA256SUMS.minisig: The signature is not one of" in done.stdout
    secret = pair.secret_key.to_base64()
    assert not [path for path in workspace.rglob("*") if path.is_file() and secret in path.read_bytes()]
