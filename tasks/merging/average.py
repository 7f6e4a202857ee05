"""The weighted average of two models' weights, tensor by tensor. Called in a child process: it imports PyTorch."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from stsflow.tasks.ground.errors import ModelError

OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


def average(base: Path, tuned: Path, weight: float, target: Path) -> None:
    """Fill the empty folder `target` with `(1 - weight) * base + weight * tuned`, computed in float32.

    All else in it is the tuned model's. A tensor that is the same in both stays the same to the bit, and numbers that
    are not floating point must be. Raises ModelError when the two folders do not hold the same tensors.
    """
    files = _weights(base)
    if (others := _weights(tuned)) != files:
        raise ModelError(f"the base model has its weights in {', '.join(files)}, the tuned one in {', '.join(others)}")
    shutil.copytree(tuned, target, dirs_exist_ok=True)
    for name in files:
        _average_file(base / name, tuned / name, weight, target / name)


def _weights(folder: Path) -> list[str]:
    pickled = [path.name for pattern in OTHER_WEIGHTS for path in folder.rglob(pattern)]
    if pickled:
        raise ModelError(f"models are averaged from safetensors, and one has weights in {pickled[0]} too")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))


def _average_file(base: Path, tuned: Path, weight: float, target: Path) -> None:
    """Put the averages into `target`, a copy of `tuned`: one tensor of each model is in memory at a time."""
    with safe_open(base, framework="pt") as first, safe_open(tuned, framework="pt") as second:
        if differing := sorted(set(first.keys()) ^ set(second.keys())):
            raise ModelError(f"{tuned.name}: only one of base and tuned model has the tensor {differing[0]}")
        with target.open("r+b") as stream:
            for name, (begin, end) in _places(target).items():
                mixed = _mixed(name, first.get_tensor(name), second.get_tensor(name), weight)
                content = mixed.contiguous().reshape(-1).view(torch.uint8).numpy()
                assert content.size == end - begin
                stream.seek(begin)
                stream.write(content)


def _mixed(name: str, base: Any, tuned: Any, weight: float) -> Any:
    if base.shape != tuned.shape or base.dtype != tuned.dtype:
        found = (f"{one.dtype} {tuple(one.shape)}".removeprefix("torch.") for one in (base, tuned))
        raise ModelError(f"the tensor {name} is {' in the base model and '.join(found)} in the tuned one")
    if not base.is_floating_point():
        if not torch.equal(base, tuned):
            raise ModelError(f"the tensor {name} is not of floating-point numbers and differs: it cannot be averaged")
        return tuned
    return torch.lerp(base.float(), tuned.float(), weight).to(tuned.dtype)


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Where the bytes of each tensor begin and end in a safetensors file, by its header."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {name: (8 + length + one["data_offsets"][0], 8 + length + one["data_offsets"][1])
            for name, one in header.items()}  # fmt: skip
