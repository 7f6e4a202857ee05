"""A name that a system behind the product would refuse is refused at reading; one that it takes is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.ground.hub import fetch_snapshot
from stsflow.tasks.ground.names import EXPERIMENT, MODEL, TAG

NAMES = st.text(st.sampled_from("aZ0é한_-./: @'\"%`\\\n\t\x00#?&"), max_size=12)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow's client on a store of its own."""
    from mlflow.tracking import MlflowClient

    place = tmp_path_factory.mktemp("store")
    yield MlflowClient(f"sqlite:///{place}/mlflow.db", f"sqlite:///{place}/mlflow.db")


@pytest.mark.parametrize(
    "name", ["team/model:v1", "a'b", 'a"b', " ", "", ".", "..", "a\nb", "a\x00b", "x" * 251, "a  b"]
)
def test_no_registered_model_has_such_a_name(name: str) -> None:
    assert not MODEL.holds(name)


@pytest.mark.parametrize("name", ["stsflow-demo", "my model", "모델_1", "v1.2"])
def test_a_registered_model_may_have_such_a_name(name: str) -> None:
    assert MODEL.holds(name)


@pytest.mark.parametrize(
    "name", ["mlflow.parentRunId", "mlflow.runName", "stsflow.run", "prefect.x", "a//b", "../a", "a:b", ""]
)
def test_no_tag_of_a_person_has_such_a_name(name: str) -> None:
    assert not TAG.holds(name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_what_is_allowed_is_taken_by_mlflow_and_found_again(client: Any, name: str) -> None:
    if MODEL.holds(name):
        if not [found for found in client.search_registered_models() if found.name == name]:
            client.create_registered_model(name)
        assert [found.name for found in client.search_registered_models(f"name = '{name}'")] == [name]
    if EXPERIMENT.holds(name) and client.get_experiment_by_name(name) is None:
        client.create_experiment(name)
        assert client.get_experiment_by_name(name).name == name
    if TAG.holds(name):
        run = client.create_run("0")
        client.set_tag(run.info.run_id, name, "value")
        assert client.get_run(run.info.run_id).data.tags[name] == "value"


@pytest.mark.parametrize(
    ("name", "revision"), [("a/b", "../../x"), ("../x", "main"), ("a/b/c", "main"), ("a/b", "x\ny")]
)
def test_a_name_that_the_hub_cannot_have_is_refused_without_asking_it(tmp_path: Path, name: str, revision: str) -> None:
    with pytest.raises(RecipeError, match="allowed: "):
        fetch_snapshot(name, revision, "model", cache=tmp_path)
    assert not list(tmp_path.iterdir())
