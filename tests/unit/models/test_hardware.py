"""Device and precision follow the machine, and what it cannot do is refused in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.models import hardware
from stsflow.tasks.models.hardware import choose_device, choose_precision, cpu_flags


def machine(monkeypatch: pytest.MonkeyPatch, *, flags: str = "", gpus: tuple[tuple[int, int], ...] = ()) -> None:
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags.split()))
    monkeypatch.setattr(hardware, "cuda_capabilities", lambda: gpus)


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch)
    with pytest.raises(PreconditionError, match=r"training\.device is `cuda`, but .*; set it to `auto` or `cpu`"):
        choose_device("cuda")


def test_auto_takes_a_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch)
    assert choose_device("auto").chosen == "cpu"
    machine(monkeypatch, gpus=((8, 0), (9, 0)))
    assert (choose_device("auto").chosen, choose_device("auto").reason) == ("cuda", "2 CUDA devices found")
    assert choose_device("cpu").chosen == "cpu"


def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(hardware, "_capabilities_from_driver", lambda: ((9, 0),))
    with pytest.raises(PreconditionError, match="CUDA_VISIBLE_DEVICES hides every GPU"):
        choose_device("cuda")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert choose_device("cuda").chosen == "cuda"


@pytest.mark.parametrize(
    ("flags", "chosen", "reason"),
    [
        ("fma avx2", "float32", "neither AMX nor AVX512-BF16"),
        ("avx512f avx512_bf16", "bf16", "AVX512-BF16"),
        ("avx512_bf16 amx_bf16 amx_tile", "bf16", "AMX"),
    ],
)
def test_auto_precision_on_a_cpu(monkeypatch: pytest.MonkeyPatch, flags: str, chosen: str, reason: str) -> None:
    machine(monkeypatch, flags=flags)
    state = choose_precision("auto", "cpu")
    assert (state.name, state.asked, state.chosen) == ("precision", "auto", chosen)
    assert reason in state.reason


def test_bf16_by_emulation_is_allowed_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, flags="avx2")
    assert "slower than float32" in choose_precision("bf16", "cpu").reason


@pytest.mark.parametrize(
    ("asked", "capability", "chosen"),
    [("auto", (8, 0), "bf16"), ("auto", (7, 5), "float32"), ("fp16", (7, 0), "fp16"), ("bf16", (9, 0), "bf16"),
     ("float32", (9, 0), "float32")],
)  # fmt: skip
def test_precision_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, asked: str, capability: tuple[int, int], chosen: str
) -> None:
    machine(monkeypatch, gpus=(capability,))
    assert choose_precision(asked, "cuda").chosen == chosen  # type: ignore[arg-type]


def test_what_the_hardware_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpus=((7, 5),))
    with pytest.raises(PreconditionError, match=r"`fp16`, which needs a GPU"):
        choose_precision("fp16", "cpu")
    with pytest.raises(PreconditionError, match=r"`bf16`, which needs compute capability 8\.0 or higher; .* 7\.5"):
        choose_precision("bf16", "cuda")
    machine(monkeypatch)
    with pytest.raises(PreconditionError, match="precision for a GPU"):
        choose_precision("auto", "cuda")


def test_flags_are_read_from_the_kernels_list(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16\nbugs\t\t:\n")
    assert cpu_flags(path) == {"fpu", "avx512_bf16", "amx_bf16"}
    assert cpu_flags(tmp_path / "none") == frozenset()
