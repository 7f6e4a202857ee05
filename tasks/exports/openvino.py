"""OpenVINO's own form, converted from ONNX by the package itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import JsonValue

from stsflow.tasks.exports.family import Encode, Export, Limits
from stsflow.tasks.exports.onnx import SNIPPET, Onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stsflow.tasks.exporting.making import Making


class OpenVino(Export):
    """The tuned model for OpenVINO, in float32."""

    kind: Literal["openvino"] = "openvino"
    needs: ClassVar[tuple[str, ...]] = ("openvino", *Onnx.needs)
    extra: ClassVar[str] = "export,openvino"
    usual: ClassVar[Limits] = Limits(max_distance=1e-3, mean_distance=1e-4, metric_loss=0.002)
    tolerance: ClassVar[float] = 0.01
    main_file: ClassVar[str] = "model.xml"

    @property
    def made_from(self) -> Export:
        return Onnx(dimensions=self.dimensions)

    def make(self, making: Making) -> dict[str, JsonValue]:
        from stsflow.tasks.exporting.graph import described
        from stsflow.tasks.exporting.runtime import convert_to_openvino

        source = making.from_source(Onnx.main_file)
        convert_to_openvino(source, making.folder / self.main_file)
        return described(source)

    def reader(self, folder: Path) -> Encode:
        from tokenizers import Tokenizer

        from stsflow.tasks.exporting.runtime import openvino_model, tokens_of

        model, tokenizer = openvino_model(folder / self.main_file), Tokenizer.from_file(str(folder / "tokenizer.json"))

        def encode(texts: Sequence[str]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = model(tokens_of(tokenizer, texts))[0]
            return found.copy()  # what it gives lies in memory that the next call writes into

        return encode

    def snippet(self, folder: str, dimension: int) -> str:
        from stsflow.tasks.exporting.making import FIXED_TEXTS

        return SNIPPET.format(
            imports="import openvino", folder=folder, texts=len(FIXED_TEXTS), dimension=dimension,
            load=f'model = openvino.Core().compile_model(folder / "{self.main_file}", "CPU", '
            '{"INFERENCE_PRECISION_HINT": "f32"})',
            run="return model(tokens)[0].copy()",
        )  # fmt: skip
