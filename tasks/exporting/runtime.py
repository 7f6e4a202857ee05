"""onnxruntime and the saved tokenizer: what reads an export where there is no PyTorch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
"""Names of what goes into a graph and of what comes out."""


def onnx_session(path: Path) -> Any:
    """A session on the CPU, with as many threads as PyTorch takes in such a process (OMP_NUM_THREADS)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def convert_to_openvino(source: Path, target: Path) -> None:
    """Write an ONNX file in OpenVINO's form: `target` and its weights beside it, in float32."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # or each conversion is reported
    import openvino

    openvino.save_model(openvino.convert_model(str(source)), str(target), compress_to_fp16=False)


def openvino_model(path: Path) -> Any:
    """The compiled model on the CPU, in float32 and with as many threads as PyTorch takes (OMP_NUM_THREADS)."""
    import openvino

    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads := int(os.environ.get("OMP_NUM_THREADS") or 0):
        settings["INFERENCE_NUM_THREADS"] = threads
    return openvino.Core().compile_model(str(path), "CPU", settings)


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The inputs of a batch, cut and padded by the tokenizer itself."""
    read = tokenizer.encode_batch(list(texts))
    return {
        "input_ids": np.array([one.ids for one in read], np.int64),
        "attention_mask": np.array([one.attention_mask for one in read], np.int64),
    }
