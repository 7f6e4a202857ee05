"""Where a recipe may push to."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stsflow.tasks.recipe.sections import ReleaseConfig

RULES = {"register_as": "tickets", "rules": [{"kind": "beats_base"}]}


def test_a_push_is_private_and_goes_to_main() -> None:
    push = ReleaseConfig.model_validate({**RULES, "push": {"repo": "acme/tickets"}}).push
    assert push is not None and (push.private, push.branch, push.pull_request) == (True, None, False)


@pytest.mark.parametrize(
    "push, said",
    [({"repo": "tickets"}, "`owner/name` as the hub writes it"),
     ({"repo": "acme/tickets/more"}, "`owner/name` as the hub writes it"),
     ({"repo": "acme/../x"}, "`owner/name` as the hub writes it"),
     ({"repo": "acme/t", "branch": "refs/pr/1"}, "outside `refs/`"),
     ({"repo": "acme/t", "branch": "staging", "pull_request": True}, "allowed: one of them"),
     ({"repo": "acme/t", "token": "hf_x"}, "token")],
)  # fmt: skip
def test_what_no_push_can_be_is_refused(push: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ReleaseConfig.model_validate({**RULES, "push": push})


@pytest.mark.parametrize("without", ["register_as", "rules"])
def test_without_a_gate_nothing_is_pushed(without: str) -> None:
    release = {key: value for key, value in RULES.items() if key != without}
    with pytest.raises(ValidationError, match="push needs register_as and rules"):
        ReleaseConfig.model_validate({**release, "push": {"repo": "acme/tickets"}})
