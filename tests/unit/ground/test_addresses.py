"""What an address carries as a credential reaches the server and nothing else."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from misbehaving_server import Fault, MisbehavingServer
from pydantic import ValidationError
from small_recipe import write_small_recipe

from stsflow.flows.ops.doctor import look_at_mlflow
from stsflow.tasks.data.build import prepare_evaluation
from stsflow.tasks.ground.addresses import fit_to_show, without_credentials
from stsflow.tasks.ground.errors import DataError, DownloadFailed, RecipeError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.sources import Access, FilesSource
from stsflow.tasks.suites import StsSuite
from stsflow.tasks.tracking.links import mlflow_run_url

SECRET = "PLANTED4d1f"
ROWS = "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t5\n"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/a.csv?X-Amz-Signature=PLANTED4d1f", "https://host/a.csv"),
        ("https://user:PLANTED4d1f@host:8080/a.csv", "https://host:8080/a.csv"),
        ("https://host/a.csv#PLANTED4d1f", "https://host/a.csv"),
        ("https://host/a.csv;v=1?a#PLANTED4d1f", "https://host/a.csv;v=1"),
        ("https://u:PLANTED4d1f@[::1/a.csv", "https://[::1/a.csv"),  # urllib refuses this one
        ("https:/host/a.csv?PLANTED4d1f", "https:/host/a.csv"),
        ("s3://key:PLANTED4d1f@bucket/a.csv", "s3://bucket/a.csv"),
        ("  HTTPS://host/a?PLANTED4d1f", "  HTTPS://host/a"),
        ("data/what?#50%.csv", "data/what?#50%.csv"),
        ("https://me:PLANTED4d1f@host:5000/a?token=PLANTED4d1f", "https://host:5000/a"),
        ("sqlite:////a?b/c#d.db", "sqlite:////a?b/c#d.db"),
    ],
)
def test_an_address_is_shown_without_its_credentials(address: str, shown: str) -> None:
    assert without_credentials(address) == shown
    assert SECRET not in str(fit_to_show({f"see {address}": [address, {"in": (address,)}]}))


REFUSED = {
    "https://host/a.csv?X-Amz-Signature=PLANTED4d1f": "an address must not carry a query, which may be a secret",
    "https://host/a.csv?PLANTED4d1f${A}": "an address must not carry a query, which may be a secret",
    "https://host/a.csv?x=${A}&sig=PLANTED4d1f": "an address must not carry a query, which may be a secret",
    "https://u:PLANTED4d1f@host/a.csv": "an address must not carry a user name or password; put them into ~/.netrc",
    "https://host/a.csv#PLANTED4d1f": "an address must not carry a fragment",
    "s3://key:PLANTED4d1f@bucket/a.csv": "this is neither a path nor an address that can be fetched",
    " https://host/a.csv?PLANTED4d1f": "this is neither a path nor an address that can be fetched",
    "https:/host/a.csv?PLANTED4d1f": "this is neither a path nor an address that can be fetched",
    "http://[?PLANTED4d1f": "this is not a well-formed address",
    "http://[": "this is not a well-formed address",
    "https://?PLANTED4d1f": "this is not a well-formed address",
    "https://host:99999/a?PLANTED4d1f": "this is not a well-formed address",
    "data/a\0b.csv": "control characters and halves of a surrogate pair are not allowed",
}


@pytest.mark.parametrize("field", ["paths", "sha256"])
@pytest.mark.parametrize("entry", REFUSED)
def test_an_address_with_a_credential_is_refused_at_reading_and_not_repeated(
    tmp_path: Path, tiny_bert: Path, entry: str, field: str
) -> None:
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    value: dict[str, object] = {"kind": "files", "paths": ["a.csv"]}
    value[field] = [entry] if field == "paths" else {entry: "0" * 64}
    with pytest.raises(RecipeError) as caught:
        RunConfig.from_recipe(recipe, (f"data.train.sts.source={json.dumps(value)}",))
    message = caught.value.message
    assert REFUSED[entry] in message and f"data.train.sts.source.{field}" in message
    assert SECRET not in message and "\n" not in message
    with pytest.raises(ValidationError) as logged:  # as Prefect says it in a flow run's log
        FilesSource.model_validate(value)
    assert SECRET not in str(logged.value)


@pytest.mark.parametrize(
    "override",
    [
        "data.train.sts.source={kind: files, paths: [https://host/a?sig=PLANTED4d1f], quotin: none}",
        "data.train.sts.source={kind: files, paths: [https://host/a?sig=PLANTED4d1f",
        "data.train.sts.source=https://host/a?sig=PLANTED4d1f",
        "data.train.sts.https://host/a?sig=PLANTED4d1f=1",
        "https://host/a?sig=PLANTED4d1f",
        "data.train.sts.source={https://h/a?sig=PLANTED4d1f : 1, https://h/a?sig=PLANTED4d1f : 1}",
        "data.train=[https://host/a?sig=PLANTED4d1f]",
    ],
)
def test_a_mistake_elsewhere_does_not_repeat_the_secret(tmp_path: Path, tiny_bert: Path, override: str) -> None:
    recipe = write_small_recipe(tmp_path / "small.yaml", tiny_bert)
    with pytest.raises(RecipeError) as caught:
        RunConfig.from_recipe(recipe, (override,))
    assert SECRET not in caught.value.message


def test_the_environment_fills_an_address_in_for_the_request_alone(
    http_server: MisbehavingServer,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("STS_QUERY", f"X-Amz-Signature={SECRET}&X-Amz-Date=1")
    monkeypatch.setenv("STS_FOLDER", f"{SECRET}-folder")
    http_server.serve(f"/{SECRET}-folder/sts.tsv?X-Amz-Signature={SECRET}&X-Amz-Date=1", ROWS.encode())
    entry = http_server.url("/${STS_FOLDER}/sts.tsv?${STS_QUERY}")
    suites = {"sts": StsSuite(source=FilesSource(paths=(entry,)))}
    with caplog.at_level(logging.DEBUG):
        prepared = prepare_evaluation(suites, None, workspace)
    assert prepared.evaluation[0].rows == 2
    assert prepared.evaluation[0].source.uri == http_server.url("/${STS_FOLDER}/sts.tsv")
    kept = b"".join(path.read_bytes() for path in workspace.root.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept and not [path for path in workspace.root.rglob("*") if SECRET in str(path)]
    assert SECRET not in caplog.text


def test_no_failure_of_a_fetch_repeats_what_was_filled_in(
    http_server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STS_QUERY", SECRET)
    for path, faults in {"/missing.tsv": None, "/broken.tsv": [Fault(reset=True)]}.items():
        if faults:
            http_server.serve(f"{path}?{SECRET}", b"x", *faults)
        source = FilesSource(paths=(http_server.url(path) + "?${STS_QUERY}",))
        with pytest.raises((DataError, DownloadFailed)) as caught:
            source.fetch(Access(None, tmp_path, retries=0))
        assert path in caught.value.message and SECRET not in caught.value.message
    monkeypatch.setenv("STS_QUERY", f"{SECRET}\n")
    with pytest.raises(DataError, match="cannot be fetched") as caught:
        source.fetch(Access(None, tmp_path, retries=0))
    assert SECRET not in caught.value.message


def test_a_name_that_the_environment_lacks_is_refused(tmp_path: Path) -> None:
    source = FilesSource(paths=("https://host.invalid/a.tsv?${NO_SUCH_NAME}",))
    with pytest.raises(
        DataError, match=r"a\.tsv: the address refers to \$\{NO_SUCH_NAME\}, but the environment has no"
    ):
        source.fetch(Access(None, tmp_path, retries=0))


def test_the_address_of_a_tracking_store_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://team:{SECRET}@database/mlflow?sslpassword={SECRET}")
    assert look_at_mlflow(None, 1.0).found == "none; runs use postgresql://database/mlflow"
    monkeypatch.setenv("STSFLOW_MLFLOW_PUBLIC_URL", f"https://team:{SECRET}@mlflow.example.org")
    assert (mlflow_run_url("sqlite:///x.db", "1", "2") or "").startswith("https://mlflow.example.org/#/experiments/1/")
