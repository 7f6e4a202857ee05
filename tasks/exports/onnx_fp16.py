"""ONNX in half precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import JsonValue

from stsflow.tasks.exports.family import Export, Limits
from stsflow.tasks.exports.onnx import Onnx, OnnxFile

if TYPE_CHECKING:
    from stsflow.tasks.exporting.making import Making


class OnnxFp16(OnnxFile):
    """The tuned model as an ONNX file in float16; it takes tokens and gives float32. Meant for a GPU: a CPU without
    arithmetic of 16 bits reads the small file and computes in float32."""

    kind: Literal["onnx_fp16"] = "onnx_fp16"
    usual: ClassVar[Limits] = Limits(max_distance=1e-3, mean_distance=1e-4, metric_loss=0.002)
    tolerance: ClassVar[float] = 0.01

    @property
    def made_from(self) -> Export:
        return Onnx(dimensions=self.dimensions, opset=self.opset)

    def make(self, making: Making) -> dict[str, JsonValue]:
        from stsflow.tasks.exporting.quantise import halve

        halve(making.from_source(self.main_file), making.folder / self.main_file)
        return self.described(making.folder / self.main_file)
