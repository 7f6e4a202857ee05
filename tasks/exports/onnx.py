"""ONNX: the whole model as one graph, from tokens to the finished embedding, for onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from stsflow.tasks.exports.family import Encode, Export, Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stsflow.tasks.exporting.making import Making

SNIPPET = """\
import json
from pathlib import Path

import numpy as np
{imports}
from tokenizers import Tokenizer

folder = Path({folder})
manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
{load}


def embed(texts, side="alike"):
    \"\"\"Embeddings of texts. In search `side` is "query" or "document"; "alike" where all texts are of one sort.\"\"\"
    read = tokenizer.encode_batch([manifest["prompts"][side] + text for text in texts])
    tokens = {{
        "input_ids": np.array([one.ids for one in read], np.int64),
        "attention_mask": np.array([one.attention_mask for one in read], np.int64),
    }}
    {run}


expected = manifest["expected"]
embeddings = embed(expected["texts"])
print(embeddings.shape)
# ({texts}, {dimension})
print(bool(np.abs(embeddings - np.array(expected["embeddings"])).max() <= expected["tolerance"]))
# True"""


class OnnxFile(Export):
    """What the kinds have in common that are one ONNX file for onnxruntime."""

    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "onnxscript")
    main_file: ClassVar[str] = "model.onnx"
    opset: int = Field(default=18, ge=18, le=23)
    """Version of ONNX's operators that the graph is written in."""

    def reader(self, folder: Path) -> Encode:
        from tokenizers import Tokenizer

        from stsflow.tasks.exporting.runtime import OUTPUT, onnx_session, tokens_of

        session, tokenizer = onnx_session(folder / self.main_file), Tokenizer.from_file(str(folder / "tokenizer.json"))

        def encode(texts: Sequence[str]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = session.run([OUTPUT], tokens_of(tokenizer, texts))[0]
            return found

        return encode

    def snippet(self, folder: str, dimension: int) -> str:
        from stsflow.tasks.exporting.making import FIXED_TEXTS

        return SNIPPET.format(
            imports="import onnxruntime", folder=folder, texts=len(FIXED_TEXTS), dimension=dimension,
            load=f'session = onnxruntime.InferenceSession(folder / "{self.main_file}", '
            'providers=["CPUExecutionProvider"])',
            run="return session.run(None, tokens)[0]",
        )  # fmt: skip

    def described(self, path: Path) -> dict[str, JsonValue]:
        """Opset, inputs and outputs of the file, for the manifest."""
        from stsflow.tasks.exporting.graph import described

        return described(path)


class Onnx(OnnxFile):
    """The tuned model as an ONNX file in float32."""

    kind: Literal["onnx"] = "onnx"
    usual: ClassVar[Limits] = Limits(max_distance=1e-4, mean_distance=1e-5, metric_loss=0.001)
    tolerance: ClassVar[float] = 1e-4

    def make(self, making: Making) -> dict[str, JsonValue]:
        from stsflow.tasks.exporting.graph import write_graph

        making.save_tokenizer()
        write_graph(making.model, making.folder / self.main_file, opset=self.opset, dimensions=self.dimensions)
        return self.described(making.folder / self.main_file)
