"""Planned exposure against a count of the texts that a real, instrumented trainer put into its model."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_from_disk

from stsflow.tasks.batching.ledger import Ledger
from stsflow.tasks.ground.errors import PreconditionError, RecipeError
from stsflow.tasks.plan.exposure import draw_batches, plan_exposure
from stsflow.tasks.plan.report import exposure_table
from stsflow.tasks.recipe.sections import MiningConfig, RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import PlanReport
from stsflow.tasks.records.prompts import Prompts
from stsflow.tasks.shapes import NTuples, Pairs, Taught

Prepare = Callable[..., PreparedData]
Recipe = Callable[..., RunConfig]
SHAPES = {"nli": "triplets", "sts": "scored_pairs"}


def spelled(row: int) -> str:
    """The row's number in words that the small tokenizer knows, so that it can be read back from the tokens."""
    words = ("man", "woman", "dogs", "children", "guitar", "piano", "river", "book", "train", "road")
    return " ".join(words[int(digit)] for digit in str(row))


def toy(prepare: Prepare, triplets: int = 45, pairs: int = 14) -> PreparedData:
    """Triplets whose negatives repeat a good deal; every anchor is distinct and names its row."""
    chooser = random.Random(5)
    return prepare(
        {
            "nli": {
                "anchor": [spelled(row) for row in range(triplets)],
                "positive": [f"positive {row // 2}" for row in range(triplets)],
                "negative": [f"negative {chooser.randrange(9)}" for _ in range(triplets)],
            },
            "sts": {
                "sentence1": [spelled(row) for row in range(pairs)],
                "sentence2": [f"second {row % 9}" for row in range(pairs)],
                "score": [row / pairs for row in range(pairs)],
            },
        }
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import torch
    from models import build_tiny_model
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)  # matrices this small only make a second thread wait
    return SentenceTransformer(str(build_tiny_model(tmp_path_factory.mktemp("plan") / "bert", "bert")), device="cpu")


