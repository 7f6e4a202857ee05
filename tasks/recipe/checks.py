"""Whether the parts of a recipe fit each other: what no section can see alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.recipe.messages import nearest
from stsflow.tasks.recipe.prompts import check_prompts
from stsflow.tasks.recipe.trainer_arguments import check_arguments, known_arguments
from stsflow.tasks.suites import Suite

if TYPE_CHECKING:
    from stsflow.tasks.recipe.sections import ModelConfig, RunConfig

COMPILES = ("torch_compile", "torch_compile_backend", "torch_compile_mode")  # each of them alone turns it on


def check_parts_fit(recipe: RunConfig) -> None:
    """Raise RecipeError when sections, each legal alone, do not fit each other; the message names field and remedy."""
    _check_names("training.losses", recipe.training.losses, recipe.data.train, "training set")
    _check_names("training.batch_sizes", recipe.training.batch_sizes, recipe.data.train, "training set")
    _check_names("training.batch_samplers", recipe.training.batch_samplers, recipe.data.train, "training set")
    _check_mining(recipe)
    for name, training_set in recipe.data.train.items():
        loss, roles = recipe.loss_of(name), recipe.roles_of(name)
        if not loss.takes(roles):
            raise RecipeError(
                f"training.losses.{name}: the loss {loss.kind!r} cannot learn from "
                f"{training_set.shape.kind!r}{' with mined negatives' * (name in recipe.mining)} "
                f"(columns {', '.join(roles.columns)}); it needs one of: "
                + (", ".join(loss.learns_from) or "rows that a teacher labels")
                + ("; a section `teacher` names a model that labels rows" if loss.needs_teacher else "")
            )
    _check_teacher(recipe)
    _check_guide(recipe)
    suites = recipe.evaluation.suites
    _check_names("evaluation.explained_overlap", recipe.evaluation.explained_overlap, suites, "suite")
    for field in ("choose_on", "report_on"):
        if (name := getattr(recipe.evaluation, field)) is not None:
            _check_names(f"evaluation.{field}", [name], suites, "suite")
    if (choosing := recipe.choosing_suite) is not None:
        if not suites[choosing].chooses_by:
            able = " or ".join(repr(kind.kind_name()) for kind in Suite.members() if kind.chooses_by)
            raise RecipeError(
                f"evaluation.choose_on: the suite {choosing!r} is of kind {suites[choosing].kind!r}; "
                f"only a suite of kind {able} can choose the checkpoint"
            )
        metrics, metric = suites[choosing].metrics, recipe.choosing_metric
        if metric not in metrics:
            raise RecipeError(
                f"evaluation.choose_metric: the suite {choosing!r} has no metric {metric!r}; "
                f"it has: {', '.join(metrics)}{nearest(metric, metrics)}"
            )
        if not suites[choosing].metric(metric).higher_is_better:
            raise RecipeError(
                f"evaluation.choose_metric: of {metric!r} less is better, and a checkpoint is "
                "chosen by a metric of which more is"
            )
    elif recipe.training.early_stopping_patience is not None:
        raise RecipeError(
            "training.early_stopping_patience: there is no suite to choose on; "
            "set evaluation.choose_on, or give one suite the split dev"
        )
    for index, rule in enumerate(recipe.release.rules):
        where = f"release.rules[{index}]"
        _check_names(where, rule.suites_named, suites, "suite")
        _check_names(f"{where}.explained", rule.suites_explained, suites, "suite")
        looked_at = rule.suites_named or (recipe.headline_suite,)
        if rule.compares:
            _check_comparable(recipe, where, looked_at)
        if rule.metric_named is not None:
            for name in looked_at:
                what = f"metric of the suite {name!r} called"
                _check_names(f"{where}.metric", [rule.metric_named], suites[name].metrics, what)
    if (merge := recipe.release.merge) is not None:
        _check_names("release.merge.choose_on", [merge.choose_on] if merge.choose_on else [], suites, "suite")
        if not recipe.merging_choice[0]:
            raise RecipeError(
                "release.merge.choose_on: there is no suite to choose the weight on; name one, or give one suite the "
                "split dev"
            )
    if recipe.release.exports and not any(suite.scores_embeddings for suite in suites.values()):
        raise RecipeError(
            "release.exports: no suite of this recipe is scored from embeddings of its rows, so that nothing would say "
            "what an export costs; add one, such as a suite of kind 'sts'"
        )
    for where, model in models_of(recipe).items():
        _check_remote_code(where, model)
    _check_names("evaluation.guard", recipe.evaluation.guard, suites, "suite")
    for name in recipe.evaluation.guard:
        _check_comparable(recipe, f"evaluation.guard.{name}", [name])
    _check_names("training.optimizer", [recipe.training.optimizer], known_arguments()["optim"]["one_of"], "optimiser")
    check_arguments(recipe.training.arguments)
    check_prompts(recipe)
    compiled = [name for name in COMPILES if recipe.training.arguments.get(name)]
    if compiled and {recipe.training.padding_free, recipe.training.word_dropout} != {"off"}:
        raise RecipeError(
            f"training.arguments.{compiled[0]}: a compiled model runs neither batches without padding nor masks cut "
            "from words; set training.padding_free: off and training.word_dropout: off with it"
        )


def _check_mining(recipe: RunConfig) -> None:
    """Negatives are mined for a set of anchors and positives, in columns whose names nothing else has."""
    _check_names("mining", recipe.mining, recipe.data.train, "training set")
    for name in recipe.mining:
        roles = recipe.data.train[name].shape.roles
        if not roles.pairs_texts:
            raise RecipeError(
                f"mining.{name}: negatives are mined for rows of an anchor and a positive, with negatives or without; "
                f"{recipe.data.train[name].shape.kind!r} has the columns {', '.join(roles.columns)}"
            )


def _check_comparable(recipe: RunConfig, where: str, suites: Sequence[str]) -> None:
    """A comparison needs a paired interval: scores of single rows, and resamples of them. Else it can never hold."""
    if recipe.evaluation.resamples == 0:
        raise RecipeError(f"{where}: models are compared by intervals, and evaluation.resamples is 0")
    for name in suites:
        suite = recipe.evaluation.suites[name]
        if suite.metric(suite.primary).paired is None:
            raise RecipeError(
                f"{where}: the suite {name!r} is of kind {suite.kind!r}, which gives no scores of single rows to "
                "compare models by; name another suite, or use minimum_score"
            )


def models_of(recipe: RunConfig) -> dict[str, ModelConfig]:
    """Every model that the recipe names, by the field that does."""
    named = {"model": recipe.model, "teacher": recipe.teacher, "training.guide": recipe.training.guide}
    for name, mining in recipe.mining.items():
        named |= {f"mining.{name}.model": mining.model, f"mining.{name}.guide": mining.guide}
    return {where: model for where, model in named.items() if model is not None}


def _check_teacher(recipe: RunConfig) -> None:
    if recipe.teacher is None:
        return
    _check_names("teacher.sets", recipe.teacher.sets or (), recipe.data.train, "training set")
    if not recipe.taught:
        raise RecipeError(
            "teacher: no loss of this recipe learns from a teacher; leave it out, or give a set a loss that does"
        )
    for name, roles in recipe.taught.items():
        if roles.taught is None:
            raise RecipeError(
                f"teacher.sets: the loss {recipe.loss_of(name).kind!r} of {name!r} does not learn from a teacher's "
                f"{recipe.teacher.gives or 'scores or embeddings'} of such rows; leave the set out, or give it a loss "
                "that does"
            )


def _check_guide(recipe: RunConfig) -> None:
    """A guide is there exactly where a loss needs one."""
    guided = [name for name in recipe.data.train if recipe.loss_of(name).needs_guide]
    if guided and recipe.training.guide is None:
        raise RecipeError(
            f"training.losses.{guided[0]}: the loss {recipe.loss_of(guided[0]).kind!r} needs a guide, and the recipe "
            "names none; say which model it is under training.guide, as under model"
        )
    if recipe.training.guide is not None and not guided:
        raise RecipeError(
            "training.guide: no loss of this recipe needs one; leave it out, or give a set a loss that does"
        )


def _check_remote_code(where: str, model: ModelConfig) -> None:
    if not model.trust_remote_code:
        return
    source = model.source
    if not source.pins_code:
        raise RecipeError(
            f"{where}.trust_remote_code: code is run only from a hub source pinned to a full commit hash "
            f"(40 hexadecimal digits); found kind {source.kind!r}, revision {source.moving_name!r}"
        )


def _check_names(where: str, names: Iterable[str], allowed: Iterable[str], what: str) -> None:
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            raise RecipeError(
                f"{where}: there is no {what} {name!r}; there is: {', '.join(allowed)}{nearest(name, allowed)}"
            )
