"""verify-card finds every change, says who vouches for what, and finds nothing where there is none."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from finished_card import Finished

from stsflow.tasks.card.usage import ModelModules
from stsflow.tasks.card.verify import VerifyResult, verify_card
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.fingerprint import sha256_of_file, sha256_of_model
from stsflow.tasks.records.evaluation import EvaluationReport
from stsflow.tasks.records.prompts import Prompts


def change(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def exchange_weights(finished: Finished) -> Path:
    """One byte of one number, in place."""
    weights = finished.model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    return weights


def vouch(finished: Finished, text: str) -> None:
    """What a forger does: the card as wanted, in both folders, and its digest in facts.json."""
    for folder in (finished.card, finished.model):
        (folder / "README.md").write_text(text, encoding="utf-8")
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        facts["card_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


# --------------------------------------------------------------------------------------------------- what holds


def test_an_untouched_card_holds_wherever_it_is_asked_for(finished: Finished) -> None:
    for folder in (finished.model, finished.card, finished.run.root):
        result = finished.verify(folder)
        assert (result.outcome, result.problems, result.kind, result.not_compared) == ("holds", (), "stsflow", ())
        assert (result.unvouched, result.unvouched_texts) == ({}, ())
        assert min(result.measured, result.recorded) > 80


def test_without_the_runs_record_what_is_left_to_its_word_is_counted(finished: Finished) -> None:
    result = finished.verify(record=False)
    assert (result.outcome, result.recorded, result.record) == ("holds", 0, "")
    assert {"argument", "exposure", "log", "machine", "training", "version"} <= result.unvouched.keys()
    assert not {"tuned", "change", "clean", "suite", "tokens", "data", "sample", "overlap"} & result.unvouched.keys()
    assert any("licences" in text for text in result.unvouched_texts)
    assert result.measured + sum(result.unvouched.values()) == finished.verify().recorded


def test_without_any_data_an_untouched_card_is_not_compared_and_not_called_false(finished: Finished) -> None:
    finished.go_away()
    result = finished.verify(record=False)
    assert (result.outcome, result.holds, result.problems) == ("not compared", False, ())
    assert any("base model" in sentence for sentence in result.not_compared)
    assert any("the data is not at hand" in sentence for sentence in result.not_compared)
    assert result.measured > 0  # digests, dimension and length of the model folder
    assert result.unvouched["tuned"] > 10


def test_without_training_data_clean_rows_are_not_compared(finished: Finished) -> None:
    for item in finished.records.data.train:
        shutil.rmtree(finished.here(item.path))
    result = finished.verify(record=False)
    assert (result.outcome, result.problems) == ("holds", ())
    assert {"clean", "overlap", "tokens", "data"} <= result.unvouched.keys()


def test_what_cannot_be_looked_at_is_no_problem(finished: Finished) -> None:
    shutil.rmtree(finished.here(finished.records.base.path))
    result = finished.verify(record=False)
    assert result.holds
    assert any("is not at hand with the digest" in sentence for sentence in result.not_compared)


def test_a_damaged_record_is_said_and_not_believed(finished: Finished) -> None:
    (finished.run.training / "result.json").write_text("{")
    result = finished.verify()
    assert (result.holds, result.record, result.recorded) == (True, "", 0)
    assert any("damaged or not complete" in sentence for sentence in result.not_compared)


def test_small_noise_of_another_machine_is_no_problem(finished: Finished) -> None:
    exact = finished.scored

    def noisy(*arguments: Any, **keywords: Any) -> EvaluationReport:
        report = exact(*arguments, **keywords)
        suites = {
            name: scores.model_copy(update={"metrics": {key: value + 4e-4 for key, value in scores.metrics.items()}})
            for name, scores in report.suites.items()
        }
        return report.model_copy(update={"suites": suites})

    finished.scored = noisy  # type: ignore[method-assign]  # another machine
    assert finished.verify().holds
    assert not finished.verify(tolerance=1e-5).holds


# ------------------------------------------------------------------------------------------------ what does not


def test_one_digit_changed_in_the_card_is_named_with_its_line(finished: Finished) -> None:
    card = finished.model / "README.md"
    lines = card.read_text(encoding="utf-8").split("\n")
    number = next(index for index, line in enumerate(lines) if line.startswith("| KorNLI | 4,998 | 95 |"))
    lines[number] = lines[number].replace("| 95 |", "| 96 |")
    card.write_text("\n".join(lines), encoding="utf-8")
    (problem,) = finished.verify(record=False).problems
    assert problem.place == f"README.md, line {number + 1}"
    assert problem.message.startswith("The line does not say exposure.kornli.unique_rows_seen = 95: ")


def test_one_byte_of_the_weights_is_found(finished: Finished) -> None:
    exchange_weights(finished)
    found = {"model.weights_sha256", "model.digest", "tuned.sts-test.spearman_cosine"}
    assert found <= set(finished.places(record=False))


def test_weights_changed_together_with_their_digest_are_found_by_their_scores(finished: Finished) -> None:
    weights = exchange_weights(finished)
    digests = {"weights_sha256": sha256_of_file(weights), "model_digest": sha256_of_model(finished.model)}
    finished.write_card(finished.records.but(trained=finished.records.trained.model_copy(update=digests)))
    places = finished.places(record=False)
    assert "tuned.sts-test.spearman_cosine" in places
    assert "model.weights_sha256" not in places


def test_rows_that_are_not_the_cards_are_named_and_not_measured_on(finished: Finished) -> None:
    (finished.here(finished.records.data.evaluation[0].path) / "data.arrow").write_text("other rows")
    result = finished.verify(record=False)
    (problem,) = result.problems
    assert problem.place == "suite sts-dev"
    assert "The rows at hand are not the card's" in problem.message
    assert result.measured > 20  # the other suite


# Forgeries: facts.json and card are changed together, digests recomputed. Each is done to a copy of the
# whole run, and must be named in the place that is given.


def licence_in_the_header(finished: Finished) -> None:
    vouch(finished, finished.card_text.replace("license: cc-by-sa-4.0", "license: mit"))


def section_on_limits_deleted(finished: Finished) -> None:
    text = finished.card_text
    start, end = text.index("## Bias, Risks and Limitations"), text.index("## Training Details")
    vouch(finished, text[:start] + text[end:])


def verdict_changed(finished: Finished) -> None:
    vouch(finished, finished.card_text.replace(": the tuned model is better", ": the tuned model is far better"))


def facts_and_pairs_dropped_for_other_weights(finished: Finished) -> None:
    exchange_weights(finished)
    for folder in (finished.card, finished.model):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        facts["facts"], facts["evidence"]["pairs"] = [], {}
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    vouch(finished, finished.card_text.replace("the tuned model scores 0.5", "the tuned model scores 0.9"))


def scores_of_rows_exchanged_and_unknown_to_facts(finished: Finished) -> None:
    path = finished.run.evaluation / "tuned" / "sts-test.parquet"
    shutil.copyfile(finished.run.evaluation / "base" / "sts-test.parquet", path)
    for folder in (finished.card, finished.model):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        del facts["evidence"]["pairs"]["tuned/sts-test"]
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def gold_scores_edited(finished: Finished) -> None:
    path = finished.run.evaluation / "tuned" / "sts-test.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.set_column(3, "gold", table["dot"].combine_chunks().fill_null(0)[::-1]), path)


def scores_of_rows_deleted(finished: Finished) -> None:
    (finished.run.evaluation / "tuned" / "sts-test.parquet").unlink()


def scores_of_rows_without_similarity(finished: Finished) -> None:
    path = finished.run.evaluation / "tuned" / "sts-test.parquet"
    parquet.write_table(parquet.read_table(path).drop_columns(["cosine"]), path)


def file_added_under_a_nested_folder_of_figures(finished: Finished) -> None:
    (finished.model / "1_Pooling" / "figures").mkdir(parents=True)
    (finished.model / "1_Pooling" / "figures" / "weights.bin").write_text("added")


def file_added_to_the_figures(finished: Finished) -> None:
    (finished.model / "figures" / "evil.py").write_text("added")


def readme_added_below(finished: Finished) -> None:
    (finished.model / "1_Pooling" / "README.md").write_text("added")


def facts_beside_the_weights_altered(finished: Finished) -> None:
    change(finished.model / "facts.json", "kornlu-small", "kornlu-large", -1)


def figure_beside_the_weights_altered(finished: Finished) -> None:
    (finished.model / "figures" / "base-vs-tuned.png").write_bytes(b"another picture")


def figure_deleted(finished: Finished) -> None:
    (finished.card / "figures" / "training-curve.png").unlink()


def scores_raised_in_every_record(finished: Finished) -> None:
    report = finished.records.tuned_scores
    suites = {
        name: scores.model_copy(update={"metrics": {metric: value + 0.01 for metric, value in scores.metrics.items()}})
        for name, scores in report.suites.items()
    }
    finished.write_card(finished.records.but(tuned_scores=report.model_copy(update={"suites": suites})))


def overlap_left_out_of_every_record(finished: Finished) -> None:
    finished.write_card(finished.records.but(data=finished.records.data.model_copy(update={"overlaps": ()})))


def lengths_changed_in_every_record(finished: Finished) -> None:
    tokens = finished.records.tokens
    columns = {name: one.model_copy(update={"truncated_rows": 0}) for name, one in tokens.sets[0].columns.items()}
    sets = (tokens.sets[0].model_copy(update={"columns": columns}), *tokens.sets[1:])
    finished.write_card(finished.records.but(tokens=tokens.model_copy(update={"sets": sets})))


def parameters_changed_in_every_record(finished: Finished) -> None:
    finished.write_card(finished.records.but(base=finished.records.base.model_copy(update={"parameters": 25})))


def dimension_changed_in_every_record(finished: Finished) -> None:
    finished.write_card(finished.records.but(trained=finished.records.trained.model_copy(update={"dimension": 385})))


def suite_left_out_of_the_scores(finished: Finished) -> None:
    report = finished.records.tuned_scores
    suites = {"sts-test": report.suites["sts-test"]}
    finished.write_card(finished.records.but(tuned_scores=report.model_copy(update={"suites": suites})))


def prompts_that_the_model_does_not_know(finished: Finished) -> None:
    finished.write_card(finished.records.but(modules=ModelModules(prompts=Prompts(texts={"query": "query: "}))))


def licence_added_to_the_header(finished: Finished) -> None:
    vouch(finished, finished.card_text.replace("license: cc-by-sa-4.0\n", "license: cc-by-sa-4.0\nlicense: mit\n"))


def row_added_to_a_table(finished: Finished) -> None:
    row = next(line for line in finished.card_text.split("\n") if line.startswith("| KorSTS test |"))
    vouch(finished, finished.card_text.replace(row, f"{row}\n{row.replace('KorSTS test', 'KorSTS unseen')}"))


def section_hidden_in_a_comment(finished: Finished) -> None:
    text = finished.card_text.replace("## Bias, Risks and Limitations", "<!--\n\n## Bias, Risks and Limitations")
    vouch(finished, text.replace("## Training Details", "-->\n\n## Training Details"))


def section_folded_away(finished: Finished) -> None:
    text = finished.card_text.replace("## Bias, Risks and Limitations", "<details>\n\n## Bias, Risks and Limitations")
    vouch(finished, text.replace("## Training Details", "</details>\n\n## Training Details"))


def section_shown_as_code(finished: Finished) -> None:
    text = finished.card_text.replace("## Bias, Risks and Limitations", "~~~\n\n## Bias, Risks and Limitations")
    vouch(finished, text.replace("## Training Details", "~~~\n\n## Training Details"))


def sentence_that_goes_on_from_one_of_ours(finished: Finished) -> None:
    lines = finished.card_text.split("\n")
    number = next(index for index, line in enumerate(lines) if ": the tuned model is better" in line)
    lines.insert(number + 1, "Nothing of this holds.")
    vouch(finished, "\n".join(lines))


def limits_moved_behind_everything(finished: Finished) -> None:
    text = finished.card_text
    start, end = text.index("## Bias, Risks and Limitations"), text.index("## Training Details")
    vouch(finished, text[:start] + text[end:] + "\n" + text[start:end])


def digits_of_another_script(finished: Finished) -> None:
    vouch(finished, finished.card_text.replace("1,379", "１,379", 1))


def letter_that_nobody_sees(finished: Finished) -> None:
    vouch(finished, finished.card_text.replace("the tuned model is better", "the tuned model is\u200b better"))


def fact_that_no_record_makes(finished: Finished) -> None:
    for folder in (finished.card, finished.model):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        invented = json.loads(json.dumps(facts["facts"][0]))
        invented["fact"]["id"] = "tuned.sts-unseen.spearman_cosine"
        facts["facts"].append(invented)
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def two_figures_exchanged(finished: Finished) -> None:
    first, second = (finished.model / "figures" / f"gold-vs-predicted-{name}.png" for name in ("sts-dev", "sts-test"))
    other = finished.model / "figures" / "training-curve.png"
    first.write_bytes(other.read_bytes())
    second.write_bytes(other.read_bytes())


def pooling_changed_beside_the_weights(finished: Finished) -> None:
    change(finished.model / "1_Pooling" / "config.json", "mean", "max")


def tokenizer_exchanged(finished: Finished) -> None:
    (finished.model / "tokenizer.json").write_text('{"lower": true}')


def significance_raised_in_every_record(finished: Finished) -> None:
    differences = tuple(item.model_copy(update={"p_value": 0.9}) for item in finished.records.differences)
    finished.write_card(finished.records.but(differences=differences))


def text_without_end(finished: Finished) -> None:
    vouch(finished, finished.card_text + "A further line.\n" * 100_000)


FORGERIES: dict[Callable[[Finished], None], str] = {
    licence_in_the_header: "README.md, line",
    section_on_limits_deleted: "README.md, line",
    verdict_changed: "README.md, line",
    facts_and_pairs_dropped_for_other_weights: "facts.json, tuned.sts-test.spearman_cosine",
    scores_of_rows_exchanged_and_unknown_to_facts: "evaluation/tuned/sts-test.parquet",
    gold_scores_edited: "evaluation/tuned/sts-test.parquet",
    scores_of_rows_deleted: "evaluation/tuned/sts-test.parquet",
    scores_of_rows_without_similarity: "evaluation/tuned/sts-test.parquet",
    file_added_under_a_nested_folder_of_figures: "model.digest",
    file_added_to_the_figures: "model/figures/evil.py",
    readme_added_below: "model.digest",
    facts_beside_the_weights_altered: "model/facts.json",
    figure_beside_the_weights_altered: "model/figures/base-vs-tuned.png",
    figure_deleted: "figures/training-curve.png",
    scores_raised_in_every_record: "tuned.sts-test.spearman_cosine",
    overlap_left_out_of_every_record: "overlap.korsts.sts-test.exact.rows",
    lengths_changed_in_every_record: "tokens.kornli.anchor.truncated_rows",
    parameters_changed_in_every_record: "model.parameters",
    dimension_changed_in_every_record: "model.dimension",
    suite_left_out_of_the_scores: "tuned.sts-dev.spearman_cosine",
    prompts_that_the_model_does_not_know: "Usage",
    licence_added_to_the_header: "README.md, line",
    row_added_to_a_table: "README.md, line",
    section_hidden_in_a_comment: "README.md, line",
    section_folded_away: "README.md, line",
    section_shown_as_code: "README.md, line",
    sentence_that_goes_on_from_one_of_ours: "README.md, line",
    limits_moved_behind_everything: "README.md, line",
    digits_of_another_script: "README.md, line",
    letter_that_nobody_sees: "README.md, line",
    fact_that_no_record_makes: "facts.json, tuned.sts-unseen.spearman_cosine",
    two_figures_exchanged: "model/figures/gold-vs-predicted-sts-test.png",
    pooling_changed_beside_the_weights: "model.digest",
    tokenizer_exchanged: "model.digest",
    significance_raised_in_every_record: "difference.sts-test.spearman_cosine.p_value",
    text_without_end: "README.md",
}
SEEN_BY_THE_RECORD_ALONE = frozenset({
    "evaluation/tuned/sts-test.parquet",  # the record is where these files lie; they are not shipped with the model
})  # fmt: skip


def spoil(finished: Finished, forge: Callable[[Finished], None]) -> None:
    finished.card_text = (finished.card / "README.md").read_text(encoding="utf-8")
    forge(finished)


def named(result: VerifyResult, place: str) -> bool:
    return any(problem.place.startswith(place) for problem in result.problems)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forgery_is_named_with_and_without_the_runs_record(
    finished: Finished, forge: Callable[[Finished], None]
) -> None:
    spoil(finished, forge)
    for record in (True, False):
        result = finished.verify(finished.run.root, record=record)
        if record or FORGERIES[forge] not in SEEN_BY_THE_RECORD_ALONE:
            assert named(result, FORGERIES[forge]), (record, result.problems)
            assert not result.holds


def licence_of_the_data(finished: Finished) -> None:
    data = finished.records.data
    train = tuple(item.model_copy(update={"license": "mit"}) for item in data.train)
    finished.write_card(finished.records.but(data=data.model_copy(update={"train": train})))


def rows_that_the_model_saw(finished: Finished) -> None:
    trained = finished.records.trained
    exposure = tuple(item.model_copy(update={"unique_rows_seen": 4998}) for item in trained.exposure)
    finished.write_card(finished.records.but(trained=trained.model_copy(update={"exposure": exposure})))


def hours_of_training(finished: Finished) -> None:
    trained = finished.records.trained.model_copy(update={"train_seconds": 1.0})
    finished.write_card(finished.records.but(trained=trained))


def hyperparameter(finished: Finished) -> None:
    trained = finished.records.trained
    arguments = trained.hyperparameters | {"learning_rate": 1e-9}
    finished.write_card(finished.records.but(trained=trained.model_copy(update={"hyperparameters": arguments})))


WORDS: dict[Callable[[Finished], None], tuple[str, str]] = {
    licence_of_the_data: ("README.md, line", "licences"),
    rows_that_the_model_saw: ("exposure.kornli.unique_rows_seen", "exposure"),
    hours_of_training: ("training.seconds", "training"),
    hyperparameter: ("argument.learning_rate", "argument"),
}


@pytest.mark.parametrize("forge", WORDS, ids=lambda forge: forge.__name__)
def test_what_no_measurement_can_tell_is_named_by_the_record_or_listed_as_the_runs_word(
    finished: Finished, forge: Callable[[Finished], None]
) -> None:
    spoil(finished, forge)
    place, word = WORDS[forge]
    assert named(finished.verify(), place)
    without = finished.verify(record=False)
    assert word in without.unvouched or any(word in text for text in without.unvouched_texts)


# ------------------------------------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize("name", ["model.safetensors", "figures", "1_Pooling"])
def test_a_link_out_of_the_folder_is_refused(finished: Finished, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = finished.model / name
    if place.exists():
        place.rename(outside / name)
    else:
        (outside / name).mkdir()
    place.symlink_to(outside / name)
    (problem,) = finished.verify().problems
    assert problem.place == str(place)
    assert "link out of its folder" in problem.message


@pytest.mark.parametrize("text", ["{}", "", "[]", "nonsense", "[" * 100_000, '{"format": 1}'])
def test_facts_that_cannot_be_read_are_one_problem(finished: Finished, text: str) -> None:
    (finished.model / "facts.json").write_text(text)
    (problem,) = finished.verify().problems
    assert problem.place == "facts.json"


def test_records_that_contradict_each_other_are_one_problem(finished: Finished) -> None:
    path = finished.model / "facts.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["evidence"]["samples"] = {}
    path.write_text(json.dumps(facts), encoding="utf-8")
    (problem,) = finished.verify().problems
    assert problem.place == "facts.json"


def test_nothing_is_measured_without_tools_and_nothing_holds(finished: Finished) -> None:
    result = verify_card(finished.model, tools=None)
    assert (result.outcome, result.measured, result.problems) == ("not compared", 0, ())


def test_a_folder_without_model_or_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="holds neither a model nor a card"):
        verify_card(tmp_path, tools=None)
