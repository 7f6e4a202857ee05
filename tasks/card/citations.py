"""The BibTeX entries that a card ends with: the library's own, and those of the losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stsflow.tasks.ground.schema import Record

_SBERT_CITATION = """@inproceedings{reimers-2019-sentence-bert,
    title = "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
    author = "Reimers, Nils and Gurevych, Iryna",
    booktitle = "Proceedings of the 2019 Conference on Empirical Methods in Natural Language Processing",
    month = "11",
    year = "2019",
    publisher = "Association for Computational Linguistics",
    url = "https://arxiv.org/abs/1908.10084",
}"""


class Citation(Record):
    """A BibTeX entry and what it belongs to."""

    title: str
    bibtex: str


def loss_names(losses: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    """Class names of the losses and of those inside them, each once, in order."""
    names: dict[str, None] = {}
    for loss in losses.values():
        names[str(loss.get("name", ""))] = None
        parameters = loss.get("parameters")
        inner = parameters.get("loss") if isinstance(parameters, dict) else None
        if isinstance(inner, str) and inner.isidentifier():
            names[inner] = None
    return tuple(name for name in names if name)


def citations(losses: Mapping[str, Mapping[str, object]]) -> tuple[Citation, ...]:
    """The library's entry, then each loss's; losses with the same entry share it."""
    by_text: dict[str, list[str]] = {_SBERT_CITATION: ["Sentence Transformers"]}
    for name, text in (entry for loss in losses.values() for entry in _cited(loss)):
        names = by_text.setdefault(text, [])
        if name not in names:
            names.append(name)
    return tuple(Citation(title=" and ".join(names), bibtex=text) for text, names in by_text.items())


def _cited(loss: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Name and BibTeX of a loss, and of the one inside it, whose entries stand at the end of the outer one's."""
    text, inner = str(loss.get("citation") or "").strip(), loss.get("inner")
    within = list(_cited(inner)) if isinstance(inner, Mapping) else []
    for _, entry in within:
        text = text.removesuffix(entry).strip()
    if text:
        yield str(loss.get("name", "")), text
    yield from within
