"""A secret in a signed address: used for the download, found nowhere afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from misbehaving_server import MisbehavingServer
from small_recipe import result_of, stsflow, write_small_recipe

from stsflow.tasks.scenes.rows import generate

SECRET = "PLANTED4d1f"


@pytest.mark.slow
def test_the_secret_of_a_signed_address_is_in_no_file_database_or_output(
    http_server: MisbehavingServer, tmp_path: Path, tiny_bert: Path
) -> None:
    rows = generate("sts", "test", 60, ("ko", "en"), 0)
    lines = ["sentence1\tsentence2\tscore", *(f"{r['sentence1']}\t{r['sentence2']}\t{r['score']}" for r in rows)]
    signed = f"/sts.tsv?X-Amz-Signature={SECRET}"
    http_server.serve(signed, "\n".join(lines).encode())
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    address = http_server.url("/sts.tsv?${STS_QUERY}")
    source = f"{{kind: files, paths: ['{address}']}}"
    done = stsflow(
        tmp_path / ".stsflow", "run", str(recipe), "--json", "--verbose", "--set", "training.max_steps=5",
        "--set", f"evaluation.suites.sts-test.source={source}", STS_QUERY=f"X-Amz-Signature={SECRET}",
    )  # fmt: skip
    summary = result_of(done)
    assert http_server.count(signed) == 1
    assert http_server.url("/sts.tsv") in Path(summary["card"]).parent.joinpath("facts.json").read_text("utf-8")
    kept = (Path(summary["run_dir"]) / "recipe.yaml").read_text("utf-8")
    assert address in kept  # the locked recipe names the variable and can be run again
    found = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert found == [] and SECRET not in done.stdout + done.stderr
