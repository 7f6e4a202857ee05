"""Choose device and precision by what the machine can do, and say why.

Decidable without PyTorch: processor flags from the kernel, GPUs from the NVIDIA driver's library. Where PyTorch is
loaded already (a child process), it is asked instead: it knows what this build can use.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Literal

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.speed_lever import LeverState

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bf16", "fp16"]

AskedDevice = Literal["auto", "cpu", "cuda"]

AMPERE = (8, 0)
"""First compute capability that multiplies bf16 natively."""
VOLTA = (7, 0)
"""First one with tensor cores for fp16."""

NVML_SUCCESS = 0


def choose_device(asked: AskedDevice, *, said_by: str = "training.device") -> LeverState:
    """`cpu` or `cuda` in `chosen`, with the reason; raises PreconditionError for `cuda` where no GPU can be used, which
    names the field or option that said so.
    """
    found = cuda_capabilities()
    if asked == "cpu":
        return LeverState("device", asked, "cpu", "the recipe says cpu")
    if found:
        return LeverState("device", asked, "cuda", f"{len(found)} CUDA device{'s' if len(found) > 1 else ''} found")
    if asked == "cuda":
        raise PreconditionError(
            f"{said_by} is `cuda`, but {_why_no_cuda()}; set it to `auto` or `cpu`, or run where a GPU is."
        )
    return LeverState("device", asked, "cpu", _why_no_cuda())


def choose_precision(asked: Literal["auto", "float32", "bf16", "fp16"], device: str) -> LeverState:
    """`float32`, `bf16` or `fp16` in `chosen` for `device` (`cpu` or `cuda`), with the reason.

    `auto` takes bf16 where the hardware multiplies it natively. Measured on a CPU with AVX512-BF16 and no AMX
    (all-MiniLM-L6-v2, training steps, one thread): bf16 takes 0.6 to 0.7 of float32's CPU time at batch 8, so that
    either instruction set counts. Raises PreconditionError for fp16 on a CPU, and for bf16 or fp16 on a GPU without it.
    """
    return _on_gpu(asked) if device == "cuda" else _on_cpu(asked)


def _on_cpu(asked: str) -> LeverState:
    flags = cpu_flags()
    if asked == "fp16":
        raise PreconditionError(
            "training.precision is `fp16`, which needs a GPU; on a CPU use `auto`, `bf16` or `float32`."
        )
    native = [name for name, flag in (("AMX", "amx_bf16"), ("AVX512-BF16", "avx512_bf16")) if flag in flags]
    if asked == "float32":
        return LeverState("precision", asked, "float32", "the recipe says float32")
    if asked == "bf16":
        how = f"natively ({native[0]})" if native else "by emulation, which is slower than float32"
        return LeverState("precision", asked, "bf16", f"the recipe says bf16; this CPU multiplies it {how}")
    if native:
        return LeverState("precision", asked, "bf16", f"this CPU multiplies bf16 natively ({native[0]})")
    return LeverState("precision", asked, "float32", "this CPU has neither AMX nor AVX512-BF16")


def _on_gpu(asked: str) -> LeverState:
    found = cuda_capabilities()
    if not found:
        raise PreconditionError(f"A precision for a GPU was asked for, but {_why_no_cuda()}.")
    capability = min(found)
    name = f"compute capability {capability[0]}.{capability[1]}"
    if asked == "float32":
        return LeverState("precision", asked, "float32", "the recipe says float32")
    for precision, needed in (("bf16", AMPERE), ("fp16", VOLTA)):
        if asked == precision:
            if capability < needed:
                raise PreconditionError(
                    f"training.precision is `{precision}`, which needs compute capability {needed[0]}.{needed[1]} or "
                    f"higher; this GPU has {capability[0]}.{capability[1]}. Use `auto` or `float32`."
                )
            return LeverState("precision", asked, precision, f"the recipe says {precision}; {name}")
    if capability >= AMPERE:
        return LeverState("precision", asked, "bf16", f"this GPU multiplies bf16 natively ({name})")
    return LeverState("precision", asked, "float32", f"this GPU has no native bf16 ({name})")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Instruction-set flags of the first processor; empty where the kernel does not tell."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def cuda_capabilities() -> tuple[tuple[int, int], ...]:
    """Compute capability of each visible CUDA device, as PyTorch sees it where it is loaded, else the driver."""
    torch = sys.modules.get("torch")
    if torch is not None:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return tuple(torch.cuda.get_device_capability(number) for number in range(count))
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles"):
        return ()
    return _capabilities_from_driver()


def _capabilities_from_driver() -> tuple[tuple[int, int], ...]:
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return ()
    if library.nvmlInit_v2() != NVML_SUCCESS:
        return ()
    try:
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != NVML_SUCCESS:
            return ()
        found = []
        for number in range(count.value):
            handle, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
            if library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) == NVML_SUCCESS and (
                library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
                == NVML_SUCCESS
            ):
                found.append((major.value, minor.value))
        return tuple(found)
    finally:
        library.nvmlShutdown()


def _why_no_cuda() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.version.cuda is None:
        return "the installed PyTorch is a CPU build"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    return "this machine has no usable NVIDIA GPU"
