"""What a client gets over real HTTP: the model's own embeddings, true counts, and a clear refusal of anything else."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import POSITIONS, build_tiny_model
from patience import patience
from prometheus_client.parser import text_string_to_metric_families
from sentence_transformers import SentenceTransformer
from served import Served, load, served, texts_of_many_lengths
from tokenizers import Tokenizer

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.serving.limits import Limits
from stsflow.tasks.serving.model import ServedModel

PROMPTS = {"query": "query: ", "document": "the passage that follows says: ", "other": "in other words "}


@pytest.fixture(scope="module")
def with_prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_tiny_model(tmp_path_factory.mktemp("served") / "tiny-prompts", "bert")
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prompts": PROMPTS, "default_prompt_name": "other"}))
    return folder


@pytest.fixture(scope="module")
def running(with_prompts: Path) -> Iterator[Served]:
    with served(with_prompts, Limits(inputs=500, body_bytes=2**20, batch_tokens=512)) as server:
        yield server


def embeddings(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array([item["embedding"] for item in answer.json()["data"]], np.float64)


@pytest.mark.parametrize("side", [None, "query", "document"])
def test_embeddings_are_the_models_own_for_every_input_type(running: Served, with_prompts: Path, side: str) -> None:
    own = SentenceTransformer(str(with_prompts), device="cpu")
    encode = {None: own.encode, "query": own.encode_query, "document": own.encode_document}[side]
    texts = texts_of_many_lengths(60)
    answer = running.ask(texts, **({} if side is None else {"input_type": side}))
    assert np.abs(embeddings(answer) - encode(texts)).max() <= 1e-6
    assert [item["index"] for item in answer.json()["data"]] == list(range(60))


@pytest.mark.parametrize("architecture", ["mpnet", "xlmr", "modernbert"])
def test_other_architectures_padded_or_not_answer_as_the_model_itself(
    tiny_models: Callable[[str], Path], architecture: str
) -> None:
    texts = texts_of_many_lengths(40)
    with served(tiny_models(architecture), Limits(batch_tokens=300)) as server:
        found = embeddings(server.ask(texts))
    own = SentenceTransformer(str(tiny_models(architecture)), device="cpu").encode(texts)
    assert np.abs(found - own).max() <= 2e-6  # the numbers are larger than one here


def test_one_text_alone_is_a_list_of_one(running: Served) -> None:
    one, listed = running.ask("It rained all night."), running.ask(["It rained all night."])
    assert one.json() == listed.json() and len(one.json()["data"]) == 1


def test_base64_holds_the_same_numbers_as_little_endian_floats(running: Served) -> None:
    texts = texts_of_many_lengths(5)
    packed = running.ask(texts, encoding_format="base64").json()["data"]
    found = np.stack([np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in packed])
    assert np.array_equal(found, embeddings(running.ask(texts, encoding_format="float")).astype(np.float32))


def test_fewer_dimensions_are_the_first_ones_at_length_one(running: Served, with_prompts: Path) -> None:
    texts = texts_of_many_lengths(5)
    whole = SentenceTransformer(str(with_prompts), device="cpu").encode(texts)
    expected = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    assert np.abs(embeddings(running.ask(texts, dimensions=8)) - expected).max() <= 1e-6
    assert np.abs(embeddings(running.ask(texts, dimensions=32)) - whole).max() <= 1e-6
    refused = running.ask(texts, dimensions=33)
    assert refused.status_code == 400 and "found 33; the model gives 32" in refused.json()["error"]["message"]


def test_tokens_and_cuts_are_counted_as_the_tokenizer_counts_them(running: Served, with_prompts: Path) -> None:
    tokenizer = Tokenizer.from_file(str(with_prompts / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = ["short", "word " * 500, "고양이 " * 60, "a " * 120]
    uncut = [len(tokenizer.encode(PROMPTS["query"] + text).ids) for text in texts]
    answer = running.ask(texts, input_type="query").json()
    assert answer["usage"] == {
        "prompt_tokens": sum(min(length, POSITIONS) for length in uncut),
        "total_tokens": sum(min(length, POSITIONS) for length in uncut),
        "truncated": sum(length > POSITIONS for length in uncut),
    }
    assert [item["truncated"] for item in answer["data"]] == [length > POSITIONS for length in uncut]
    assert 0 < answer["usage"]["truncated"] < len(texts)


def test_a_client_that_wants_no_cut_is_told_which_text_is_too_long(running: Served) -> None:
    refused = running.ask(["short", "word " * 500], truncate=False)
    assert refused.status_code == 400 and refused.json()["error"]["code"] == "text_too_long"
    assert "the text at place 1 has" in refused.json()["error"]["message"]
    assert running.ask(["short"], truncate=False).status_code == 200


def test_the_model_is_named_and_another_one_is_refused(running: Served) -> None:
    assert running.ask("x", model="tiny-prompts").json()["model"] == "tiny-prompts"
    refused = running.ask("x", model="text-embedding-3-small")
    assert refused.status_code == 404 and refused.json()["error"]["code"] == "model_not_found"
    assert "served: tiny-prompts" in refused.json()["error"]["message"]
    (listed,) = running.client.get("/v1/models").json()["data"]
    assert listed["id"] == "tiny-prompts" and listed["dimensions"] == 32 and listed["max_tokens"] == POSITIONS
    assert listed["prompts"] == {"none": PROMPTS["other"]} | {side: PROMPTS[side] for side in ("query", "document")}


TOO_MUCH = [
    (json.dumps({"input": ["x"] * 10_000}).encode(), 400, "input: found 10,000 texts; allowed: 500 in one request"),
    (b'{"input": "' + b"x" * 10_000_000 + b'"}', 413, "the body is larger than 1 MiB; send fewer texts at a time"),
    (b'{"input": "' + b"x" * 300_000 + b'"}', 400, "input: the text at place 0 has 300,000 characters"),
    (b"[" * 100_000, 400, "the body is not JSON"),
]


@pytest.mark.parametrize(("body", "status", "sentence"), TOO_MUCH, ids=["texts", "body", "characters", "depth"])
@pytest.mark.parametrize("stated", [True, False], ids=["length stated", "in chunks"])
def test_too_much_is_refused_with_a_sentence(
    running: Served, body: bytes, status: int, sentence: str, stated: bool
) -> None:
    content: bytes | Iterator[bytes] = (
        body if stated else (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    )
    answer = running.client.post("/v1/embeddings", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status and answer.json()["error"]["message"].startswith(sentence)
    assert running.service.bytes_held == 0


def test_other_pages_methods_and_types_are_refused_in_the_same_shape(running: Served) -> None:
    client = running.client
    for answer, status in (
        (client.get("/v1/embeddings"), 405), (client.post("/v1/chat/completions", json={}), 404),
        (client.post("/v1/embeddings", data={"input": "x"}), 415),
    ):  # fmt: skip
        assert answer.status_code == status
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["model", "input", "encoding_format", "dimensions", "user", "input_type", "truncate", "other"])
LIKELY = st.sampled_from(["tiny-prompts", "float", "base64", "query", "document", 1, 7, 32, True, False, "", "\x00"])
BODIES = st.one_of(
    st.dictionaries(FIELDS, JSON | LIKELY | st.text(max_size=400) | st.lists(st.text(max_size=80), max_size=6)),
    st.fixed_dictionaries({"input": st.text(max_size=300) | st.lists(st.text(max_size=80), min_size=1, max_size=6)}),
    JSON,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_no_body_is_the_servers_fault(running: Served, body: bytes) -> None:
    answer = running.client.post("/v1/embeddings", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]
    assert running.service.under_way == 0 and running.service.line.texts == 0


def test_requests_at_once_get_each_its_own_answer(running: Served, with_prompts: Path) -> None:
    """Many clients, requests of 1 to 12 texts of many lengths and input types, together in the model's batches."""
    own = SentenceTransformer(str(with_prompts), device="cpu")
    texts = texts_of_many_lengths(300)
    expected = {"query": own.encode_query(texts), "document": own.encode_document(texts)}
    requests = [(start, 1 + start % 12, ("query", "document")[start % 2]) for start in range(0, 280, 3)]

    def ask(request: tuple[int, int, str]) -> float:
        start, count, side = request
        found = embeddings(running.ask(texts[start : start + count], input_type=side))
        return float(np.abs(found - expected[side][start : start + count]).max())

    with ThreadPoolExecutor(16) as pool:
        worst = list(pool.map(ask, requests))
    assert len(worst) == 94 and max(worst) <= 1e-6


