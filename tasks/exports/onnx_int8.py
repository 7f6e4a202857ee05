"""ONNX with weights in 8 bits, by onnxruntime's own quantisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from stsflow.tasks.exports.family import Export, Limits
from stsflow.tasks.exports.onnx import Onnx, OnnxFile

if TYPE_CHECKING:
    from stsflow.tasks.exporting.making import Making


class OnnxInt8(OnnxFile):
    """The tuned model as an ONNX file whose weights, word embeddings included, are numbers of 8 bits."""

    kind: Literal["onnx_int8"] = "onnx_int8"
    usual: ClassVar[Limits] = Limits(max_distance=0.1, mean_distance=0.03, metric_loss=0.01)
    tolerance: ClassVar[float] = 0.05
    calibration: Literal["dynamic", "static"] = "dynamic"
    """How the range of what the layers are given is found: `dynamic`, for every batch while it runs, so that a text's
    embedding depends a little on the texts beside it; or `static`, once, on training texts."""
    calibration_texts: int = Field(default=256, ge=8, le=100_000)
    """Training texts that `static` looks at."""
    reduce_range: bool = False
    """Weights in 7 bits: for processors without instructions for 8 bits (VNNI), where sums of 8 bits overflow."""

    @property
    def made_from(self) -> Export:
        return Onnx(dimensions=self.dimensions, opset=self.opset)

    @property
    def calibrates(self) -> bool:
        return self.calibration == "static"

    def make(self, making: Making) -> dict[str, JsonValue]:
        from stsflow.tasks.exporting.quantise import quantise

        made = quantise(
            making.from_source(self.main_file), making.folder / self.main_file, making.tokenizer,
            making.texts[:: max(1, len(making.texts) // self.calibration_texts)][: self.calibration_texts],
            reduce_range=self.reduce_range,
        )  # fmt: skip
        return self.described(making.folder / self.main_file) | made
