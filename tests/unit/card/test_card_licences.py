"""What follows from the licences of base model and data. Expected results were read off the licences' own terms."""

from __future__ import annotations

import pytest

from stsflow.tasks.card.licences import TERMS, LicensedPart, conclude_licence


def part(license: str, what: str = "Set") -> LicensedPart:
    return LicensedPart(what=what, license=license)


@pytest.mark.parametrize(
    ("base", "data", "license"),
    [
        ("apache-2.0", ["mit"], "apache-2.0"),
        ("apache-2.0", ["cc-by-4.0"], "apache-2.0"),
        ("apache-2.0", ["cc-by-sa-4.0"], "cc-by-sa-4.0"),
        ("apache-2.0", ["cc-by-sa-4.0", "cc-by-4.0"], "cc-by-sa-4.0"),
        ("mit", ["cc-by-sa-4.0", "cc-by-sa-3.0"], "other"),
        ("mit", ["cc-by-nc-4.0"], "cc-by-nc-4.0"),
        ("mit", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0"),
        ("cc-by-nc-4.0", ["mit"], "cc-by-nc-4.0"),
        ("mit", ["cc-by-nc-nd-4.0"], "other"),
        ("mit", ["gpl-3.0"], "gpl-3.0"),
        ("mit", [""], "other"),
        ("", ["mit"], "other"),
        ("mit", ["my-own-terms"], "other"),
        ("Apache-2.0", ["CC-BY-SA-4.0"], "cc-by-sa-4.0"),
    ],
)
def test_the_strictest_part_decides(base: str, data: list[str], license: str) -> None:
    found = conclude_licence(part(base, "Base"), [part(item) for item in data])
    assert found.license == license


def test_share_alike_data_does_not_become_permissive_without_a_word() -> None:
    found = conclude_licence(part("apache-2.0", "Base"), [part("cc-by-sa-4.0", "KorSTS")], wanted="apache-2.0")
    assert found.license == "apache-2.0"
    assert "The licences of its parts point elsewhere. KorSTS is under cc-by-sa-4.0, which asks" in found.reasons[1]
    assert "Give credit to the authors of KorSTS" in " ".join(found.reasons)


def test_silence_is_named() -> None:
    found = conclude_licence(part("mit", "Base"), [part("", "Notes")])
    assert found.reasons[0].startswith("The recipe does not state the licence of Notes, so no licence follows")
    assert found.parts[1].terms == "not stated"


def test_a_wish_that_fits_gives_no_warning() -> None:
    found = conclude_licence(part("mit", "Base"), [part("cc0-1.0")], wanted="MIT")
    assert found.license == "mit"
    assert "point elsewhere" not in " ".join(found.reasons)


def test_identifiers_are_lower_case() -> None:
    assert all(name == name.lower() for name in TERMS)