def texts_fed(
    model: Any, data: PreparedData, recipe: RunConfig, folder: Path, **more: Any
) -> dict[str, list[list[str]]]:
    """By set, the first text of each row of each batch on which the trainer computed a loss."""
    from datasets import DatasetDict
    from sentence_transformers import SentenceTransformerTrainingArguments

    from stsflow.tasks.models.kinds import BiEncoder
    from stsflow.tasks.training.trainer import trainer_of

    base = more.pop("base", None)
    training = recipe.training
    sets = DatasetDict({item.name: load_from_disk(str(item.path)) for item in data.train})
    fed: dict[str, list[list[str]]] = {item.name: [] for item in data.train}

    class Watched(trainer_of(BiEncoder())):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            first = next(key for key in inputs if key.endswith("_input_ids"))
            texts = model.tokenizer.batch_decode(inputs[first], skip_special_tokens=True)
            fed[inputs["dataset_name"]].append([text.replace(" ", "") for text in texts])
            return super().compute_loss(model, inputs, *args, **kwargs)

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder), num_train_epochs=training.epochs, max_steps=training.max_steps or -1, use_cpu=True,
        gradient_accumulation_steps=training.gradient_accumulation_steps, save_strategy=more.pop("save", "no"),
        report_to=[], disable_tqdm=True, seed=training.seed, logging_strategy="no", **more,
    )  # fmt: skip
    trainer = Watched(
        checkpoints=folder, keep=1, ledger=Ledger({name: len(rows) for name, rows in sets.items()}),
        batches=draw_batches(recipe, data, 1, base), parts={}, resume=None, model=model, args=arguments,
        train_dataset=sets, loss={name: recipe.loss_of(name).build(model) for name in sets},
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == plan_exposure(recipe, data, 1, base).steps
    return fed


@pytest.mark.parametrize("order", ["round_robin", "proportional"])
@pytest.mark.parametrize("sampler", ["batch_sampler", "no_duplicates"])
@pytest.mark.parametrize("length", [{"epochs": 1}, {"epochs": 2}, {"epochs": 1.3, "gradient_accumulation_steps": 3}])
def test_the_plan_is_what_the_trainer_is_fed(
    prepare: Prepare, recipe: Recipe, model: Any, tmp_path: Path, order: str, sampler: str, length: dict[str, Any]
) -> None:
    data = toy(prepare)
    config = recipe(SHAPES, batch_size=4, batch_sampler=sampler, multi_dataset_batch_sampler=order, **length)
    fed = texts_fed(model, data, config, tmp_path / "trainer")
    plan = plan_exposure(config, data, 1)
    for item in plan.exposure:
        batches = fed[item.name]
        texts = [text for batch in batches for text in batch]
        assert (item.batches, item.rows_seen) == (len(batches), len(texts))
        assert (item.unique_rows_seen, item.repeats) == (len(set(texts)), len(texts) - len(set(texts)))
    anchors = sum(len(batch) for batch in fed["nli"])
    met = sum(len(batch) * (2 * len(batch) - 1) for batch in fed["nli"])  # all positives and negatives but its own
    assert plan.exposure[0].in_batch_negatives == pytest.approx(met / anchors)
    assert plan.exposure[1].in_batch_negatives == 0


@pytest.mark.parametrize("batch_tokens", [None, 60])
def test_rows_of_several_negatives_are_fed_as_planned_and_their_negatives_counted_in_every_direction(
    prepare: Prepare, recipe: Recipe, model: Any, base: BaseModelRef, tmp_path: Path, batch_tokens: int | None
) -> None:
    chooser = random.Random(5)
    texts = {name: [f"{name} {chooser.randrange(30)}" for _ in range(33)] for name in ("x", "y")}
    columns = {"anchor": [spelled(row) for row in range(33)], "positive": [f"positive {row // 2}" for row in range(33)]}
    data = prepare({"several": columns | {"negative_1": texts["x"], "negative_2": texts["y"]}})
    roles = NTuples(negatives=2).roles
    data = data.model_copy(update={"train": (data.train[0].model_copy(update={"roles": roles, "shape": "n_tuples"}),)})
    directions = ["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
    loss = {"kind": "multiple_negatives_ranking", "directions": directions}
    config = recipe({"several": "n_tuples"}, batch_size=4, losses={"several": loss}, batch_tokens=batch_tokens)
    fed = texts_fed(model, data, config, tmp_path / "trainer", base=base)["several"]
    (item,) = plan_exposure(config, data, 1, base).exposure
    seen = [text for batch in fed for text in batch]
    assert (item.batches, item.rows_seen, item.unique_rows_seen) == (len(fed), len(seen), len(set(seen)))
    # Of n rows an anchor meets 3 n - 1 texts and n - 1 anchors, its positive n - 1 anchors and 3 (n - 1) texts.
    met = sum(len(batch) * (3 * len(batch) - 1 + 5 * (len(batch) - 1)) for batch in fed)
    assert item.in_batch_negatives == pytest.approx(met / len(seen))


def test_rows_with_mined_negatives_are_counted_as_the_trainer_is_fed(
    prepare: Prepare, recipe: Recipe, model: Any, tmp_path: Path
) -> None:
    plain = toy(prepare)
    config = recipe(SHAPES, batch_size=4, epochs=2)
    config = config.model_copy(update={"mining": {"nli": MiningConfig(negatives=2)}})
    columns = load_from_disk(str(plain.training_set("nli").path)).rename_column("negative", "negative_1")
    columns = columns.add_column("negative_2", [f"mined {row % 7}" for row in range(len(columns))])
    columns = columns.add_column("negative_3", [f"mined {row % 5 + 7}" for row in range(len(columns))])
    columns.save_to_disk(str(tmp_path / "mined"))
    mined = plain.training_set("nli").model_copy(
        update={"path": tmp_path / "mined", "columns": tuple(columns.column_names), "roles": config.roles_of("nli")}
    )
    data = plain.model_copy(update={"train": (mined, plain.training_set("sts"))})
    fed = texts_fed(model, data, config, tmp_path / "trainer")
    item = plan_exposure(config, data, 1).exposure[0]
    texts = [text for batch in fed["nli"] for text in batch]
    assert (item.batches, item.rows_seen, item.unique_rows_seen) == (len(fed["nli"]), len(texts), len(set(texts)))
    met = sum(len(batch) * (4 * len(batch) - 1) for batch in fed["nli"])  # three negatives a row, and other positives
    assert item.in_batch_negatives == pytest.approx(met / len(texts))
    batches = draw_batches(config, data, 1)
    ledger = Ledger(dict(zip(batches.names, batches.rows, strict=True)))
    for order, count in batches.fed(plan_exposure(config, data, 1).steps):
        for number, rows in list(order)[:count]:
            ledger.count(batches.names[number], rows)
    assert (ledger.rows_fed["nli"], ledger.unique("nli")) == (len(texts), len(set(texts)))


def test_taught_rows_are_fed_as_planned_and_have_no_negatives_of_other_rows(
    prepare: Prepare, recipe: Recipe, model: Any, tmp_path: Path
) -> None:
    columns = {name: [f"{name} {row % 7}" for row in range(33)] for name in ("positive", "negative_1")}
    scores = [[row / 33, -1.0] for row in range(33)]
    data = prepare({"taught": {"anchor": [spelled(row) for row in range(33)], **columns, "scores": scores}})
    changed = {"roles": Taught(negatives=1).roles, "shape": "taught"}
    data = data.model_copy(update={"train": (data.train[0].model_copy(update=changed),)})
    config = recipe({"taught": "taught"}, batch_size=4, epochs=1.5)
    fed = texts_fed(model, data, config, tmp_path / "trainer")["taught"]
    (item,) = plan_exposure(config, data, 1).exposure
    seen = [text for batch in fed for text in batch]
    assert (item.batches, item.rows_seen, item.unique_rows_seen) == (len(fed), len(seen), len(set(seen)))
    assert (len(seen), len(set(seen)), item.in_batch_negatives) == (33 + 4 * 5, 33, 0)


def test_the_ledger_agrees_with_the_plan_and_notices_one_row_too_few(prepare: Prepare, recipe: Recipe) -> None:
    data = toy(prepare)
    config = recipe(SHAPES, batch_size=4, epochs=2)
    batches, plan = draw_batches(config, data, 1), plan_exposure(config, data, 1)
    ledger, short = (Ledger(dict(zip(batches.names, batches.rows, strict=True))) for _ in range(2))
    for order, count in batches.fed(plan.steps):
        for number, rows in list(order)[:count]:
            ledger.count(batches.names[number], rows)
            short.count(batches.names[number], rows if number else rows[1:])
    assert ledger.differences(plan.exposure) == ()
    assert ledger.actual(plan.exposure) == plan.exposure
    assert [finding.subject for finding in short.differences(plan.exposure)] == ["nli"]


def brute_force(recipe: RunConfig, data: PreparedData, world_size: int, plan: PlanReport) -> dict[str, list[list[int]]]:
    """What each process draws for itself, step by step, until the steps are done."""
    batches = draw_batches(recipe, data, world_size)
    fed: dict[str, list[list[int]]] = {name: [] for name in batches.names}
    for rank in range(world_size):
        left, epoch = plan.steps, 0
        while left:
            loader = [(number, rows[rank::world_size].tolist()) for number, rows in batches.epoch(epoch)]
            accumulation = recipe.training.gradient_accumulation_steps
            for start in range(0, len(loader), accumulation):
                if left:
                    left -= 1
                    for number, rows in loader[start : start + accumulation]:
                        fed[batches.names[number]].append(rows)
            epoch += 1
    return fed


@pytest.mark.parametrize("order", ["round_robin", "proportional"])
@pytest.mark.parametrize("sampler", ["batch_sampler", "no_duplicates"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_two_processes_are_planned_as_they_draw_their_parts(
    prepare: Prepare, recipe: Recipe, order: str, sampler: str, accumulation: int
) -> None:
    data = toy(prepare, triplets=47)
    config = recipe(
        SHAPES, batch_size=4, epochs=2, batch_sampler=sampler, multi_dataset_batch_sampler=order,
        gradient_accumulation_steps=accumulation,
    )  # fmt: skip
    plan = plan_exposure(config, data, 2)
    fed = brute_force(config, data, 2, plan)
    for item in plan.exposure:
        rows = [row for batch in fed[item.name] for row in batch]
        assert 2 * item.batches == len(fed[item.name])
        assert (item.rows_seen, item.unique_rows_seen) == (len(rows), len(set(rows)))
        assert item.effective_batch_size == 4 * 2 * accumulation


def test_a_set_that_is_hardly_seen_is_a_warning_with_cause_and_remedy(prepare: Prepare, recipe: Recipe) -> None:
    data = toy(prepare, triplets=200, pairs=14)
    config = recipe(SHAPES, batch_size=4, multi_dataset_batch_sampler="round_robin")
    plan = plan_exposure(config, data, 1)
    (finding,) = [finding for finding in plan.findings if finding.code == "exposure.low"]
    assert (finding.severity, finding.subject) == ("warning", "nli")
    assert finding.message == (
        "The model will see 16 of the 200 rows of nli (8.00%) in the whole run, 16 (8.00%) an epoch; "
        "plan.minimum_seen_share is 50%. Cause: round robin ends with the smallest data set: sts, 4 batches."
    )
    assert "training.multi_dataset_batch_sampler: proportional" in finding.remedy
    assert "(54 steps an epoch instead of 8)" in finding.remedy  # 50 + 4 batches
    assert plan.ends_with == "round robin ends with the smallest data set: sts, 4 batches"


def test_the_share_that_warns_is_the_recipes(prepare: Prepare, recipe: Recipe) -> None:
    data = toy(prepare, triplets=200, pairs=14)
    config = recipe(SHAPES, plan={"minimum_seen_share": 0.05}, batch_size=4, multi_dataset_batch_sampler="round_robin")
    assert [finding.code for finding in plan_exposure(config, data, 1).findings] == []


@pytest.mark.parametrize(
    ("training", "cause"),
    [
        ({"max_steps": 3}, "training.max_steps: 3 ends the run after 0.19 epochs"),
        ({"epochs": 0.25}, "training.epochs: 0.25 ends the run within the first epoch"),
    ],
)
def test_a_short_run_is_named_as_the_cause(
    prepare: Prepare, recipe: Recipe, training: dict[str, Any], cause: str
) -> None:
    plan = plan_exposure(recipe(SHAPES, batch_size=4, **training), toy(prepare), 1)
    assert {finding.code for finding in plan.findings} == {"exposure.low"}
    assert all(f"Cause: {cause}." in finding.message for finding in plan.findings)


def test_round_robin_is_no_cause_where_a_whole_epoch_would_do(prepare: Prepare, recipe: Recipe) -> None:
    config = recipe(SHAPES, batch_size=4, max_steps=3, multi_dataset_batch_sampler="round_robin")
    plan = plan_exposure(config, toy(prepare, triplets=20, pairs=14), 1)  # an epoch shows 16 of the 20 triplets
    assert [finding.subject for finding in plan.findings] == ["nli, sts"]
    assert all("Cause: training.max_steps: 3 ends the run" in finding.message for finding in plan.findings)


def test_rows_that_the_sampler_cannot_place_are_counted_and_named(prepare: Prepare, recipe: Recipe) -> None:
    same = {"anchor": ["same"] * 20, "positive": [f"p{row}" for row in range(20)], "negative": ["n"] * 20}
    plan = plan_exposure(recipe({"nli": "triplets"}, batch_size=4), prepare({"nli": same}), 1)
    assert (plan.exposure[0].rows_seen, plan.exposure[0].left_out_by_sampler) == (5, 15)
    low, left_out = plan.findings
    assert "the sampler leaves out rows whose texts repeat too often" in low.message
    assert left_out.message == (
        "The sampler leaves 15 of the 20 rows of nli (75.00%) out of an epoch: an incomplete last batch, or texts that "
        "stand in every batch already."
    )


def test_a_plan_without_a_batch_is_an_error(prepare: Prepare, recipe: Recipe) -> None:
    plan = plan_exposure(recipe(SHAPES, batch_size=64), toy(prepare), 2)
    (finding,) = plan.findings
    assert (finding.severity, finding.code, plan.steps) == ("error", "exposure.none", 0)
    assert "no whole batch of nli (45 rows, batch size 128), sts (14 rows, batch size 128)" in finding.message


def test_token_budget_says_that_negatives_vary_and_leaves_cached_losses_alone(
    prepare: Prepare, recipe: Recipe, base: Any
) -> None:
    data = toy(prepare)
    varying = plan_exposure(recipe(SHAPES, batch_size=16, batch_tokens=100), data, 1, base)
    assert "exposure.negatives_vary" in [finding.code for finding in varying.findings]
    cached = {"nli": {"kind": "cached_multiple_negatives_ranking"}}
    fixed = plan_exposure(recipe(SHAPES, batch_size=16, batch_tokens=100, losses=cached), data, 1, base)
    assert "exposure.negatives_vary" not in [finding.code for finding in fixed.findings]
    assert fixed.exposure[0].batches == 3  # 45 rows at 16


def test_a_token_budget_is_filled_by_exact_lengths_from_the_file_where_there_is_one(
    prepare: Prepare, recipe: Recipe, base: Any, tmp_path: Path
) -> None:
    # Rows of two texts of two words each, which are four tokens: 8 tokens a row, two rows in 16 tokens.
    data = prepare({"sts": {"sentence1": ["a b"] * 8, "sentence2": ["b c"] * 8, "score": [0.5] * 8}})
    config = recipe({"sts": "scored_pairs"}, batch_size=8, batch_tokens=16)
    assert plan_exposure(config, data, 1, base).exposure[0].batches_per_epoch == 4
    np.save(tmp_path / "twice.npy", np.full((8, 2), 8, np.int32))
    measured = {"sts": tmp_path / "twice.npy"}
    assert plan_exposure(config, data, 1, base, measured).exposure[0].batches_per_epoch == 8
    prompted = base.model_copy(update={"prompts": Prompts(texts={"query": "a a "}, default="query")})
    assert plan_exposure(config, data, 1, prompted).exposure[0].batches_per_epoch == 6  # 8 rows of 12 tokens


def test_the_plan_is_made_without_the_training_stack() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from stsflow.tasks.plan import exposure, probe, report;"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'datasets', 'prefect'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_more_passes_over_the_data_than_a_recipe_may_ask_for_are_refused_before_they_are_drawn(
    prepare: Prepare, recipe: Recipe
) -> None:
    with pytest.raises(PreconditionError, match=r"10,000,000 steps are 1,000,000 passes .* 10 step\(s\) in an epoch"):
        plan_exposure(recipe(SHAPES, max_steps=10_000_000, batch_size=6), toy(prepare, 42, 14), world_size=1)


def pairs_with(prepare: Prepare, anchors: list[str]) -> PreparedData:
    rows = len(anchors)
    data = prepare({"nli": {"anchor": anchors, "positive": [f"positive {row}" for row in range(rows)]}})
    return data.model_copy(
        update={"train": (data.train[0].model_copy(update={"shape": "pairs", "roles": Pairs.roles}),)}
    )


def test_a_set_of_one_anchor_teaches_nothing_under_a_ranking_loss_and_the_plan_says_so(
    prepare: Prepare, recipe: Recipe
) -> None:
    data = pairs_with(prepare, ["the same question"] * 40)
    report = plan_exposure(recipe({"nli": "pairs"}, batch_size=8, epochs=2), data, 1)
    (error,) = (finding for finding in report.findings if finding.severity == "error")
    assert (error.code, error.subject) == ("exposure.no_negatives", "nli")
    assert "every one of its 10 batches holds a single row" in error.message
    assert "training.batch_samplers.nli: batch_sampler" in error.remedy
    (row,) = exposure_table(report)
    assert (row["batches"], row["rows in a step"]) == ("10 x 1.0 of 8", "1.0 of 8")


def test_the_same_set_can_be_trained_on_with_the_other_sampler(prepare: Prepare, recipe: Recipe) -> None:
    data = pairs_with(prepare, ["the same question"] * 40)
    report = plan_exposure(recipe({"nli": "pairs"}, batch_size=8, batch_samplers={"nli": "batch_sampler"}), data, 1)
    assert not any(finding.severity == "error" for finding in report.findings)
    (row,) = exposure_table(report)
    assert (row["batches"], row["rows in a step"], row["negatives for an anchor"]) == ("5 x 8", "8", "7.0")


def test_pairs_one_at_a_time_teach_nothing_and_triplets_do(prepare: Prepare, recipe: Recipe) -> None:
    pairs = pairs_with(prepare, [spelled(row) for row in range(12)])
    alone = plan_exposure(recipe({"nli": "pairs"}, batch_size=1), pairs, 1)
    assert "exposure.no_negatives" in [finding.code for finding in alone.findings]
    both = plan_exposure(recipe(SHAPES, batch_size=1), toy(prepare), 1)
    assert "exposure.no_negatives" not in [finding.code for finding in both.findings]


def test_a_loss_without_in_batch_negatives_loses_no_row_to_repeated_texts(prepare: Prepare, recipe: Recipe) -> None:
    data = prepare(
        {"sts": {"sentence1": ["one"] * 30, "sentence2": [spelled(row) for row in range(30)], "score": [0.5] * 30}}
    )
    by_loss, apart = (
        plan_exposure(recipe({"sts": "scored_pairs"}, batch_size=8, **sampler), data, 1).exposure[0]
        for sampler in ({}, {"batch_samplers": {"sts": "no_duplicates"}})
    )
    assert (by_loss.rows_seen, by_loss.left_out_by_sampler) == (30, 0)
    assert (apart.rows_seen, apart.left_out_by_sampler) == (4, 26)


def test_the_sampler_of_a_set_that_is_not_there_is_refused(recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"training\.batch_samplers"):
        recipe({"nli": "pairs"}, batch_samplers={"sts": "batch_sampler"})
