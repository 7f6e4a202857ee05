"""The weighted mean of models' weights, tensor by tensor. Called in a child process: it imports PyTorch."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from stsflow.tasks.ground.errors import ModelError

OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


def average(parts: Mapping[Path, float], target: Path) -> None:
    """Fill the empty folder `target` with the sum of the models in `parts`, each times its weight, computed in float64.

    The weights sum to one. All else in the folder is the last model's. A tensor that is the same in all stays the same
    to the bit, and numbers that are not floating point must be. Raises ModelError when the folders do not hold the same
    tensors.
    """
    first, *_, last = parts
    files = _weights(first)
    for other in parts:
        if (found := _weights(other)) != files:
            raise ModelError(f"one model has its weights in {', '.join(files)}, another in {', '.join(found)}")
    shutil.copytree(last, target, dirs_exist_ok=True)
    for name in files:
        _average_file({folder / name: weight for folder, weight in parts.items()}, target / name)


def _weights(folder: Path) -> list[str]:
    pickled = [path.name for pattern in OTHER_WEIGHTS for path in folder.rglob(pattern)]
    if pickled:
        raise ModelError(f"models are averaged from safetensors, and one has weights in {pickled[0]} too")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))


def _average_file(parts: Mapping[Path, float], target: Path) -> None:
    """Put the means into `target`, a copy of the last file: one tensor of each model is in memory at a time."""
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, framework="pt")) for path in parts]
        names = [set(file.keys()) for file in files]
        if differing := sorted(set.union(*names) - set.intersection(*names)):
            raise ModelError(f"{target.name}: not all of the models have the tensor {differing[0]}")
        with target.open("r+b") as stream:
            for name, (begin, end) in _places(target).items():
                mixed = _mixed(name, [file.get_tensor(name) for file in files], list(parts.values()))
                content = mixed.contiguous().reshape(-1).view(torch.uint8).numpy()
                assert content.size == end - begin
                stream.seek(begin)
                stream.write(content)


def _mixed(name: str, tensors: Sequence[Any], weights: Sequence[float]) -> Any:
    first, *others = tensors
    for other in others:
        if first.shape != other.shape or first.dtype != other.dtype:
            found = (f"{one.dtype} {tuple(one.shape)}".removeprefix("torch.") for one in (first, other))
            raise ModelError(f"the tensor {name} is {' in one model and '.join(found)} in another")
        if not first.is_floating_point() and not torch.equal(first, other):
            raise ModelError(f"the tensor {name} is not of floating-point numbers and differs: it cannot be averaged")
    if not first.is_floating_point():
        return first
    return sum(weight * one.double() for one, weight in zip(tensors, weights, strict=True)).to(first.dtype)


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Where the bytes of each tensor begin and end in a safetensors file, by its header."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {name: (8 + length + one["data_offsets"][0], 8 + length + one["data_offsets"][1])
            for name, one in header.items()}  # fmt: skip
