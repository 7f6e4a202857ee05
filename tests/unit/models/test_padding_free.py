"""Batches without padding give what padded batches give, and where they cannot, the model stays padded and says so."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from models import SENTENCES
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CosineSimilarityLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import Pooling

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.models.padding_free import (
    autocast,
    counters,
    disable_padding_free,
    enable_padding_free,
    is_padding_free,
)

ARCHITECTURES = ("bert", "xlmr", "gte", "modernbert")
TEXTS = [*SENTENCES, "물", " ".join(SENTENCES)]  # one word up to the longest input


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def load(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True).eval()


def embeddings_and_gradients(model: SentenceTransformer) -> tuple[torch.Tensor, torch.Tensor]:
    model.zero_grad()
    embeddings = model(model.preprocess(TEXTS))["sentence_embedding"]
    weights = torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)
    (embeddings * weights).sum().backward()
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return embeddings.detach(), torch.cat(gradients)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_and_gradients_equal_the_padded_run(tiny_models: Callable[[str], Path], architecture: str) -> None:
    model = load(tiny_models(architecture))
    padded = embeddings_and_gradients(model)
    assert enable_padding_free(model, "auto", "cpu", "float32").chosen == "on"
    flat = embeddings_and_gradients(model)
    assert counters(model)["flattened_batches"] == 1
    assert relative(flat[0], padded[0]) < 1e-5
    assert relative(flat[1], padded[1]) < 1e-5


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken", "weightedmean"])
def test_every_pooling_reads_the_flattened_row(tiny_bert: Path, mode: str) -> None:
    encoder = load(tiny_bert)[0]
    model = SentenceTransformer(modules=[encoder, Pooling(32, mode)], device="cpu").eval()  # type: ignore[arg-type]
    padded = embeddings_and_gradients(model)[0]
    enable_padding_free(model, "on", "cpu", "float32")
    assert relative(embeddings_and_gradients(model)[0], padded) < 1e-5


def test_mpnet_stays_padded_and_says_so(tiny_mpnet: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = load(tiny_mpnet)
    before = embeddings_and_gradients(model)[0]
    with caplog.at_level(logging.WARNING):
        state = enable_padding_free(model, "auto", "cpu", "float32")
    assert (state.chosen, state.proof) == ("off", {})
    assert "MPNetModel computes attention by itself" in state.reason
    assert "batches are padded: MPNetModel" in caplog.text
    assert torch.equal(embeddings_and_gradients(model)[0], before)


def test_on_refuses_where_it_cannot_be(tiny_mpnet: Path) -> None:
    with pytest.raises(PreconditionError, match=r"training\.padding_free is `on`, but MPNetModel computes attention"):
        enable_padding_free(load(tiny_mpnet), "on", "cpu", "float32")


def test_attention_that_mixes_texts_is_found_at_start_up(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stsflow.tasks.models import attention

    def one_long_text(row: attention.FlatRow) -> torch.Tensor:
        rows = (item.transpose(0, 1).unsqueeze(0) for item in row.tensors)
        return torch.nn.functional.scaled_dot_product_attention(*rows)[0].transpose(0, 1)

    monkeypatch.setitem(attention.KERNELS, "by_text", one_long_text)
    model = load(tiny_bert)
    state = enable_padding_free(model, "auto", "cpu", "float32")
    assert state.chosen == "off"
    assert "differs from one text at a time" in state.reason
    assert not is_padding_free(model)
    assert model[0].config._attn_implementation == "sdpa"


def test_an_architecture_that_fails_on_a_flattened_row_stays_padded(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stsflow.tasks.models import attention

    def broken(_: object) -> torch.Tensor:
        raise RuntimeError("no kernel for this")

    monkeypatch.setitem(attention.KERNELS, "by_text", broken)
    model = load(tiny_bert)
    assert enable_padding_free(model, "auto", "cpu", "float32").chosen == "off"
    assert not is_padding_free(model)


def test_causal_attention_is_refused(tiny_bert: Path) -> None:
    model = load(tiny_bert)
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = True
    assert enable_padding_free(model, "auto", "cpu", "float32").chosen == "off"


def test_counters_say_how_much_padding_was_saved(tiny_bert: Path) -> None:
    model = load(tiny_bert)
    lengths = model[0].tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")["attention_mask"]
    enable_padding_free(model, "on", "cpu", "float32")
    model(model.preprocess(TEXTS))
    assert counters(model) == {
        "flattened_batches": 1, "padded_batches": 0, "real_tokens": float(lengths.sum()),
        "padded_tokens_saved": float(lengths.numel() - lengths.sum()),
    }  # fmt: skip


def test_off_and_disabled_leave_no_trace(tiny_gte: Path) -> None:
    model = load(tiny_gte)
    before = embeddings_and_gradients(model)
    parameters, hooks = model[0].model_forward_params, len(model[0]._forward_pre_hooks)
    assert enable_padding_free(model, "off", "cpu", "float32").chosen == "off"
    enable_padding_free(model, "auto", "cpu", "float32")
    disable_padding_free(model)
    assert torch.equal(embeddings_and_gradients(model)[0], before[0])
    assert (model[0].model_forward_params, len(model[0]._forward_pre_hooks)) == (parameters, hooks)
    assert counters(model) == {}


def test_nothing_of_it_is_saved(tiny_bert: Path, tmp_path: Path) -> None:
    plain, free = load(tiny_bert), load(tiny_bert)
    enable_padding_free(free, "on", "cpu", "float32")
    for model, name in ((plain, "plain"), (free, "free")):
        model.save(str(tmp_path / name), create_model_card=False)

    def content(root: Path) -> dict[str, object]:
        files: dict[str, object] = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.*")}
        tokenizer = json.loads((root / "tokenizer.json").read_bytes())
        # The tokenizer saves how it was called last, padded or not, with or without us.
        return files | {"tokenizer.json": tokenizer | {"padding": None, "truncation": None}}

    assert content(tmp_path / "free") == content(tmp_path / "plain")
    assert load(tmp_path / "free")[0].config._attn_implementation == "sdpa"


def train(folder: Path, output: Path, loss_name: str, padding_free: bool, **arguments: object) -> torch.Tensor:
    torch.manual_seed(0)
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if padding_free:
        enable_padding_free(model, "on", "cpu", "float32")
    rows: dict[str, list[object]] = {"anchor": list(SENTENCES), "positive": list(SENTENCES[1:] + SENTENCES[:1])}
    if loss_name == "cosine":
        rows["score"] = [number / 16 for number in range(16)]
    loss = {
        "mnrl": lambda: MultipleNegativesRankingLoss(model),
        "cached": lambda: CachedMultipleNegativesRankingLoss(model, mini_batch_size=3),
        "cosine": lambda: CosineSimilarityLoss(model),
    }[loss_name]()
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(output), per_device_train_batch_size=8, num_train_epochs=2, learning_rate=1e-2, use_cpu=True,
        report_to=[], save_strategy="no", disable_tqdm=True, optim="sgd", **arguments,  # type: ignore[arg-type]
    )  # fmt: skip
    SentenceTransformerTrainer(model=model, args=settings, train_dataset=Dataset.from_dict(rows), loss=loss).train()
    if padding_free:
        assert counters(model)["flattened_batches"] >= 4
        assert counters(model)["padded_batches"] == 0
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize(
    ("architecture", "loss", "checkpointing"),
    [("bert", "mnrl", False), ("bert", "cached", False), ("xlmr", "cosine", False), ("gte", "mnrl", True),
     ("modernbert", "cached", True)],
)  # fmt: skip
def test_the_trainer_ends_with_the_same_weights(
    tiny_models: Callable[[str], Path], tmp_path: Path, architecture: str, loss: str, checkpointing: bool
) -> None:
    folder = tiny_models(architecture)
    start = torch.cat([parameter.detach().flatten() for parameter in load(folder).parameters()])
    padded, free = (
        train(folder, tmp_path, loss, padding_free, gradient_checkpointing=checkpointing)
        for padding_free in (False, True)
    )
    assert not torch.equal(padded, start)
    # The change itself is compared: weights that hardly moved would be equal whatever the gradients were.
    assert relative(free - start, padded - start) < 1e-4
    assert relative(free, padded) < 1e-5


def test_bf16_autocast_stays_close_and_trains(tiny_gte: Path, tmp_path: Path) -> None:
    model = load(tiny_gte)
    exact = embeddings_and_gradients(model)[0]
    assert enable_padding_free(model, "on", "cpu", "bf16").chosen == "on"
    with autocast("cpu", "bf16"):
        half = embeddings_and_gradients(model)[0].float()
    assert relative(half, exact) < 0.05
    assert torch.isfinite(train(tiny_gte, tmp_path, "mnrl", True, bf16=True)).all()


def test_evaluating_first_does_not_spoil_training(tiny_modernbert: Path) -> None:
    # Window masks are kept between calls; one made under inference mode cannot take part in a backward pass.
    model = load(tiny_modernbert)
    enable_padding_free(model, "on", "cpu", "float32")
    model.encode(TEXTS)
    embeddings_and_gradients(model)
