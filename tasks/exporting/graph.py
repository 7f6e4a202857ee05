"""The tuned model as an ONNX graph, by PyTorch's own exporter. Called in a child process: it imports PyTorch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from stsflow.tasks.exporting.runtime import INPUTS, OUTPUT
from stsflow.tasks.ground.errors import ModelError

if TYPE_CHECKING:
    from stsflow.tasks.models.kinds import Encoder

LARGEST_FILE = 1_900_000_000
"""Bytes of weights from which they lie in a file of their own: a file of ONNX ends at 2 GiB."""
EXAMPLES = ("A text that is read while the graph is written.", "And another one, which is a little longer than that.")


def write_graph(model: Encoder, path: Path, *, opset: int, dimensions: int | None) -> None:
    """Write `model` to `path`: input_ids and attention_mask in, of any batch and length; the finished embedding out.

    Raises ModelError where PyTorch cannot write it.
    """
    import torch
    from torch.nn.functional import normalize

    class Finished(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(list(model))

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            for part in self.parts:
                features = part(features)
            embedding = features[OUTPUT]
            return embedding if dimensions is None else normalize(embedding[:, :dimensions], dim=1)

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    tokens = model.tokenizer(list(EXAMPLES), padding=True, return_tensors="pt")
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    weights = sum(one.numel() * one.element_size() for one in model.parameters())
    try:
        program = torch.onnx.export(
            Finished().eval(), tuple(tokens[name] for name in INPUTS), dynamo=True, opset_version=opset,
            input_names=list(INPUTS), output_names=[OUTPUT], dynamic_shapes=dict.fromkeys(INPUTS, free),
            verbose=False,
        )  # fmt: skip
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever the exporter raises for a model that it cannot follow
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"PyTorch cannot write it as ONNX: {type(error).__name__}: {said}") from error
    assert program is not None  # it is with dynamo
    program.save(str(path), external_data=weights > LARGEST_FILE)


def described(path: Path) -> dict[str, JsonValue]:
    """Opset, inputs and outputs of an ONNX file; a text in a shape is an axis of any size."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False)
    opset = next(one.version for one in graph.opset_import if one.domain in ("", "ai.onnx"))
    return {
        "opset": int(opset),
        "inputs": [_shown(value) for value in graph.graph.input],
        "outputs": [_shown(value) for value in graph.graph.output],
    }


def _shown(value: Any) -> dict[str, JsonValue]:
    import onnx

    tensor = value.type.tensor_type
    shape = [one.dim_param or int(one.dim_value) for one in tensor.shape.dim]
    return {"name": value.name, "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(), "shape": shape}
