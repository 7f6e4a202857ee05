"""What the licences of base model and training data mean for the licence of the tuned model.

Whether a licence of training data binds the weights is not settled; the card takes the cautious reading and says so.
It is a reading aid, not legal advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stsflow.tasks.ground.schema import Record

Terms = Literal[
    "permissive", "attribution", "share-alike", "non-commercial", "no-derivatives", "copyleft", "unclassified"
]
"""`attribution` is permissive but asks for credit; `non-commercial` includes its share-alike form."""

TERMS: dict[str, Terms] = {
    "apache-2.0": "permissive", "mit": "permissive", "mit-0": "permissive", "bsd-2-clause": "permissive",
    "bsd-3-clause": "permissive", "isc": "permissive", "unlicense": "permissive", "cc0-1.0": "permissive",
    "pddl": "permissive", "cc-by-3.0": "attribution", "cc-by-4.0": "attribution", "cc-by-2.0": "attribution",
    "odc-by": "attribution", "cdla-permissive-2.0": "attribution", "cc-by-sa-3.0": "share-alike",
    "cc-by-sa-4.0": "share-alike", "odbl": "share-alike", "cdla-sharing-1.0": "share-alike",
    "cc-by-nc-2.0": "non-commercial", "cc-by-nc-3.0": "non-commercial", "cc-by-nc-4.0": "non-commercial",
    "cc-by-nc-sa-2.0": "non-commercial", "cc-by-nc-sa-3.0": "non-commercial", "cc-by-nc-sa-4.0": "non-commercial",
    "cc-by-nc-nd-4.0": "no-derivatives", "cc-by-nd-4.0": "no-derivatives", "gpl-2.0": "copyleft",
    "gpl-3.0": "copyleft", "lgpl-3.0": "copyleft", "agpl-3.0": "copyleft", "mpl-2.0": "copyleft",
}  # fmt: skip

HUB_LICENCES = frozenset({
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1",
    "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl",
    "mpl-2.0", "odc-by", "odbl", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib",
    "pddl", "lgpl-lr", "deepfloyd-if-license", "llama2", "gemma", "unknown", "other",
})  # fmt: skip
"""What `license` may say in a card on the hub (https://huggingface.co/docs/hub/repositories-licenses)."""


class LicensedPart(Record):
    """The base model or a training set, and what its licence asks for."""

    what: str
    license: str
    """SPDX identifier, lower case; empty when the recipe does not state one."""

    @property
    def terms(self) -> Terms | Literal["not stated"]:
        """The group of its licence."""
        return TERMS.get(self.license.lower(), "unclassified") if self.license else "not stated"


class LicenceConclusion(Record):
    """The licence that the card names, and the sentences that give the reason."""

    license: str
    """SPDX identifier, or `other` when none follows."""
    reasons: tuple[str, ...]
    parts: tuple[LicensedPart, ...]


def conclude_licence(base: LicensedPart, data: Sequence[LicensedPart], wanted: str = "") -> LicenceConclusion:
    """The licence of a model tuned from `base` on `data`.

    `wanted` is the recipe's own choice: it is kept, and what speaks against it is said. Without it: an unstated,
    unclassified or no-derivatives licence gives `other`; non-commercial terms win over share-alike ones, those over
    permissive ones; two different licences of the same strict group give `other`.
    """
    parts = (base, *data)
    derived, reason = _derive(base, parts)
    if not wanted:
        return LicenceConclusion(license=derived, reasons=(reason, *_credit(parts), _CAUTION), parts=parts)
    reasons = [f"The recipe states {wanted} for the tuned model."]
    if wanted.lower() != derived:
        reasons.append(f"The licences of its parts point elsewhere. {reason}")
    return LicenceConclusion(license=wanted.lower(), reasons=(*reasons, *_credit(parts), _CAUTION), parts=parts)


_CAUTION = (
    "Whether a licence of training data binds a model's weights is not settled law; this is the cautious reading, and "
    "no legal advice."
)


def _derive(base: LicensedPart, parts: Sequence[LicensedPart]) -> tuple[str, str]:
    unclear = [part for part in parts if part.terms in ("not stated", "unclassified")]
    if unclear:
        return "other", f"{_names(unclear)}, so no licence follows for the tuned model; ask before you redistribute it."
    forbidding = _with_terms(parts, "no-derivatives")
    if forbidding:
        return "other", f"{_names(forbidding)}, which allows no derived works to be shared."
    for terms, consequence in _STRICT:
        strict = _with_terms(parts, terms)
        if not strict:
            continue
        licences = sorted({part.license.lower() for part in strict}, key=lambda name: ("-sa-" not in name, name))
        if len(licences) > 1 and not (
            terms == "non-commercial" and "-sa-" in licences[0] and "-sa-" not in licences[1]
        ):
            return "other", f"{_names(strict)}; these ask for different licences, so neither is claimed."
        return licences[0], f"{_names(strict)}, {consequence}"
    return base.license.lower(), f"The base model is under {base.license.lower()}, and no training set asks for more."


_STRICT: tuple[tuple[Terms, str], ...] = (
    ("non-commercial", "which rules out commercial use: the tuned model is offered for non-commercial use only."),
    ("copyleft", "which asks that derived works be shared under the same licence, so the tuned model carries it."),
    (
        "share-alike",
        "which asks that adapted material be shared under the same licence, so the tuned model carries it and not a "
        "permissive one.",
    ),
)


def _with_terms(parts: Sequence[LicensedPart], terms: Terms) -> list[LicensedPart]:
    return [part for part in parts if part.terms == terms]


def _credit(parts: Sequence[LicensedPart]) -> tuple[str, ...]:
    named = [part.what for part in parts if part.license.lower().startswith(("cc-by", "odc-by"))]
    return (f"Give credit to the authors of {_join(named)} when you pass the model on.",) if named else ()


def _names(parts: Sequence[LicensedPart]) -> str:
    stated = [f"{part.what} is under {part.license.lower()}" for part in parts if part.license]
    silent = [part.what for part in parts if not part.license]
    if silent:
        stated.append(f"the recipe does not state the licence of {_join(silent)}")
    unknown = [part.what for part in parts if part.terms == "unclassified"]
    if unknown:
        stated.append(f"whose terms are not in the table of known licences ({_join(unknown)})")
    text = _join(stated)
    return text[:1].upper() + text[1:]


def _join(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
