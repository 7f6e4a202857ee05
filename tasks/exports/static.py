"""The static form: a table of token vectors whose mean is a text's embedding. It reads thousands of texts a second."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import JsonValue

from stsflow.tasks.exports.family import Encode, Export, Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stsflow.tasks.exporting.making import Making

SNIPPET = """\
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

folder = Path({folder})
manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
table = load_file(folder / "model.safetensors")["embeddings"]


def embed(texts):
    \"\"\"Embeddings of texts. They know no prompts: a query and a document are read alike.\"\"\"
    found = np.zeros((len(texts), table.shape[1]), np.float32)
    for number, read in enumerate(tokenizer.encode_batch(texts, add_special_tokens=False)):
        if read.ids:
            found[number] = table[read.ids].mean(axis=0, dtype=np.float32)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


expected = manifest["expected"]
embeddings = embed(expected["texts"])
print(embeddings.shape)
# ({texts}, {dimension})
print(bool(np.abs(embeddings - np.array(expected["embeddings"])).max() <= expected["tolerance"]))
# True"""

MODULES = [
    {"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"},
    {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
]
"""With these, sentence-transformers opens the folder as a model of its own."""


class Static(Export):
    """One vector for each token of the vocabulary, in half precision; no layer is left."""

    kind: Literal["static"] = "static"
    needs: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[Limits] = Limits(metric_loss=0.1)
    usual_loss_of_dimensions: ClassVar[float] = 0.1
    is_near_the_model: ClassVar[bool] = False
    takes_prompts: ClassVar[bool] = False
    tolerance: ClassVar[float] = 1e-4
    main_file: ClassVar[str] = "model.safetensors"

    def make(self, making: Making) -> dict[str, JsonValue]:
        from safetensors.numpy import save_file

        from stsflow.tasks.exporting.distil import static_table

        tokenizer, length = making.own_tokenizer(), making.model.max_seq_length
        table = static_table(making.model, tokenizer, self.dimensions)
        tokenizer.no_padding()
        tokenizer.save(str(making.folder / "tokenizer.json"))
        save_file({"embeddings": table}, making.folder / self.main_file)
        config = {
            "model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": int(table.shape[1]),
            "normalize": True, "embedding_dtype": "float16", "max_length": length,
        }  # fmt: skip
        for name, content in (("config.json", config), ("modules.json", MODULES)):
            (making.folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return {"inputs": ["text"], "outputs": ["embedding"]}

    def reader(self, folder: Path) -> Encode:
        import numpy as np
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        table: NDArray[np.float16] = load_file(folder / self.main_file)["embeddings"]
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

        def encode(texts: Sequence[str]) -> NDArray[np.float32]:
            found = np.zeros((len(texts), table.shape[1]), np.float32)
            for number, read in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
                if read.ids:
                    found[number] = table[read.ids].mean(axis=0, dtype=np.float32)
            found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
            return found

        return encode

    def snippet(self, folder: str, dimension: int) -> str:
        from stsflow.tasks.exporting.making import FIXED_TEXTS

        return SNIPPET.format(folder=folder, texts=len(FIXED_TEXTS), dimension=dimension)
