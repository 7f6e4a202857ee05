"""What a kind of export is given to make its folder, and the manifest that every folder carries.

Called in a child process.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.fingerprint import sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stsflow.tasks.exports import Export
    from stsflow.tasks.models.kinds import Encoder
    from stsflow.tasks.records.prompts import Prompts

MANIFEST = "manifest.json"
FIXED_TEXTS = (
    "A man is playing a guitar on the stage.",
    "오늘은 비가 오고 바람이 많이 분다.",
    "Order 4711 was shipped on 2026-11-28; it has not arrived yet, and nobody answers the phone.",
)
"""Texts whose embeddings stand in every manifest, so that whoever loads the folder can tell that it works."""
README = """\
# An export of kind {kind}

`manifest.json` says of which model it is, what goes in and comes out, and what the embeddings of three texts are. In
this folder, the code below reads it and compares with that:

```python
{snippet}
```
"""
LIBRARIES = ("torch", "onnx", "onnxruntime", "onnxscript", "openvino")


@dataclass(frozen=True)
class Making:
    """One export about to be made."""

    path: Path
    """Folder of the tuned model."""
    folder: Path
    """Empty, to be filled."""
    source: Path | None
    """Folder of the export that this one is made from."""
    texts: tuple[str, ...] = ()
    """Training texts behind their prompts, for kinds that calibrate."""

    @cached_property
    def model(self) -> Encoder:
        """The tuned model in float32 on the CPU."""
        from stsflow.tasks.models.loading import load_encoder

        return load_encoder(self.path, device="cpu").eval()

    def own_tokenizer(self) -> Any:
        """The model's tokenizer, which cuts a text where the model does; raises ModelError when it has none of this
        form.
        """
        from tokenizers import Tokenizer

        backend = getattr(self.model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(f"{self.path} has no tokenizer.json: its tokenizer works in Python only.")
        tokenizer = Tokenizer.from_str(backend.to_str())
        if self.model.max_seq_length is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(self.model.max_seq_length, direction=self.model.tokenizer.truncation_side)
        return tokenizer

    def save_tokenizer(self) -> None:
        """Leave tokenizer.json, which cuts and pads by itself, as the model's own does.

        Raises ModelError when there is none, or the model pools in a way that the tokens do not tell.
        """
        tokenizer = self.own_tokenizer()
        if any(getattr(module, "include_prompt", True) is False for module in self.model):
            raise ModelError(
                f"{self.path} leaves the tokens of a prompt out when it pools, which a graph of tokens cannot know."
            )
        own = self.model.tokenizer
        tokenizer.enable_padding(
            direction=own.padding_side, pad_id=own.pad_token_id, pad_token=own.pad_token,
            pad_type_id=own.pad_token_type_id,
        )  # fmt: skip
        tokenizer.save(str(self.folder / "tokenizer.json"))

    def from_source(self, name: str) -> Path:
        """The file of that name of the export that this one is made from, whose tokenizer is taken over."""
        assert self.source is not None  # the kind says what it is made from
        shutil.copyfile(self.source / "tokenizer.json", self.folder / "tokenizer.json")
        return self.source / name

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that was left."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))


def write_manifest(
    export: Export, folder: Path, *, model_digest: str, weights_sha256: str, prompts: Prompts,
    max_seq_length: int | None, similarity: str, besides: Mapping[str, Any],
) -> int:  # fmt: skip
    """Embed the fixed texts with the finished folder and leave its manifest.json; return the embeddings' size."""
    sides = {"alike": prompts.of(None), "query": prompts.of("query"), "document": prompts.of("document")}
    embeddings = export.reader(folder)([sides["alike"] + text for text in FIXED_TEXTS])
    if not np.isfinite(embeddings).all():
        raise ModelError("its embeddings hold numbers that are not finite.")
    dimension = int(embeddings.shape[1])
    snippet = export.snippet('"."', dimension)
    write_text_atomically(folder / "README.md", README.format(kind=export.kind, snippet=snippet))
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "format": 1,
        "export": export.what_it_is,
        "model": {"digest": model_digest, "weights_sha256": weights_sha256},
        "files": files,
        "versions": versions_of_exports(),
        **besides,
        "dimension": dimension,
        "max_seq_length": max_seq_length,
        "similarity": similarity,
        "prompts": sides,
        "named_prompts": prompts.texts,
        "expected": {
            "texts": list(FIXED_TEXTS),
            "side": "alike",
            "embeddings": [[float(f"{number:.7g}") for number in row] for row in embeddings.tolist()],
            "tolerance": export.tolerance,
        },
    }
    write_text_atomically(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
    return dimension


def versions_of_exports() -> dict[str, str]:
    """Versions of what makes and reads exports, as far as it is installed."""
    found = {name: version for name, version in versions().items() if name in ("python", "numpy", "tokenizers")}
    found |= {name: version for name, version in versions().items() if name in ("transformers",)}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
