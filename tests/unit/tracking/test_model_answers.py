"""What MLflow does with a model that a run has logged: its own server and its own loaders, without any of our code."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from live_services import free_port
from models import SENTENCES, build_tiny_model
from patience import patience
from sentence_transformers import SentenceTransformer

from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.tracking.journal import Model
from stsflow.tasks.tracking.model_process import log_model_in_child
from stsflow.tasks.tracking.store import Store


@pytest.mark.slow
def test_a_logged_model_answers_as_openai_does_and_as_before(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "run" / "model", "bert")
    store = Store(Workspace(tmp_path / "workspace"))
    run, _ = store.open_run("e", "run", {}, "", datetime.now(UTC))
    entry = Model(
        path="model", digest=sha256_of_model(model), dimension=32, example=("A text.",), register_as="tiny"
    )  # fmt: skip
    log_model_in_child(store.uri, run, model, entry, tmp_path / "run")
    store.registry.set_alias("tiny", "champion", store.registry.register(run, entry, tmp_path))
    texts = list(SENTENCES[:4])
    expected = SentenceTransformer(str(model), device="cpu").encode(texts)

    loaded = mlflow.sentence_transformers.load_model("models:/tiny@champion")
    assert np.abs(loaded.encode(texts) - expected).max() <= 1e-6
    general = mlflow.pyfunc.load_model("models:/tiny@champion")
    for given in (texts, pd.DataFrame({"text": texts}), pd.Series(texts), np.array(texts)):
        assert np.abs(general.predict(given) - expected).max() <= 2e-6
    assert general.metadata.get_input_schema().input_types()[0].name == "string"

    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where MLflow looks for uvicorn
    environment = os.environ | {"MLFLOW_TRACKING_URI": store.uri, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/tiny@champion", "--env-manager", "local",
         "--port", str(port)], env=environment, cwd=tmp_path, start_new_session=True,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=patience(60), trust_env=False) as client:
            _wait_for(client, server)
            answer = client.post("/invocations", json={"input": texts}).json()
            bare = client.post("/invocations", json={"inputs": texts}).json()
            alone = client.post("/invocations", json={"input": texts[0]}).json()
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 9)
        server.wait()
    assert answer.keys() == {"object", "data", "usage"} and answer["object"] == "list"
    assert [item["index"] for item in answer["data"]] == [0, 1, 2, 3]
    assert np.abs(np.array([item["embedding"] for item in answer["data"]]) - expected).max() <= 2e-6
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 8
    assert len(alone["data"]) == 1
    assert np.abs(np.array(bare["predictions"]) - expected).max() <= 2e-6


def _wait_for(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + patience(180)
    while time.monotonic() < until:
        assert server.poll() is None, "the server ended"
        try:
            if client.get("/ping").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail("no answer from the server")
