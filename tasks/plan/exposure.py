"""What a recipe will show to the model, and whether that is what its author can have meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stsflow.tasks.batching.build import build_batches, read_sets, sampler_of
from stsflow.tasks.batching.drawn import planned_exposure
from stsflow.tasks.batching.multi import TrainingBatches, ends_with
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.plan.findings import merge_findings, one_a_cause
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.recipe.sections.bounds import MOST_EPOCHS
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import Exposure, PlanReport

_LEFT_OUT_SHARE = 0.01
"""From this share of a set left out by the sampler on, it is a warning."""


def plan_exposure(
    recipe: RunConfig, data: PreparedData, world_size: int, base: BaseModelRef | None = None,
    lengths: Mapping[str, Path] | None = None,
) -> PlanReport:  # fmt: skip
    """Steps, exposure of every training set, why an epoch ends, and findings about them.

    Counted from the sampler objects that the trainer will use, in its process layout; nothing is trained and no model
    is loaded. `base` is needed where the recipe has `training.batch_tokens`, and `lengths` are the files with the
    lengths of the sets (see `tokens.lengths`).
    """
    training = recipe.training
    batches = draw_batches(recipe, data, world_size, base, lengths)
    accumulation = training.gradient_accumulation_steps
    steps = batches.steps(training.epochs, training.max_steps, accumulation)
    steps_per_epoch = batches.steps_per_epoch(accumulation)
    if steps > MOST_EPOCHS * steps_per_epoch > 0:  # every epoch is drawn below, as the trainer will draw it
        raise PreconditionError(
            f"training.max_steps: {steps:,} steps are {steps // steps_per_epoch:,} passes over the data, which "
            f"has {steps_per_epoch:,} step(s) in an epoch; at most {MOST_EPOCHS:,} passes are allowed."
        )
    exposure = planned_exposure(
        batches,
        steps,
        accumulation,
        {name: recipe.loss_of(name) for name in batches.names},
        {item.name: len(item.roles.texts) for item in data.train},
    )
    return PlanReport(
        steps=steps if steps_per_epoch else 0,
        steps_per_epoch=steps_per_epoch,
        epochs=steps / steps_per_epoch if steps_per_epoch else 0.0,
        exposure=exposure,
        ends_with=ends_with(batches.names, batches.sources, batches.order),
        findings=merge_findings(exposure_findings(recipe, batches, exposure)),
        mining=tuple(item.mined for item in data.train if item.mined is not None),
    )


def draw_batches(
    recipe: RunConfig, data: PreparedData, world_size: int, base: BaseModelRef | None = None,
    lengths: Mapping[str, Path] | None = None,
) -> TrainingBatches:  # fmt: skip
    """The batches of the run that `recipe` describes; the trainer builds the same."""
    losses = {item.name: recipe.loss_of(item.name) for item in data.train}
    prompts = column_prompts(recipe, base).training if base else {}
    sets = read_sets(data.train, recipe.training, losses, base=base, lengths=lengths, prompts=prompts)
    return build_batches(sets, recipe.training, world_size)


def exposure_findings(recipe: RunConfig, batches: TrainingBatches, exposure: tuple[Exposure, ...]) -> list[Finding]:
    """What is wrong, or worth knowing, about the exposure."""
    if not batches.batches_per_epoch:
        return [_nothing_to_train_on(batches)]
    findings = []
    for number, item in enumerate(exposure):
        if item.batches and not item.in_batch_negatives and recipe.loss_of(item.name).ranks_against_the_batch:
            findings.append(_nothing_to_learn(item))
        if item.seen_share < recipe.plan.minimum_seen_share:
            findings.append(_seen_too_little(recipe, batches, number, item))
        if item.left_out_by_sampler:
            findings.append(_left_out(recipe, item))
        if (
            recipe.training.batch_tokens is not None
            and item.in_batch_negatives
            and not recipe.loss_of(item.name).bounds_its_memory
        ):
            findings.append(_varying_negatives(item))
    return one_a_cause(findings)


def _nothing_to_train_on(batches: TrainingBatches) -> Finding:
    empty = [
        f"{name} ({source.rows:,} rows, batch size {source.batch_size:,})"
        for name, source in zip(batches.names, batches.sources, strict=True)
        if not source.batches
    ]
    what = f"no whole batch of {', '.join(empty)}"
    return Finding(
        severity="error",
        code="exposure.none",
        subject=", ".join(batches.names),
        message=f"There is nothing to train on: {what}, with {batches.world_size} process(es).",
        remedy="Use a smaller training.batch_size, or fewer training.processes.",
        numbers={"batches_per_epoch": float(batches.batches_per_epoch)},
    )


def _nothing_to_learn(item: Exposure) -> Finding:
    return Finding(
        severity="error",
        code="exposure.no_negatives",
        subject=item.name,
        message=(
            f"Nothing can be learned from {item.name}: its loss compares an anchor with the texts of other rows of its "
            f"batch, and every one of its {item.batches:,} batches holds a single row."
        ),
        remedy=(
            f"Rows that share a text are kept apart: bring rows of other texts, or negatives (shape triplets), or set "
            f"training.batch_samplers.{item.name}: batch_sampler; and use a batch size above 1."
        ),
        numbers={"rows_seen": float(item.rows_seen), "batches": float(item.batches)},
    )


def _seen_too_little(recipe: RunConfig, batches: TrainingBatches, number: int, item: Exposure) -> Finding:
    cause, remedy = _cause_and_remedy(recipe, batches, number, item)
    return Finding(
        severity="warning",
        code="exposure.low",
        subject=item.name,
        message=(
            f"The model will see {item.unique_rows_seen:,} of the {item.rows:,} rows of {item.name} "
            f"({item.seen_share:.2%}) in the whole run, {item.rows_seen_per_epoch:,} ({item.seen_share_per_epoch:.2%}) "
            f"an epoch; plan.minimum_seen_share is {recipe.plan.minimum_seen_share:.0%}. Cause: {cause}."
        ),
        remedy=remedy,
        numbers={
            "rows": float(item.rows),
            "unique_rows_seen": float(item.unique_rows_seen),
            "seen_share": item.seen_share,
            "rows_seen_per_epoch": float(item.rows_seen_per_epoch),
            "seen_share_per_epoch": item.seen_share_per_epoch,
        },
    )


def _cause_and_remedy(recipe: RunConfig, batches: TrainingBatches, number: int, item: Exposure) -> tuple[str, str]:
    training, source = recipe.training, batches.sources[number]
    steps_per_epoch = batches.steps_per_epoch(training.gradient_accumulation_steps)
    smallest = min(other.batches for other in batches.sources)
    whole_epoch_would_do = item.seen_share_per_epoch >= recipe.plan.minimum_seen_share
    if not whole_epoch_would_do and batches.order == "round_robin" and source.batches > smallest:
        whole = -(-sum(other.batches for other in batches.sources) // training.gradient_accumulation_steps)
        return ends_with(batches.names, batches.sources, batches.order), (
            "Set training.multi_dataset_batch_sampler: proportional, which uses every batch of every data set "
            f"({whole:,} steps an epoch instead of {steps_per_epoch:,}); to keep the balance of round robin, give "
            f"{item.name} larger batches (training.batch_sizes) or limit it (data.train.{item.name}.limit)."
        )
    if not whole_epoch_would_do and item.left_out_by_sampler > item.rows * (1 - recipe.plan.minimum_seen_share):
        return "the sampler leaves out rows whose texts repeat too often for a batch of this size", (
            f"Use a smaller batch size for {item.name} (training.batch_sizes), or set "
            f"training.batch_samplers.{item.name}: batch_sampler."
        )
    steps = batches.steps(training.epochs, training.max_steps, training.gradient_accumulation_steps)
    if training.max_steps is not None:
        return (
            f"training.max_steps: {training.max_steps:,} ends the run after {steps / steps_per_epoch:.2f} epochs",
            f"Raise training.max_steps to {steps_per_epoch:,} (one epoch), or remove it and use training.epochs.",
        )
    return (
        f"training.epochs: {training.epochs:g} ends the run within the first epoch",
        "Set training.epochs: 1 or more.",
    )


def _left_out(recipe: RunConfig, item: Exposure) -> Finding:
    share = item.left_out_by_sampler / item.rows
    why = "an incomplete last batch"
    if sampler_of(item.name, recipe.training, recipe.loss_of(item.name)) == "no_duplicates":
        why += ", or texts that stand in every batch already"
    return Finding(
        severity="warning" if share >= _LEFT_OUT_SHARE else "info",
        code="exposure.left_out",
        subject=item.name,
        message=(
            f"The sampler leaves {item.left_out_by_sampler:,} of the {item.rows:,} rows of {item.name} ({share:.2%}) "
            f"out of an epoch: {why}."
        ),
        remedy="Use a smaller batch size for it (training.batch_sizes)." if share >= _LEFT_OUT_SHARE else "",
        numbers={"left_out": float(item.left_out_by_sampler), "share": share},
    )


def _varying_negatives(item: Exposure) -> Finding:
    return Finding(
        severity="info",
        code="exposure.negatives_vary",
        subject=item.name,
        message=(
            f"With training.batch_tokens the batches of {item.name} differ in rows, and with them the in-batch "
            f"negatives of its loss: {item.in_batch_negatives:.1f} for an anchor on average."
        ),
        remedy=(
            "For a fixed number of negatives use the loss cached_multiple_negatives_ranking: its batches keep "
            "batch_size rows, and batch_tokens limits what goes through the encoder at a time."
        ),
        numbers={"in_batch_negatives": item.in_batch_negatives},
    )
