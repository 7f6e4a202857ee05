"""Padding-free batches on a CUDA device: kernels against SDPA on each text, and whole models against padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models import SENTENCES

from stsflow.tasks.models.attention import choose_kernel, difference_from_by_text
from stsflow.tasks.models.hardware import Precision, choose_device, choose_precision
from stsflow.tasks.models.loading import load_encoder
from stsflow.tasks.models.padding_free import autocast, counters, enable_padding_free

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device was found: run `make test-gpu` on a machine with one"
    ),
]
TEXTS = [*SENTENCES, " ".join(SENTENCES)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 3e-2), (torch.float16, 5e-3)])
def test_kernels_agree(dtype: torch.dtype, tolerance: float) -> None:
    capability = torch.cuda.get_device_capability()
    for dropout in (0.0, 0.1):
        kernel = choose_kernel("cuda", dtype, dropout, 64, capability)
        assert difference_from_by_text(kernel, 12, 64, dtype, "cuda") < tolerance


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("architecture", ["bert", "xlmr", "gte", "modernbert"])
def test_embeddings_equal_the_padded_run(
    tiny_models: Callable[[str], Path], architecture: str, precision: Precision
) -> None:
    model = load_encoder(tiny_models(architecture), device="cuda").eval()
    with torch.inference_mode(), autocast("cuda", precision):
        padded = model.encode(TEXTS, convert_to_tensor=True).float()
        assert enable_padding_free(model, "on", "cuda", precision).chosen == "on"
        flat = model.encode(TEXTS, convert_to_tensor=True).float()
    assert counters(model)["flattened_batches"] == 1
    assert float((flat - padded).norm() / padded.norm()) < (1e-3 if precision == "float32" else 5e-2)


def test_the_machine_is_recognised() -> None:
    assert choose_device("auto").chosen == "cuda"
    assert choose_precision("auto", "cuda").chosen in ("bf16", "float32")
