"""Which prompt goes before which text: one answer for training, token counts, evaluation, mining, teaching and card.

A prompt has a name and a text. Names say where: queries take `query`, documents `document`, and rows whose texts are
all alike (`Shape.symmetric`) the model's default; the recipe may name others by column and by suite. Texts are the
model's own, and for the base model what the recipe says in their place; they travel with it (`BaseModelRef.prompts`)
and are saved with the tuned model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.records.prompts import ColumnPrompts, Prompts, Side, SuitePrompts

if TYPE_CHECKING:
    from stsflow.tasks.recipe.sections import PromptsConfig, RunConfig
    from stsflow.tasks.records.models import BaseModelRef
    from stsflow.tasks.shapes import Roles


def prompts_of_set(recipe: RunConfig, name: str, model: BaseModelRef) -> dict[str, str]:
    """What `model` reads before the texts of training set `name`, by column; columns without a prompt are left out.

    `model` is the base, or any other one that reads the set: one that mines, teaches or guides reads it behind prompts
    of its own texts, under the names that the recipe gives.
    """
    return _columns(
        recipe.roles_of(name), model.prompts, recipe.prompts.columns.get(name, {}),
        symmetric=recipe.data.train[name].shape.symmetric,
    )  # fmt: skip


def column_prompts(recipe: RunConfig, model: BaseModelRef) -> ColumnPrompts:
    """What `model` reads before the texts of every training set and of every suite of rows."""
    training = {name: prompts_of_set(recipe, name, model) for name in recipe.data.train}
    evaluation = {}
    for name, suite in recipe.evaluation.suites.items():
        if (roles := suite.roles) is None:
            continue
        given = recipe.prompts.suites.get(name, SuitePrompts())
        names = {column: given.name_for(None if suite.symmetric else _side(roles, column)) for column in roles.texts}
        evaluation[name] = _columns(roles, model.prompts, names, symmetric=suite.symmetric)
    return ColumnPrompts(
        training={name: texts for name, texts in training.items() if texts},
        evaluation={name: texts for name, texts in evaluation.items() if texts},
    )


def prompts_in_run(config: PromptsConfig, own: Prompts) -> Prompts:
    """A model's `own` prompts with those of the recipe in their place; the default follows the recipe's `query`.

    Raises RecipeError for a name that neither has.
    """
    said = {"query": config.query, "document": config.document}
    texts = own.texts | config.named | {name: text for name, text in said.items() if text is not None}
    for where, name in _names(config):
        if name and name not in texts:
            raise RecipeError(f"{where}: there is no prompt {name!r}; there is: {', '.join(texts)}.")
    default = own.default if config.query is None else "query" if config.query else None
    return Prompts(texts=texts, default=default)


def check_prompts(recipe: RunConfig) -> None:
    """Raise RecipeError for a prompt that no text would get."""
    prompts, suites = recipe.prompts, recipe.evaluation.suites
    for name in ("query", "document"):
        if name in prompts.named:
            raise RecipeError(f"prompts.named.{name}: this one has a field of its own; use prompts.{name}.")
    for name, columns in prompts.columns.items():
        _check_name(f"prompts.columns.{name}", name, recipe.data.train, "training set")
        for column in columns:
            _check_name(f"prompts.columns.{name}.{column}", column, recipe.roles_of(name).texts, "text column")
    for name, sides in prompts.suites.items():
        _check_name(f"prompts.suites.{name}", name, suites, "suite")
        if suites[name].symmetric and sides.document not in (None, sides.query):
            raise RecipeError(
                f"prompts.suites.{name}.document: the texts of this suite are all alike and take one prompt; "
                "name it as `query` alone."
            )


def _columns(roles: Roles, model: Prompts, names: Mapping[str, str | None], *, symmetric: bool) -> dict[str, str]:
    found = {column: model.of(None if symmetric else _side(roles, column), names.get(column)) for column in roles.texts}
    return {column: text for column, text in found.items() if text}


def _side(roles: Roles, column: str) -> Side:
    return "query" if column == roles.anchor else "document"


def _names(config: PromptsConfig) -> Iterator[tuple[str, str]]:
    """Every name that the recipe gives to a column or a suite, with its place."""
    for name, columns in config.columns.items():
        yield from ((f"prompts.columns.{name}.{column}", given) for column, given in columns.items())
    for name, sides in config.suites.items():
        given = {"query": sides.query, "document": sides.document}
        yield from ((f"prompts.suites.{name}.{side}", text) for side, text in given.items() if text is not None)


def _check_name(where: str, name: str, allowed: Mapping[str, object] | tuple[str, ...], what: str) -> None:
    if name not in allowed:
        raise RecipeError(f"{where}: there is no {what} {name!r}; there is: {', '.join(allowed)}.")
