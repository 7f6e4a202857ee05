"""An ONNX file in smaller numbers, by what onnxruntime brings for it. Called in a child process."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from stsflow.tasks.exporting.runtime import tokens_of
from stsflow.tasks.ground.errors import ModelError

QUANTISED = ("MatMul", "Gemm", "Gather")
"""Operators whose weights become 8 bits: layers, and tables of embeddings."""
TEXTS_AT_A_TIME = 8


def quantise(
    source: Path, target: Path, tokenizer: Any, texts: Sequence[str], *, reduce_range: bool
) -> dict[str, JsonValue]:
    """Write `source` with weights of 8 bits, one scale for each column; return what the manifest says of it.

    With `texts` the ranges of what layers are given are fixed by them; without, they are found for every batch.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)  # a line for each layer otherwise
    with tempfile.TemporaryDirectory(prefix=".quantise.", dir=target.parent.parent) as scratch:
        folded = Path(scratch) / "folded.onnx"
        # Weights that are turned before they are used are no weights to the quantiser until this is done once for all.
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        shared: dict[str, Any] = {
            "per_channel": True, "reduce_range": reduce_range, "weight_type": QuantType.QInt8,
            "op_types_to_quantize": list(QUANTISED),
            "extra_options": {"MatMulConstBOnly": True},  # not the products of two activations, in attention
        }  # fmt: skip
        if texts:
            quantize_static(
                str(folded), str(target), _Batches(tokenizer, texts), quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8, **shared,
            )  # fmt: skip
        else:
            quantize_dynamic(str(folded), str(target), **shared)
    return {"calibration": {"kind": "static" if texts else "dynamic", "texts": len(texts)}}


def halve(source: Path, target: Path) -> None:
    """Write `source` in float16, inputs and outputs left as they are; raises ModelError where it does not convert."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        halved = convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    except (MemoryError, OSError):
        raise  # of the machine, not of the graph
    except Exception as error:  # whatever onnxruntime raises for a graph that it does not know
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"onnxruntime cannot write it in float16: {type(error).__name__}: {said}") from error
    onnx.save(halved, str(target))


class _Batches:
    """Inputs of calibration, as onnxruntime asks for them: one batch after another, then None."""

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        ordered = sorted(texts, key=len)
        self._left = [ordered[at : at + TEXTS_AT_A_TIME] for at in range(0, len(ordered), TEXTS_AT_A_TIME)]
        self._tokenizer = tokenizer

    def get_next(self) -> dict[str, Any] | None:
        return tokens_of(self._tokenizer, self._left.pop()) if self._left else None