def test_with_a_key_who_does_not_bring_it_is_refused(tiny_bert: Path) -> None:
    with served(tiny_bert, key="sésame-1") as server:
        for header in (None, "Bearer wrong", "Basic sésame-1", "sésame-1", "Bearer"):
            headers = {} if header is None else {"Authorization": header.encode()}
            for answer in (
                server.client.post("/v1/embeddings", json={"input": "x"}, headers=headers),
                server.client.get("/v1/models", headers=headers),
            ):
                assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
        right = {"Authorization": "Bearer sésame-1".encode()}
        assert server.client.post("/v1/embeddings", json={"input": "x"}, headers=right).status_code == 200
        assert server.client.get("/health").status_code == server.client.get("/metrics").status_code == 200


def test_health_readiness_and_metrics_say_what_happened(tiny_bert: Path) -> None:
    with served(tiny_bert) as server:
        assert server.client.get("/health").json() == {"status": "alive"}
        assert server.client.get("/ready").json() == {"status": "ready", "model": tiny_bert.name}
        for _ in range(3):
            server.ask(["one", "word " * 400], input_type="query")
        server.ask([])
        page = server.client.get("/metrics").text
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    digest = server.service.model.located.digest
    assert found["stsflow_serving_requests_total", "200"] == 3 and found["stsflow_serving_requests_total", "400"] == 1
    assert found["stsflow_serving_texts_total", "query"] == 6
    assert found["stsflow_serving_truncated_texts_total",] == 3
    assert found["stsflow_serving_model_info", *sorted((tiny_bert.name, digest))] == 1
    assert found["stsflow_serving_request_seconds_count",] == found["stsflow_serving_wait_seconds_count",] == 3
    assert found["stsflow_serving_waiting_texts",] == found["stsflow_serving_requests_under_way",] == 0


