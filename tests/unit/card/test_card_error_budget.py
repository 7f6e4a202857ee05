"""What the card says of the error budget of promotion."""

from __future__ import annotations

from typing import Any

from stsflow.tasks.card.render import render_card
from stsflow.tasks.records.looks import Account, ErrorBudget


def test_the_card_says_how_often_the_rows_were_looked_at_and_what_the_next_decision_needs(records: Any) -> None:
    account = Account(
        rows_digest="rows", suites=("sts-test",), rows=1379, looks=7, budget=ErrorBudget(), left=0.865,
        next_level=0.00096, rows_for={"0.005": 21445, "0.01": 5362},
    )  # fmt: skip
    assert (
        "Decisions on promotion that had looked at the rows of KorSTS test when this card was written: 7; 86.5 % of "
        "their error budget of 5 % a year was left, and the next decision had an error of at most 0.096 %; to show a "
        "true gain of 0.0050 takes about 21,445 rows; to show a true gain of 0.0100 takes about 5,362 rows."
    ) in render_card(records.but(account=account).content())


def test_a_recipe_without_a_budget_is_said_to_have_none(records: Any) -> None:
    values = records.recipe.model_dump(mode="json")
    values["release"] |= {"register_as": "m", "rules": [{"kind": "beats_champion"}], "error_budget": "off"}
    recipe = type(records.recipe).model_validate(values)
    assert "Promotion has no error budget" in render_card(records.but(recipe=recipe).content())
    assert "error budget" not in render_card(records.content())
