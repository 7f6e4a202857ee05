"""Losses with a guide: their value against the formula worked out in numpy, what is saved, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import SENTENCES, build_tiny_model
from safetensors import safe_open
from sentence_transformers import SentenceTransformer

from stsflow.tasks.ground.workspace import TrainingFolder
from stsflow.tasks.losses import CachedGist, CosineSimilarity, Gist, Loss, Matryoshka
from stsflow.tasks.models.padding_free import enable_padding_free, is_padding_free
from stsflow.tasks.shapes import Roles
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child

Array = np.ndarray[Any, Any]
TRIPLETS = (SENTENCES[0:4], SENTENCES[4:8], SENTENCES[8:12])
MakeRequest = Callable[..., TrainingRequest]


@pytest.fixture(scope="module")
def guide_folder(tmp_path_factory: pytest.TempPathFactory, small_bert: Path) -> Path:
    """Of the same vocabulary, with other weights."""
    model, folder = loaded(small_bert), tmp_path_factory.mktemp("guides") / "bert"
    torch.manual_seed(11)
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def loaded(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu").eval()


def cosines(left: Array, right: Array) -> Array:
    left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right))
    product: Array = left @ right.T
    return product


def by_hand(columns: list[Array], guided: list[Array], loss: Any) -> tuple[float, int]:
    """Mean over anchors of -log softmax at the own positive, over what the guide lets stand; how much it takes out."""
    values, out = [], 0
    for row in range(len(columns[0])):
        own = cosines(guided[0], guided[1])[row, row]
        limit = own - (loss.margin if loss.margin_strategy == "absolute" else abs(own) * loss.margin)
        pairs = [(0, other) for other in range(1, len(columns))]
        pairs += [(0, 0)] * loss.contrast_anchors + [(1, 1)] * loss.contrast_positives
        terms = []
        for one, other in pairs:
            for column in range(len(columns[0])):
                if (one, other) == (0, 1) and column == row:
                    continue
                if cosines(guided[one], guided[other])[row, column] > limit:
                    out += 1
                else:
                    terms.append(cosines(columns[one], columns[other])[row, column] / loss.temperature)
        positive = cosines(columns[0], columns[1])[row, row] / loss.temperature
        values.append(np.log(np.exp([positive, *terms]).sum()) - positive)
    return float(np.mean(values)), out


CASES: list[Any] = [
    Gist(temperature=0.1),
    Gist(temperature=0.5, margin=0.3, contrast_anchors=False),
    Gist(temperature=0.5, margin_strategy="relative", margin=0.2, contrast_positives=False),
    CachedGist(temperature=0.1, margin=0.05, mini_batch_size=3),
]


@pytest.mark.parametrize("padding_free", [False, True], ids=["padded", "flattened"])
@pytest.mark.parametrize("architecture", ["bert", "xlmr"], ids=["same vocabulary", "another vocabulary"])
@pytest.mark.parametrize("loss", CASES, ids=lambda loss: f"{loss.kind}-{loss.margin_strategy}-{loss.margin}")
def test_the_value_is_that_of_the_formula(
    loss: Any, architecture: Any, padding_free: bool, small_bert: Path, guide_folder: Path, tmp_path: Path
) -> None:
    model = loaded(small_bert)
    guide = loaded(guide_folder if architecture == "bert" else build_tiny_model(tmp_path / "xlmr", architecture))
    ids = [model.tokenizer(list(column))["input_ids"] for column in TRIPLETS]
    given_back = [model.tokenizer.batch_decode(column, skip_special_tokens=True) for column in ids]
    read = TRIPLETS if architecture == "bert" and not padding_free else given_back
    columns, guided = (
        [reader.encode(list(column)).astype(np.float64) for column in texts]
        for reader, texts in ((model, TRIPLETS), (guide, read))
    )
    wanted, taken_out = by_hand(columns, guided, loss)
    assert taken_out > 8  # more than each anchor and positive itself
    if padding_free:
        assert enable_padding_free(model, "on", "cpu", "float32").chosen == "on"
    features = [model.preprocess(list(column)) for column in TRIPLETS]
    built = loss.build(model, guide)
    assert built(features, None).item() == pytest.approx(wanted, rel=2e-4)


def test_a_padded_guide_gets_texts_and_no_flattened_batch(small_bert: Path, guide_folder: Path) -> None:
    model, guide = loaded(small_bert), loaded(guide_folder)
    assert not Gist().build(model, guide).must_retokenize
    enable_padding_free(model, "on", "cpu", "float32")
    assert is_padding_free(model) and Gist().build(model, guide).must_retokenize
    enable_padding_free(guide, "on", "cpu", "float32")
    assert not Gist().build(model, guide).must_retokenize


def test_negatives_are_those_before_the_guide_takes_any_out() -> None:
    assert Gist().negatives(4, 3) == 7 + 3 + 3  # 4 positives and 4 negatives less its own; other anchors; positives
    assert Gist(contrast_anchors=False, contrast_positives=False).negatives(4, 3) == 7
    assert Gist(contrast_anchors=False).negatives(np.array([2, 4]), 2).tolist() == [1 + 1, 3 + 3]


def test_only_the_cached_form_takes_several_negatives() -> None:
    several = Roles(("a", "p", "n1", "n2"), negatives=2)
    assert CachedGist().takes(several) and not Gist().takes(several)
    assert Gist().takes(Roles(("a", "p"))) and not Gist().takes(Roles(("a", "b"), score="s"))


def test_what_holds_of_a_guided_loss_holds_of_the_matryoshka_around_it() -> None:
    around = Matryoshka(loss=CachedGist(mini_batch_size=8), dimensions=(16,))
    assert around.needs_guide and around.rows_at_a_time == 8
    assert not Matryoshka(loss=CosineSimilarity(), dimensions=(8,)).needs_guide


@pytest.mark.parametrize("loss", [Gist(), CachedGist(), Matryoshka(loss=Gist(), dimensions=(32, 8))])
def test_the_guide_learns_nothing_and_the_model_does(loss: Loss, small_bert: Path, guide_folder: Path) -> None:
    model, guide = loaded(small_bert), loaded(guide_folder).requires_grad_(False)
    built = loss.build(model, guide)
    built([model.preprocess(list(column)) for column in TRIPLETS], None).backward()
    assert all(weight.grad is None for weight in guide.parameters())
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


@pytest.mark.usefixtures("in_this_process")
def test_no_checkpoint_holds_the_guide(request_of: MakeRequest, guide_folder: Path, tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path / "training")
    asked = request_of(
        losses={"nli": Gist(), "sts": CosineSimilarity()}, guide=guide_folder, eval_steps=10, max_steps=20
    )
    trained = train_in_child(asked, folder)
    assert trained.guide is not None and trained.guide.digest == asked.guide.digest  # type: ignore[union-attr]
    checkpoint = folder.checkpoints / "checkpoint-20"
    with safe_open(checkpoint / "model.safetensors", framework="np") as tensors:
        names = list(tensors.keys())
    assert names and not [name for name in names if "guide" in name]
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    groups = [len(group["params"]) for group in state["param_groups"]]
    assert sum(groups) == len(list(loaded(folder.model).parameters()))


def test_the_guide_counts_in_the_fingerprint(request_of: MakeRequest, guide_folder: Path, small_bert: Path) -> None:
    losses = {"nli": Gist(), "sts": CosineSimilarity()}
    other, same = (request_of(losses=losses, guide=folder) for folder in (guide_folder, small_bert))
    assert len({other.fingerprint, same.fingerprint, request_of(losses=losses).fingerprint}) == 3