class Slow(ServedModel):
    """A model that takes its time for each batch."""

    def embed(self, texts: Any, prompt: str) -> np.ndarray:
        time.sleep(0.05)
        return super().embed(texts, prompt)


class Small(ServedModel):
    """A model whose machine has room for three texts at a time."""

    def embed(self, texts: Any, prompt: str) -> np.ndarray:
        if len(texts) > 3:
            raise MemoryError("DefaultCPUAllocator: can't allocate memory")
        return super().embed(texts, prompt)


class Broken(ServedModel):
    """A model that gives no numbers for one text."""

    def embed(self, texts: Any, prompt: str) -> np.ndarray:
        rows = super().embed(texts, prompt)
        return np.where([["nan" in text] for text in texts], np.nan, rows)


def like(kind: type[ServedModel], folder: Path) -> ServedModel:
    own = load(folder)
    return kind(own.located, own.encoder, own.dimension, own.longest, _tokenizer=own._tokenizer)


def test_a_batch_that_the_memory_does_not_hold_is_embedded_in_parts(tiny_bert: Path) -> None:
    texts = texts_of_many_lengths(20)
    with served(like(Small, tiny_bert)) as server:
        found = embeddings(server.ask(texts))
    assert np.abs(found - SentenceTransformer(str(tiny_bert), device="cpu").encode(texts)).max() <= 2e-6


def test_a_fault_of_the_model_ends_that_request_and_no_other(tiny_bert: Path) -> None:
    with served(like(Broken, tiny_bert), Limits(batch_tokens=20)) as server:
        refused = server.ask(["nan", *texts_of_many_lengths(30)])
        assert refused.status_code == 500 and refused.json()["error"]["type"] == "server_error"
        assert server.ask("fine").status_code == 200
        assert server.service.line.texts == 0


def test_when_too_many_wait_the_next_is_told_to_come_again(tiny_bert: Path) -> None:
    with served(like(Slow, tiny_bert), Limits(waiting=10, batch_tokens=20)) as server:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: server.ask(["one two three"] * 8), range(8)))
        statuses = sorted(answer.status_code for answer in answers)
        assert set(statuses) == {200, 429}
        late = next(answer for answer in answers if answer.status_code == 429)
        assert late.headers["Retry-After"] == "1" and late.json()["error"]["code"] == "too_many_waiting"
        assert server.ask("later").status_code == 200


def test_what_a_client_asked_for_that_has_gone_away_is_not_embedded(tiny_bert: Path) -> None:
    with served(like(Slow, tiny_bert), Limits(batch_tokens=20)) as server:
        body = json.dumps({"input": ["one two three four five"] * 400}).encode()
        with socket.create_connection((server.client.base_url.host, server.client.base_url.port)) as gone:
            gone.sendall(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            until = time.monotonic() + patience(30)
            while not server.service.line.texts and time.monotonic() < until:
                time.sleep(0.005)
            waiting = server.service.line.texts
        assert waiting > 100
        assert server.ask("still here").status_code == 200
        while server.service.under_way and time.monotonic() < until:
            time.sleep(0.005)
        assert server.ask("still here").status_code == 200
        assert server.service.line.texts == 0
        page = server.client.get("/metrics").text
        assert 'stsflow_serving_requests_total{status="499"} 1.0' in page


def test_who_was_accepted_is_answered_when_the_server_ends_and_nobody_else(tiny_bert: Path) -> None:
    with served(like(Slow, tiny_bert), Limits(batch_tokens=40)) as server, ThreadPoolExecutor(6) as pool:
        accepted = [pool.submit(server.ask, texts_of_many_lengths(20)) for _ in range(6)]
        until = time.monotonic() + patience(30)
        while server.service.under_way < 6 and time.monotonic() < until:
            time.sleep(0.005)
        server.stop()
        late, ready = server.ask("too late"), server.client.get("/ready")
        assert late.status_code == 503 and late.json()["error"]["code"] == "stopping"
        assert ready.status_code == 503 and ready.json() == {"status": "stopping"}
        assert [answer.result().status_code for answer in accepted] == [200] * 6
        server.ended.join(patience(30))
        assert not server.ended.is_alive()


def test_a_model_that_gives_no_numbers_is_not_served(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = build_tiny_model(tmp_path / "bad", "bert")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="no numbers"):
        load(folder)
