"""Where a push by hand goes: what was said over what is known of the version."""

from __future__ import annotations

import pytest

from stsflow.flows.push import place_of

RECIPE = {"repo": "acme/a", "private": False, "branch": "staging", "pull_request": False}


@pytest.mark.parametrize(
    ("said", "known", "place"),
    [
        ({}, RECIPE, RECIPE),
        ({"repo": "acme/a"}, RECIPE, RECIPE),
        ({"pull_request": True}, RECIPE, {"repo": "acme/a", "private": False, "pull_request": True}),
        ({"pull_request": False}, RECIPE, RECIPE),
        ({"branch": "other"}, {"repo": "acme/a", "pull_request": True}, {"repo": "acme/a", "branch": "other"}),
        ({"repo": "acme/b"}, RECIPE, {"repo": "acme/b", "private": False}),
        ({"repo": "acme/b", "branch": "x"}, RECIPE, {"repo": "acme/b", "private": False, "branch": "x"}),
        ({"repo": "acme/b"}, {}, {"repo": "acme/b"}),
    ],
)  # fmt: skip
def test_what_was_said_counts_and_branch_and_pull_request_never_meet(
    said: dict[str, str | bool], known: dict[str, str | bool | None], place: dict[str, str | bool | None]
) -> None:
    assert place_of(said, known) == place
