"""The checks of the base-model preflight, on the loaded model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
from sentence_transformers.sentence_transformer.modules.pooling import PoolingMode

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.models.kinds import ModelKind
from stsflow.tasks.models.loading import load_encoder, replace_pooling
from stsflow.tasks.models.padding_free import unit_embeddings
from stsflow.tasks.models.preflight import LOADED
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

# Distances of unit-length embeddings in float32. Rounding stays below 1e-6; a wrong mask or position is off by 1e-2.
SAME = 1e-4
ALIKE = 1e-4
"""Embeddings of all texts within this distance of each other: the model says the same about everything."""
UNKNOWN_WARNING, UNKNOWN_ERROR = 0.01, 0.5
"""Share of unknown tokens in the sample from which it is said, and from which training is pointless."""
LONGEST_PROBE = 1024
"""Tokens of the longest text that is tried; a long-context model takes minutes for its longest input on a CPU."""

PROBES = (
    "A man is playing a guitar on the stage.",
    "Nobody is riding a horse near the river.",
    "한 여자가 큰 방에서 피아노를 친다.",
    "보고서가 나온 뒤 주식 시장이 크게 떨어졌다.",
    "12",
    "The stock market fell sharply after the report was published, and did not rise again before the end of the year.",
)
NATIVE_REMEDY = (
    "Use a version of the model for an architecture that transformers has itself, without remote code "
    "(for gte-multilingual-base: alibaba-nlp-community/gte-multilingual-base)."
)


def find_faults(ref: BaseModelRef, sample: Sequence[str], folder: Path) -> tuple[Finding, ...]:
    """Findings about the model at `ref`, errors first.

    `folder` takes a temporary copy for the save-and-load check, and a file that says that the model was loaded.
    """
    try:
        model = load_encoder(ref, device="cpu").eval()
        before = None if ref.pooling == "keep" else replace_pooling(ref.path, model, cast("PoolingMode", ref.pooling))
    except MemoryError:
        message = "Loading the model takes more memory than its number of weights explains, or than the machine has."
        remedy = "Check that its config.json belongs to these weights; else use a machine with more memory."
        return (_error("model.memory", ref, message, remedy),)
    except Exception as error:  # whatever a foreign folder, or the code it carries, raises
        said = error.message if isinstance(error, ModelError) else f"The model does not load: {_said(error)}"
        return (_error("model.does_not_load", ref, said, _load_remedy(ref)),)
    (folder / LOADED).touch()
    faults = [*faulty_buffers(ref, model)]
    if faults:
        return tuple(faults)  # anything computed with such buffers says nothing more
    texts = list(dict.fromkeys((*PROBES, *sample)))[:128]
    found = list(tokenizer_faults(ref, model, sample or PROBES))
    if before not in (None, ref.pooling) and (ref.path / "modules.json").is_file():
        message = f"Its own pooling ({before}) is replaced by {ref.pooling}; everything else of it stays."
        found.append(
            _finding("info", "model.pooling_replaced", ref, message, "model.pooling: keep leaves it as it is.")
        )
    try:
        with torch.inference_mode():
            few = texts[:8]
            found += chain(
                embedding_faults(ref, model, texts),
                saving_faults(ref, model, few, folder),
                loading_faults(ref, model, few),
            )
    except Exception as error:  # as above
        found.append(
            _error("model.does_not_run", ref, f"The base model fails on a text: {_said(error)}", _load_remedy(ref))
        )
    return tuple(sorted(found, key=lambda finding: ("error", "warning", "info").index(finding.severity)))


def faulty_buffers(ref: BaseModelRef, model: Encoder) -> Iterator[Finding]:
    """Buffers that the weights file does not hold and that the code left with whatever was in memory."""
    for path, module in model.named_modules():
        for name in sorted(module._non_persistent_buffers_set):
            buffer = module._buffers.get(name)
            fault = None if buffer is None or buffer.numel() == 0 else _fault_of(name, buffer)
            if fault:
                where = f"{path.partition('.')[2] or path}.{name}"
                yield _error(
                    "model.buffer", ref,
                    f"Buffer {where} is not saved with the weights and was not filled when the model was loaded: "
                    f"{fault}. transformers 5 leaves such buffers of a model's own code uninitialised.",
                    NATIVE_REMEDY if ref.trust_remote_code else "Report it to the authors; use another version.",
                )  # fmt: skip


def tokenizer_faults(ref: BaseModelRef, model: Encoder, sample: Sequence[str]) -> Iterator[Finding]:
    """Unknown words, missing special tokens, ids beyond the embedding table."""
    tokenizer = model[0].tokenizer
    ids = tokenizer(list(sample), truncation=True, max_length=model.max_seq_length)["input_ids"]
    rows = model[0].model.get_input_embeddings().weight.shape[0]
    largest = max(chain.from_iterable(ids), default=0)
    if largest >= rows:
        yield _error("model.vocabulary", ref, f"The tokenizer gives token {largest}, but the model has embeddings for "
                     f"{rows} tokens only.", "Use the tokenizer that belongs to these weights.")  # fmt: skip
    for place, name in ((0, "cls_token"), (-1, "sep_token")):
        expected = getattr(tokenizer, f"{name}_id", None)
        missing = sum(expected is not None and (not tokens or tokens[place] != expected) for tokens in ids)
        if missing:
            yield _finding(
                "warning", "model.special_tokens", ref,
                f"{missing} of {len(ids)} texts do not {'begin' if place == 0 else 'end'} with the tokenizer's "
                f"{name.replace('_', ' ')} {getattr(tokenizer, name)!r}.",
                "Check the tokenizer's post-processor: encoders are trained with their special tokens in place.",
            )  # fmt: skip
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    ordinary = [token for token in chain.from_iterable(ids) if token not in special]
    unknown = sum(token == tokenizer.unk_token_id for token in ordinary)
    share = unknown / max(1, len(ordinary))
    if share > UNKNOWN_WARNING:
        yield _finding(
            "error" if share > UNKNOWN_ERROR else "warning", "model.unknown_tokens", ref,
            f"{share:.1%} of the tokens in a sample of {len(ids)} texts are unknown to the tokenizer ({unknown:,} of "
            f"{len(ordinary):,}).",
            "Choose a base model whose vocabulary covers the language of the data.",
            {"unknown": float(unknown), "tokens": float(len(ordinary)), "share": share},
        )  # fmt: skip


def embedding_faults(ref: BaseModelRef, model: Encoder, texts: list[str]) -> Iterator[Finding]:
    """Numbers that are no numbers, all alike, or dependent on what else is in the batch."""
    together = torch.cat([unit_embeddings(model, texts[start : start + 16]) for start in range(0, len(texts), 16)])
    numbers = min(together.shape[1], model.truncate_dim or together.shape[1])
    if numbers != ref.dimension:
        yield _error("model.dimension", ref, f"Embeddings have {numbers} numbers, its configuration says "
                     f"{ref.dimension}.", "The folder's module settings do not belong together.")  # fmt: skip
    broken = int((~torch.isfinite(together)).any(dim=1).sum())
    if broken:
        yield _error("model.not_finite", ref, f"{broken} of {len(texts)} embeddings hold NaN or infinity.",
                     "The weights are damaged, or the architecture's code does not fit them.")  # fmt: skip
        return
    spread = float(torch.cdist(together, together).max())
    if spread < ALIKE:
        message = f"All {len(texts)} texts get the same embedding (largest distance {spread:.1g})."
        yield _error("model.constant", ref, message, "The weights are untrained, or not loaded under their names.")
        return
    same = _same_for_different_tokens(model, texts, together)
    if same:
        first, second = same[0]
        message = f"{len(same)} pairs of different texts get one embedding, such as {first[:60]!r} and {second[:60]!r}."
        yield _finding("warning", "model.same_embedding", ref, message, "Compare it with the model's published scores.")
    few = texts[:8]
    reversed_order = unit_embeddings(model, few[::-1]).flip(0)
    alone = torch.cat([unit_embeddings(model, [text]) for text in few])
    for code, other, what in (("order", reversed_order, "the order of the batch"), ("padding", alone, "padding")):
        off = float((other - together[: len(few)]).norm(dim=1).max())
        if off > SAME:
            yield _error(f"model.depends_on_{code}", ref, f"An embedding changes by {off:.2g} with {what}.",
                         f"Mask or positions of the architecture's code are wrong. {NATIVE_REMEDY}",
                         {"difference": off})  # fmt: skip
    longest = " ".join(["water"] * LONGEST_PROBE)
    limit, model.max_seq_length = model.max_seq_length, min(model.max_seq_length or LONGEST_PROBE, LONGEST_PROBE)
    try:
        if not bool(torch.isfinite(unit_embeddings(model, [longest])).all()):
            yield _error("model.long_text", ref, f"A text of {model.max_seq_length} tokens has no finite embedding.",
                         "Set model.max_seq_length to what the model was trained with.")  # fmt: skip
    finally:
        model.max_seq_length = limit


def saving_faults(ref: BaseModelRef, model: Encoder, texts: list[str], folder: Path) -> Iterator[Finding]:
    """A model that is another one after it was saved and loaded."""
    copy = Path(tempfile.mkdtemp(prefix=".saved-", dir=folder))
    try:
        ModelKind.named(ref.model_kind).save(model, copy)
        saved = ref.model_copy(update={"path": copy})
        off = float(
            (unit_embeddings(load_encoder(saved, device="cpu").eval(), texts) - unit_embeddings(model, texts))
            .norm(dim=1)
            .max()
        )
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    if not off <= SAME:
        yield _error("model.saving", ref, f"Saved and loaded again, the model gives other embeddings (by {off:.2g}).",
                     f"Its code keeps state that it does not save. {NATIVE_REMEDY}", {"difference": off})  # fmt: skip


def loading_faults(ref: BaseModelRef, model: Encoder, texts: list[str]) -> Iterator[Finding]:
    """A model that is another one each time it is loaded: some of its numbers come from nowhere."""
    again = load_encoder(ref, device="cpu", pooling=ref.pooling).eval()
    off = float((unit_embeddings(again, texts) - unit_embeddings(model, texts)).norm(dim=1).max())
    if not off <= SAME:
        yield _error("model.loading", ref, f"Loaded twice, the model gives two embeddings for one text (apart by "
                     f"{off:.2g}).", f"Its code fills weights with random numbers. {NATIVE_REMEDY}",
                     {"difference": off})  # fmt: skip


def _fault_of(name: str, buffer: torch.Tensor) -> str | None:
    """What is wrong with the values of a non-persistent buffer, judged by its name and type; None when nothing is."""
    values = buffer.detach().flatten()
    if name == "position_ids":
        expected = torch.arange(buffer.shape[-1]).expand(buffer.shape).flatten()
        wrong = int((values != expected).sum())
        return (
            f"{wrong:,} of {len(values):,} positions are not 0, 1, 2, … (the first is {int(values[0])})"
            if wrong
            else None
        )
    if name == "token_type_ids":
        wrong = int((values != 0).sum())
        return f"{wrong:,} of {len(values):,} token types are not 0" if wrong else None
    if not values.is_floating_point():
        return None
    if not bool(torch.isfinite(values).all()):
        return "it holds NaN or infinity"
    if name.endswith("inv_freq"):
        # Rotary frequencies fall from 1 (or a fraction of it, when scaled) towards 0 and never reach it.
        falling = bool((values[1:] <= values[:-1]).all()) and float(values[-1]) > 0 and float(values[0]) <= 1.0 + 1e-6
        return None if falling else f"rotary frequencies run from {float(values[0]):.3g} to {float(values[-1]):.3g}"
    if name in ("cos_cached", "sin_cached") and float(values.abs().max()) > 100:
        return f"a rotary cosine or sine is {float(values.abs().max()):.3g}"
    return None


def _same_for_different_tokens(model: Encoder, texts: list[str], embeddings: torch.Tensor) -> list[tuple[str, str]]:
    tokens = model[0].tokenizer(texts, truncation=True, max_length=model.max_seq_length)["input_ids"]
    near = (torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist") < 1e-5).nonzero().tolist()
    return [(texts[a], texts[b]) for a, b in near if a < b and tokens[a] != tokens[b]]


def _load_remedy(ref: BaseModelRef) -> str:
    return NATIVE_REMEDY if ref.trust_remote_code else "Check that the folder is complete and made for transformers 5."


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _error(code: str, ref: BaseModelRef, message: str, remedy: str, numbers: dict[str, float] | None = None) -> Finding:
    return _finding("error", code, ref, message, remedy, numbers)


def _finding(
    severity: Literal["info", "warning", "error"], code: str, ref: BaseModelRef, message: str, remedy: str,
    numbers: dict[str, float] | None = None,
) -> Finding:  # fmt: skip
    return Finding(
        severity=severity, code=code, subject=ref.name, message=message, remedy=remedy, numbers=numbers or {}
    )
