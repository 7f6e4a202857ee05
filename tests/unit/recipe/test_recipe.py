"""A recipe that cannot run says so in one sentence: file, field, what was found, what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.recipe.lock import recipe_sha256, recipe_yaml
from stsflow.tasks.recipe.sections import RunConfig

RECIPE = """
name: small
model:
  source: {kind: directory, path: base}
data:
  train:
    nli:
      source: {kind: files, paths: [nli.tsv]}
      shape: {kind: nli_triplets}
    sts:
      source: {kind: files, paths: [sts.tsv]}
      shape: {kind: scored_pairs}
evaluation:
  suites:
    sts-dev: {kind: sts, split: dev, source: {kind: files, paths: [dev.tsv]}}
    sts-test: {kind: sts, split: test, source: {kind: files, paths: [test.tsv]}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        RunConfig.from_recipe(path, overrides)
    assert caught.value.exit_code == 2
    return caught.value.message


def test_a_recipe_states_only_differences(recipe: Path) -> None:
    config = RunConfig.from_recipe(recipe)
    assert config.training.learning_rate == 5e-5
    assert config.loss_of("nli").kind == "multiple_negatives_ranking"
    assert config.loss_of("sts").kind == "cosine_similarity"
    assert (config.choosing_suite, config.headline_suite) == ("sts-dev", "sts-test")


def test_relative_paths_start_from_the_recipes_folder_and_overrides_from_the_working_directory(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = RunConfig.from_recipe(recipe)
    assert config.data.root == tmp_path
    assert config.model.source.path == tmp_path / "base"  # type: ignore[union-attr]
    mteb = RunConfig.from_recipe(recipe, ("evaluation.suites.more={kind: mteb, task: KorSTS, folder: korsts}",))
    assert mteb.evaluation.suites["more"].folder == elsewhere / "korsts"  # type: ignore[union-attr]
    assert RunConfig.from_recipe(recipe, ("data.root=rows",)).data.root == elsewhere / "rows"


@pytest.mark.parametrize("text", ["2", "0.5", "5e-1"])
def test_overrides_are_read_as_yaml(recipe: Path, text: str) -> None:
    assert RunConfig.from_recipe(recipe, (f"training.epochs={text}",)).training.epochs == float(text)


def test_words_that_old_yaml_takes_for_booleans_stay_words(recipe: Path) -> None:
    config = RunConfig.from_recipe(recipe, ("training.padding_free=off", "data.train.nli.language=[no]"))
    assert config.training.padding_free == "off"
    assert config.data.train["nli"].language == ("no",)


def test_an_override_of_the_losses_reaches_inside(recipe: Path) -> None:
    config = RunConfig.from_recipe(recipe, ("training.losses.nli={kind: triplet, margin: 1}",))
    assert config.loss_of("nli").kind == "triplet"


def test_the_whole_recipe_reads_back_as_itself(recipe: Path, tmp_path: Path) -> None:
    config = RunConfig.from_recipe(recipe)
    again = tmp_path / "again.yaml"
    again.write_text(recipe_yaml(config), encoding="utf-8")
    assert RunConfig.from_recipe(again) == config
    assert recipe_sha256(RunConfig.from_recipe(again)) == recipe_sha256(config)


def test_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("{}", encoding="utf-8")
    message = refusal(tmp_path / "dmo.yaml")
    assert "there is no such recipe" in message and "demo.yaml" in message


def test_invalid_yaml_names_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\ndata: [1, 2\nmodel: y\n", encoding="utf-8")
    assert "line 3" in refusal(path) and "not valid YAML" in refusal(path)


def test_a_repeated_key_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: x\nname: y\n", encoding="utf-8")
    assert "line 2" in refusal(path) and "'name' occurs twice" in refusal(path)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainig.epochs=1", ["trainig: unknown key", "did you mean 'training'?"]),
        ("training.learning_rat=1", ["training.learning_rat: unknown key", "did you mean 'learning_rate'?"]),
        ("training.epochs=0", ["training.epochs: found 0", "greater than 0"]),
        ("training.epochs=many", ["training.epochs: found 'many'", "valid number"]),
        ("training.precision=bf15", ["training.precision: found 'bf15'", "float32, bf16, fp16", "did you mean"]),
        ("data.train.nli.source.quotin=none", ["data.train.nli.source.quotin: unknown key", "did you mean 'quoting'?"]),
        ("data.train.nli.source.kind=file", ["data.train.nli.source.kind: found 'file'", "files, hub, beir"]),
        ("data.train.nli.shape.kind=nli", ["data.train.nli.shape.kind: found 'nli'", "nli_triplets"]),
        ("training.losses.nli={scale: 3}", ["training.losses.nli.kind: found 'nothing'", "cosent"]),
        ("training.losses.nli={kind: cosent}", ["training.losses.nli", "cannot learn from 'nli_triplets'"]),
        ("training.losses.nli={kind: gist}", ["training.losses.nli", "'gist' needs a guide", "training.guide"]),
        (
            "training.losses.nli={kind: margin_mse}",
            ["training.losses.nli", "cannot learn from 'nli_triplets'", "one of: taught; a section `teacher` names a"],
        ),
        ("teacher={source: {kind: directory, path: b}}", ["teacher: no loss of this recipe learns from a teacher"]),
        ("teacher={source: {kind: directory, path: b}, sets: [nlli]}", ["teacher.sets", "did you mean 'nli'?"]),
        (
            "teacher={source: {kind: directory, path: b}, sets: [nli]}",
            ["teacher.sets: the loss 'multiple_negatives_ranking' of 'nli' does not learn from a teacher"],
        ),
        ("training.guide={source: {kind: directory, path: b}}", ["training.guide: no loss of this recipe needs one"]),
        ("training.losses.stts={kind: cosent}", ["training.losses", "no training set 'stts'", "did you mean 'sts'?"]),
        ("training.batch_sizes.sts=0", ["training.batch_sizes.sts: found 0", "greater than or equal to 1"]),
        ("evaluation.choose_on=sts-dve", ["evaluation.choose_on", "no suite 'sts-dve'", "did you mean 'sts-dev'?"]),
        ("evaluation.choose_metric=spearman", ["evaluation.choose_metric", "no metric 'spearman'", "spearman_cosine"]),
        (
            "evaluation={choose_on: board, suites: {board: {kind: mteb, task: KorSTS}}}",
            ["evaluation.choose_on", "is of kind 'mteb'", "only a suite of kind 'sts' or 'matryoshka' or"],
        ),
        ("release.merge={choose_on: dve}", ["release.merge.choose_on", "no suite 'dve'"]),
        ("release.merge={weights: [1.5]}", ["release.merge.weights[0]: found 1.5", "less than or equal to 1"]),
        ("release.merge={weights: [0.125]}", ["release.merge", "the weight 0.125; at most two decimals are allowed"]),
        ("evaluation.guard={sts-tset: {}}", ["evaluation.guard", "no suite 'sts-tset'", "did you mean 'sts-test'?"]),
        ("evaluation.guard={sts-test: {margin: 0}}", ["evaluation.guard.sts-test.margin: found 0", "greater than 0"]),
        ("training.arguments.dataloader_num_workers=100000", ["dataloader_num_workers: found 100000; at most 64"]),
        (
            "release.rules=[{kind: beats_base, metric: ndcg_at_10}]",
            ["release.rules[0].metric: there is no metric of the suite 'sts-test' called 'ndcg_at_10'"],
        ),
        (
            "release.rules=[{kind: not_worse, suites: [sts-dev, sts-test], metric: spearman_cos}]",
            ["suite 'sts-dev' called 'spearman_cos'", "did you mean 'spearman_cosine'?"],
        ),
        ("release.rules=[{kind: beats_base, suite: x}]", ["release.rules[0]", "no suite 'x'"]),
        ("model.trust_remote_code=true", ["model.trust_remote_code", "pinned to a full commit hash"]),
        ("data.train.nli.source.paths=[https://a:b@host/x.tsv]", ["source.paths", "user name or password", ".netrc"]),
        ("training=3", ["training: found 3"]),
        ("release.register_as=team/model:v1", ["release.register_as: found 'team/model:v1'; allowed: letters, digits"]),
        ("release.approval=yes please", ["release.approval: found 'yes please'", "allowed: required, or a section"]),
        ("release.approval={timeout_hours: 0}", ["release.approval.timeout_hours: found 0", "greater than 0"]),
        ("release.register_as=\"it's\"", ["release.register_as", "allowed: letters, digits"]),
        ("tracking.experiment=' '", ["tracking.experiment: found ' '; allowed: "]),
        (f"tracking.experiment={'x' * 300}", ["tracking.experiment", "at most 250 characters"]),
        ("tracking.tags={mlflow.runName: mine}", ["tracking.tags.mlflow.runName: found 'mlflow.runName'", "are taken"]),
        ("description=\"a\\0b\"", ["description: found 'a\\x00b'", "control characters"]),
        ("card.description=\"\\ud800\"", ["card.description", "surrogate"]),
        ("card.model_id=\"a b'\"", ["card.model_id: found", "allowed: an address"]),
        ("training.optimizer=nope", ["training.optimizer: there is no optimiser 'nope'", "adamw_torch_fused"]),
        ("model.source={kind: hub, id: a/b, revision: ../../x}", ["model.source.revision: found '../../x'"]),
        ("model.source={kind: package, package: a, name: a, subfolder: ../x}", ["model.source.subfolder"]),
        ("data.train.nli.language=[not a language]", ["data.train.nli.language[0]", "a language code"]),
        ("evaluation.suites.sts-dev.subsets_by=genre", ["sts-dev", "names 'genre', which is not among"]),
        ("release.rules=[{kind: no_unexplained_leakage, explained: {x: y}}]", ["explained: there is no suite"]),
        ("training.batch_size=true", ["training.batch_size: found True", "a number is wanted here"]),
        ("training.batch_size=2000000", ["training.batch_size: found 2000000", "less than or equal to 1000000"]),
        ("training.batch_tokens=1000000000000", ["training.batch_tokens", "less than or equal to"]),
        ("training.learning_rate=.inf", ["training.learning_rate: found inf", "finite number"]),
        ("training.warmup=.nan", ["training.warmup: found nan"]),
        ("training.epochs=1e18", ["training.epochs: found 1e+18", "less than or equal to 1000"]),
        ("training.max_steps=1e23", ["training.max_steps: found 1e+23"]),
        ("training.threads=100000", ["training.threads: found 100000", "less than or equal to 1024"]),
        ("training.seed=4294967296", ["training.seed", "less than or equal to 4294967295"]),
        ("evaluation.seed=-1", ["evaluation.seed: found -1"]),
        ("evaluation.resamples=1000000000000", ["evaluation.resamples", "less than or equal to 1000000"]),
        ("plan.price_per_hour=.inf", ["plan.price_per_hour: found inf"]),
        ("training.losses.nli={kind: multiple_negatives_ranking, scale: .inf}", ["losses.nli.scale: found inf"]),
        (
            "training.losses.nli={kind: matryoshka, loss: {kind: triplet}, dimensions: [8, 4], weights: [1]}",
            ["training.losses.nli", "1 numbers for 2 `dimensions`"],
        ),
        ("data.train.sts.shape.score_range=[0, .inf]", ["data.train.sts.shape.score_range[1]: found inf"]),
        ("data.train.sts.shape.score_range=[-.inf, 5]", ["score_range[0]: found -inf"]),
        ("data.train.sts.shape.score_range=[5, 0]", ["score_range", "the first must be the smaller one"]),
        ("training.concurrency_limit=", ["training.concurrency_limit: found None; allowed: ''"]),
        ("training.arguments.torch_compile=true", ["training.arguments.torch_compile", "word_dropout: off"]),
        ("training.arguments.adam_epsilon=.inf", ["training.arguments.adam_epsilon", "finite"]),
        ("training.epochs", ["--set training.epochs", "dotted.key=value"]),
        ("name.x=1", ["name is a value, not a section"]),
        ("name=Not A Slug", ["name: found 'Not A Slug'"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(recipe: Path, override: str, expected: list[str]) -> None:
    message = refusal(recipe, override)
    for part in expected:
        assert part in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        ("evaluation.resamples=0", "models are compared by intervals, and evaluation.resamples is 0"),
        (
            "evaluation.suites={board: {kind: mteb, task: KorSTS}}",
            "the suite 'board' is of kind 'mteb', which gives no scores of single rows",
        ),
    ],
)
def test_a_comparison_that_can_never_hold_is_refused(recipe: Path, evaluation: str, words: str) -> None:
    for rule in ("{kind: beats_base}", "{kind: beats_champion}"):
        assert f"release.rules[0]: {words}" in refusal(recipe, evaluation, f"release.rules=[{rule}]")
    RunConfig.from_recipe(recipe, (evaluation, "release.rules=[{kind: minimum_score, score: 0.5}]"))
    suite = "board" if "board" in evaluation else "sts-test"
    guard = f"evaluation.guard={{{suite}: {{}}}}"
    assert f"evaluation.guard.{suite}: {words}" in refusal(recipe, evaluation, guard)


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text("name: bare\n", encoding="utf-8")
    message = refusal(path)
    assert all(f"{section}: missing" in message for section in ("data", "model", "evaluation"))


def test_merging_needs_a_suite_to_choose_on_and_takes_that_of_the_checkpoint(recipe: Path) -> None:
    without_dev = "evaluation.suites.sts-dev.split=validation"
    assert "release.merge.choose_on: there is no suite" in refusal(recipe, "release.merge={}", without_dev)
    assert RunConfig.from_recipe(recipe, ("release.merge={}",)).merging_choice == ("sts-dev", "spearman_cosine")
    other = RunConfig.from_recipe(recipe, ("release.merge={choose_on: sts-test}", without_dev))
    assert other.merging_choice == ("sts-test", "spearman_cosine")


def test_early_stopping_needs_a_suite_to_choose_on(recipe: Path) -> None:
    overrides = ("training.early_stopping_patience=3", "evaluation.suites.sts-dev.split=validation")
    assert "no suite to choose on" in refusal(recipe, *overrides)


def test_the_dumped_recipe_is_plain_yaml(recipe: Path) -> None:
    assert yaml.safe_load(recipe_yaml(RunConfig.from_recipe(recipe)))["name"] == "small"


@pytest.mark.parametrize(
    ("loss", "teaches"),
    [("margin_mse", "scores"), ("distill_kl_div", "scores"), ("mse", None), ("embed_distill", None)],
)
def test_a_teacher_gives_what_the_loss_of_a_set_learns_from(loss: str, teaches: str | None, recipe: Path) -> None:
    overrides = (f"training.losses.nli={{kind: {loss}}}", "teacher={source: {kind: directory, path: b}}")
    if teaches is None:  # nobody can be taught the embedding of an anchor for its negative
        assert "training.losses.nli: the loss" in refusal(recipe, *overrides)
        overrides = (*overrides, "data.train.nli.shape={kind: pairs}")
    config = RunConfig.from_recipe(recipe, overrides)
    roles = config.roles_of("nli")
    assert list(config.taught) == ["nli"] and config.taught["nli"] == roles
    assert (roles.taught, roles.teaches) == ("labels", teaches or "embedding")
    assert config.roles_of("sts").taught is None


def test_the_anchor_of_a_scored_pair_is_no_embedding_for_the_other(recipe: Path) -> None:
    said = refusal(recipe, "training.losses.sts={kind: mse}", "teacher={source: {kind: directory, path: b}}")
    assert "training.losses.sts: the loss 'mse' cannot learn from 'scored_pairs'" in said
