"""`stsflow serve` as its user runs it: a process, a real MLflow server, an alias that moves, and SIGTERM under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from live_services import free_port
from mlflow.tracking import MlflowClient
from models import build_tiny_model
from patience import patience
from sentence_transformers import SentenceTransformer
from served import texts_of_many_lengths
from small_recipe import command, environment, stsflow

TEXTS = texts_of_many_lengths(12)


@contextmanager
def ended_at_last(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The process for the block, and nothing of it afterwards."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + patience(120)
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def serving(workspace: Path, *arguments: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`stsflow serve` for the block, with what it prints once requests can come."""
    options = command(["serve", *arguments, "--port", "0", "--json"])
    with ended_at_last(
        *options, cwd=workspace.parent, env=environment(workspace, **more), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "it ended before it served"
        yield process, json.loads(line)


class Clients:
    """Threads that ask without a pause, each holding every answer to the model that it names."""

    def __init__(self, url: str, expected: dict[str, np.ndarray], count: int) -> None:
        self.url, self.expected = url, expected
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=patience(60), trust_env=False) as client:
            while not self.ended.is_set():
                try:
                    answer = client.post("/embeddings", json={"input": TEXTS})
                except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError) as error:
                    self.seen[type(error).__name__] += 1
                    return
                if answer.status_code != 200:
                    self.seen[str(answer.status_code)] += 1
                    return
                found = answer.json()
                rows = np.array([item["embedding"] for item in found["data"]])
                if np.abs(rows - self.expected[found["model"]]).max() > 2e-6:
                    self.wrong.append(found["model"])
                self.seen[found["model"]] += 1

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(patience(120))


def own(folder: Path) -> np.ndarray:
    embeddings: np.ndarray = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    return embeddings


@pytest.mark.slow
def test_the_alias_moves_in_a_real_mlflow_server_under_load_and_no_request_fails(tmp_path: Path) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    start = (
        sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path / "artifacts"),
    )  # fmt: skip
    # Its job runners would outlive it: each has a session of its own.
    without_jobs = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with ended_at_last(*start, cwd=tmp_path, env=without_jobs):
        until(lambda: answers(f"{uri}/health"), "MLflow's server answers")
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.create_registered_model("tiny")
        run = client.create_run(client.create_experiment("e")).info.run_id
        expected = {}
        for seed in (1, 2):
            folder = build_tiny_model(tmp_path / f"seed-{seed}", "bert", seed=seed)
            client.log_artifacts(run, str(folder), f"model-{seed}")
            source = f"{client.get_run(run).info.artifact_uri}/model-{seed}"
            client.create_model_version("tiny", source, run, tags={"stsflow.model_digest": f"seed {seed}"})
            expected[f"models:/tiny/{seed}"] = own(folder)
        client.set_registered_model_alias("tiny", "champion", "1")
        with serving(
            tmp_path / "workspace", "models:/tiny@champion", "--follow-every", "0.5", MLFLOW_TRACKING_URI=uri
        ) as (process, said):
            assert said["model"] == "models:/tiny/1" and said["follows"] == "tiny@champion"
            clients = Clients(said["url"], expected, 8)
            until(lambda: clients.seen["models:/tiny/1"] > 40, "version 1 answers")
            client.set_registered_model_alias("tiny", "champion", "2")
            until(lambda: clients.seen["models:/tiny/2"] > 40, "version 2 answers")
            clients.end()
            assert clients.seen.keys() == expected.keys() and not clients.wrong
            process.send_signal(signal.SIGTERM)
            assert process.wait(patience(60)) == 0


@pytest.mark.slow
def test_who_was_accepted_before_sigterm_is_answered(tmp_path: Path) -> None:
    """Every request that the server counts as accepted has reached its client; the rest was refused, not lost."""
    model = build_tiny_model(tmp_path / "tiny", "bert")
    with serving(tmp_path / "workspace", str(model), "--max-batch-tokens", "64") as (process, said):
        clients = Clients(said["url"], {"tiny": own(model)}, 16)
        until(lambda: clients.seen["tiny"] > 50, "it answers")
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience(60)) == 0
        for thread in clients.threads:
            thread.join(patience(60))
        assert not clients.wrong and clients.seen.keys() <= {"tiny", "503", "ConnectError", "ReadError",
                                                             "RemoteProtocolError", "WriteError"}  # fmt: skip
        assert sum(clients.seen.values()) - clients.seen["tiny"] == 16
        assert clients.seen["503"] > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no/such/folder",), "no/such/folder: there is no such folder"),
        ((".", "--device", "tpu"), "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
        ((".", "--device", "cuda"), "--device is `cuda`, but "),
    ],
)
def test_what_cannot_be_served_is_a_sentence_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = stsflow(tmp_path / "workspace", "serve", *arguments, "--port", "0", CUDA_VISIBLE_DEVICES="", COLUMNS="200")
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and "Traceback" not in done.stderr
