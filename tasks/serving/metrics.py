"""What the server counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)  # fmt: skip

if TYPE_CHECKING:
    from stsflow.tasks.serving.line import Line
    from stsflow.tasks.serving.model import ServedModel

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self, line: Line) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        name = "stsflow_serving"
        self.requests = Counter(f"{name}_requests", "Answers to /v1/embeddings.", ["status"], registry=registry)
        self.seconds = Histogram(
            f"{name}_request_seconds", "From the first byte of a request to its answer, where there are embeddings.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.texts = Counter(f"{name}_texts", "Texts that were embedded.", ["input_type"], registry=registry)
        self.tokens = Counter(f"{name}_tokens", "Tokens that the model read of them.", registry=registry)
        self.truncated = Counter(f"{name}_truncated_texts", "Texts that were cut.", registry=registry)
        self.waited = Histogram(
            f"{name}_wait_seconds", "From joining the line to the model.", buckets=SECONDS, registry=registry
        )
        self.batch_seconds = Histogram(
            f"{name}_batch_seconds", "The model on one batch.", buckets=SECONDS, registry=registry
        )
        self.batch_texts = Histogram(f"{name}_batch_texts", "Texts of a batch.", buckets=SIZES, registry=registry)
        self.batch_tokens = Histogram(f"{name}_batch_tokens", "Tokens of a batch.", buckets=TOKENS, registry=registry)
        waiting = Gauge(f"{name}_waiting_texts", "Texts that wait for the model.", registry=registry)
        waiting.set_function(lambda: line.texts)
        self.under_way = Gauge(f"{name}_requests_under_way", "Requests not answered yet.", registry=registry)
        self.model = Gauge(
            f"{name}_model_info", "1 for the model that new requests get.", ["model", "digest"], registry=registry
        )
        self.followed = Gauge(
            f"{name}_alias_seen_timestamp_seconds", "When MLflow last said where the alias points.", registry=registry
        )
        self.not_followed = Counter(
            f"{name}_alias_failures", "Times that MLflow did not answer, or a new version could not be served.",
            registry=registry,
        )  # fmt: skip

    def serves(self, model: ServedModel) -> None:
        """From now on new requests get this model."""
        self.model.clear()
        self.model.labels(model.located.label, model.located.digest).set(1)

    def batch(self, texts: int, tokens: int, seconds: float) -> None:
        """One batch went through the model."""
        self.batch_texts.observe(texts)
        self.batch_tokens.observe(tokens)
        self.batch_seconds.observe(seconds)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
