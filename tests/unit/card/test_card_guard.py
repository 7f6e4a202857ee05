"""What the card says of the guard against forgetting."""

from __future__ import annotations

from typing import Any

from stsflow.tasks.card.facts import facts_in
from stsflow.tasks.card.render import render_card


def guarded(records: Any, change: float, margin: float) -> Any:
    """The same run with its test suite as a guard, on which tuned minus base is `change`, plus and minus 0.02."""
    values = records.recipe.model_dump(mode="json")
    values["evaluation"]["guard"] = {"sts-test": {"margin": margin}}
    dev, test = records.differences
    around = test.interval.model_copy(update={"low": change - 0.02, "high": change + 0.02})
    moved = test.model_copy(update={"difference": change, "interval": around})
    return records.but(recipe=type(records.recipe).model_validate(values), differences=(dev, moved))


def test_a_guard_that_was_lost_is_called_lost_with_its_numbers(records: Any) -> None:
    content = guarded(records, -0.05, 0.01).content()
    assert (
        "- KorSTS test (split test) is lost: spearman_cosine -0.0500 against the base model (interval -0.0700 to "
        "-0.0300), where a loss of at most 0.0100 is accepted."
    ) in render_card(content)
    assert facts_in(content)["guard.sts-test.margin"].value == 0.01


def test_a_guard_is_kept_only_when_the_whole_interval_lies_within_the_margin(records: Any) -> None:
    assert "KorSTS test (split test) is kept" in render_card(guarded(records, -0.05, 0.08).content())
    assert "KorSTS test (split test) is lost" in render_card(guarded(records, -0.05, 0.06).content())  # down to -0.07
    assert "split test; the headline suite; a guard against forgetting" in render_card(
        guarded(records, 0.0, 0.1).content()
    )


def test_without_a_guard_the_card_has_no_such_section(records: Any) -> None:
    assert "Guard Against Forgetting" not in render_card(records.content())
