"""Prompts that do not fit: those that the base model was trained with, the training's and the evaluation's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import PromptsConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import ColumnPrompts, Prompts, SuitePrompts

OWN = "base-with-its-prompts"
SUITES = "evaluation.suites."

Used = Mapping[tuple[str, str], str]
"""What goes before the texts of each set or suite and column."""


def prompt_findings(
    recipe: RunConfig, base: BaseModelRef, data: PreparedData, workspace: Workspace
) -> tuple[Finding, ...]:
    """Warnings where texts are read behind other prompts than the base model was trained with, or evaluated behind
    others than the tuned model will be.

    What the first costs is measured: the base model on the suite that chooses, else the headline, with its own prompts
    and with the recipe's. Scores are found again by content, so that a run measures one more number than it does
    anyway; where everything fits nothing is loaded.
    """
    found = column_prompts(recipe, base)
    training, evaluation = _used(recipe, found)
    findings = []
    expected = base.trained_with
    if expected.some:
        plain = recipe.model_copy(update={"prompts": PromptsConfig()})
        before = column_prompts(plain, base.model_copy(update={"prompts": expected}))
        first = training | evaluation
        second: dict[tuple[str, str], str] = {}
        for used in _used(recipe, before):
            second |= used
        known = {text for text in expected.texts.values() if text}
        other = [place for place, text in first.items() if text != second[place] and text not in known]
        if other:
            findings.append(_not_the_bases(recipe, base, data, workspace, other, first, second))
    findings += _evaluated_otherwise(training, evaluation, expected)
    return tuple(findings)


def _used(recipe: RunConfig, prompts: ColumnPrompts) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """By set and column, and by suite and column; an empty text where there is no prompt."""
    training = {
        (f"data.train.{name}", column): prompts.training.get(name, {}).get(column, "")
        for name in recipe.data.train
        for column in recipe.roles_of(name).texts
    }
    evaluation = {
        (f"{SUITES}{name}", column): prompts.evaluation.get(name, {}).get(column, "")
        for name, suite in recipe.evaluation.suites.items()
        for column in (suite.roles.texts if suite.roles else ())
    }
    return training, evaluation


def _not_the_bases(
    recipe: RunConfig, base: BaseModelRef, data: PreparedData, workspace: Workspace, other: list[tuple[str, str]],
    used: Used, own: Used,
) -> Finding:  # fmt: skip
    wanted = base.trained_with
    places = _listed(place for place, _ in other)
    now = _quoted(used[place] for place in other)
    cost, gains, numbers = _cost(recipe, base, data, workspace, used, own)
    sides = f"query: {_said(wanted.of('query'))}, document: {_said(wanted.of('document'))}"
    remedy = f"Set prompts: {{{sides}}} in the recipe, for columns and suites alike"
    remedy += ", or keep what suits these rows better." if gains else "."
    return Finding(
        severity="warning", code="prompts.not_the_bases", subject="prompts",
        message=(
            f"{base.name} was trained with prompts ({_named(wanted)}), and {places} have {now} in their place. {cost}"
        ).strip(),
        remedy=remedy, numbers=numbers,
    )  # fmt: skip


def _cost(
    recipe: RunConfig, base: BaseModelRef, data: PreparedData, workspace: Workspace, used: Used, own: Used
) -> tuple[str, bool, dict[str, float]]:
    """What the base model scores with its own prompts and with the recipe's: in words, whether it gains by the
    recipe's, and in numbers."""
    name = recipe.choosing_suite or recipe.headline_suite
    suite = recipe.evaluation.suites[name]
    place = f"{SUITES}{name}"
    if suite.roles is None:
        return f"What that costs is not measured: {name} brings its own rows.", False, {}
    if all(used[place, column] == own[place, column] for column in suite.roles.texts):
        return f"What that costs is not measured: {name} itself is read behind the model's own.", False, {}
    config = recipe.evaluation.model_copy(update={"suites": {name: suite}})
    with_own = base.model_copy(update={"prompts": base.trained_with})
    workspace.root.mkdir(parents=True, exist_ok=True)
    models = [
        ModelUnderTest("base", base.path, base.digest, base), ModelUnderTest(OWN, base.path, base.digest, with_own)
    ]  # fmt: skip

    def score(models: list[ModelUnderTest], prompts: Mapping[str, SuitePrompts]) -> list[float]:
        with tempfile.TemporaryDirectory(prefix="prompts-", dir=workspace.root) as scratch:
            reports = evaluate_models(
                models, config, data, Path(scratch), prompts=prompts, device=recipe.training.device,
                workspace=workspace,
            )  # fmt: skip
        return [report.suites[name].metrics[suite.primary] for report in reports]

    if name in recipe.prompts.suites:
        (here,), (there,) = score(models[:1], recipe.prompts.suites), score(models[1:], {})
    else:
        here, there = score(models, {})  # in one child process
    cost = suite.metric(suite.primary).gain(there - here)
    message = (
        f"On {name} the base model's {suite.primary} is {here:.4f} as the recipe has it and {there:.4f} with its own "
        f"prompts: {'they are worth' if cost >= 0 else 'without them it gains'} {abs(cost):.4f}."
    )
    stem = f"{name}/{suite.primary}"
    return message, cost < 0, {f"{stem}_as_the_recipe": here, f"{stem}_with_own_prompts": there}


def _evaluated_otherwise(training: Used, evaluation: Used, own: Prompts) -> list[Finding]:
    """One for each suite with a prompt that no text of the training has, unless both keep to the base model's own."""
    trained = set(training.values())
    texts = set(own.texts.values()) if own.some else set()
    familiar = trained | (texts if trained <= texts else set())
    found = []
    for where in dict.fromkeys(place for place, _ in evaluation):
        other = [text for (place, _), text in evaluation.items() if place == where and text not in familiar]
        name = where.removeprefix(SUITES)
        if other:
            found.append(
                Finding(
                    severity="warning", code="prompts.evaluated_otherwise", subject=name,
                    message=(
                        f"{name} is read behind {_quoted(other)}, and the model is trained behind {_quoted(trained)}: "
                        "its scores are not those of the texts that it learns from."
                    ),
                    remedy="Give the suite the training's prompt (prompts.suites), or the training the suite's "
                    "(prompts.query, prompts.document, prompts.columns).",
                )
            )  # fmt: skip
    return found


def _named(prompts: Prompts) -> str:
    return ", ".join(f"{name} {_said(text)}" for name, text in prompts.texts.items() if text)


def _listed(places: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(places))


def _quoted(texts: Iterable[str]) -> str:
    return " and ".join(_said(text) if text else "no prompt" for text in sorted(set(texts)))


def _said(text: str) -> str:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return f'"{shown}"'
