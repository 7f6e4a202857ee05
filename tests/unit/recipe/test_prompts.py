"""Prompts of the trainer's arguments: found as the trainer finds them, and refused where no text would get them."""

from __future__ import annotations

from typing import Any

import pytest
from sentence_transformers.base.data_collator import BaseDataCollator

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.recipe.prompts import check_prompts, prompts_of

SETS = {"nli": ["anchor", "positive", "negative"], "sts": ["sentence1", "sentence2"]}
GIVEN: list[Any] = [
    None,
    "",
    "query: ",
    '{"anchor": "a: "}',
    {"anchor": "a: ", "sentence2": "s: "},
    {"nli": "n: "},
    {"nli": {"anchor": "a: ", "positive": ""}, "sts": "s: "},
    {"sts": {"sentence1": "one: "}},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_each_column_has_the_prompt_that_the_trainer_gives_it(given: Any, tmp_path: Any) -> None:
    from sentence_transformers import SentenceTransformerTrainingArguments

    seen: dict[str, dict[str, str]] = {name: {} for name in SETS}
    arguments = SentenceTransformerTrainingArguments(output_dir=str(tmp_path), prompts=given, report_to="none")
    for name, columns in SETS.items():

        def preprocess(texts: list[str], prompt: str | None = None, name: str = name, **_: Any) -> dict[str, Any]:
            if prompt:
                seen[name][texts[0]] = prompt
            return {}

        collate = BaseDataCollator(preprocess, prompts=arguments.prompts)
        collate([{"dataset_name": name} | {column: column for column in columns}])
    check_prompts({"prompts": given}, SETS)
    assert {name: prompts_of({"prompts": given}, name, columns) for name, columns in SETS.items()} == seen


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"query": "q: "},
            r"training\.arguments\.prompts\.query: there is no text column of this name or training set",
        ),
        ({"nli": {"sentence1": "q: "}}, r"prompts\.nli\.sentence1: .* columns: anchor, positive, negative"),
        ({"nli": "n: ", "anchor": "a: "}, "nli is a training set and anchor is none"),
        ({"nli": 5}, r"prompts\.nli: found 5"),
        ({"anchor": 5}, r"prompts\.anchor: found 5; a prompt is a text"),
        ({"score": "s: "}, r"prompts\.score: there is no text column"),
        ("[1]", r"prompts: found \[1\]"),
    ],
)
def test_a_prompt_that_no_text_would_get_is_refused(given: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        check_prompts({"prompts": given}, SETS)
