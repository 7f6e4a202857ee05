"""Each promotion rule: when it holds, when it does not, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from stsflow.tasks.records.data import Overlap, OverlapCounts
from stsflow.tasks.records.evaluation import (
    Difference,
    EvaluationReport,
    Interval,
    Latency,
    RecipeDifference,
    SuiteScores,
)
from stsflow.tasks.release.decision import compared_metrics, decide
from stsflow.tasks.rules import (
    BeatsBase,
    BeatsChampion,
    MaximumLatency,
    MaximumSize,
    MinimumScore,
    NotWorse,
    NoUnexplainedLeakage,
    Rule,
)
from stsflow.tasks.rules.candidacy import Candidacy
from stsflow.tasks.suites import Metric, SuiteOfRows
from stsflow.tasks.suites.paired import MeanOfRows

LATENCY = Latency(milliseconds=12.0, wall_best=12.0, wall_worst=40.5, processor=23.0, blocks=5, texts=16)


def report(
    model: str, score: float = 0.8, *, digest: str = "rows-1", suites: tuple[str, ...] = ("test",)
) -> EvaluationReport:
    scores = {
        suite: SuiteScores(
            suite=suite, kind="sts", title=suite, split=suite, rows=1379, data_digest=digest, model_digest=model,
            primary="spearman_cosine", metrics={"spearman_cosine": score},
        )
        for suite in suites
    }  # fmt: skip
    return EvaluationReport(
        model=model, model_path=Path(model), model_digest=model, suites=scores, seconds=1.0,
        model_bytes=90_000_000, latency=LATENCY,
    )  # fmt: skip


def difference(first: str, low: float, high: float, suite: str = "test") -> Difference:
    interval = Interval(low=low, high=high, confidence=0.95, resamples=1000)
    return Difference(
        suite=suite, metric="spearman_cosine", first=first, second="tuned", rows=1379,
        difference=(low + high) / 2, interval=interval, p_value=0.01, rows_needed=500,
    )  # fmt: skip


def evidence(**parts: Any) -> Candidacy:
    given: dict[str, Any] = {"candidate": report("tuned"), "base": report("base", 0.7), "headline": "test"}
    return Candidacy(**{**given, **parts})


@pytest.mark.parametrize(
    ("margin", "low", "holds"), [(0.0, 0.001, True), (0.0, 0.0, False), (0.0, -0.001, False), (0.01, 0.005, False)]
)
def test_beats_base_looks_at_the_lower_end(margin: float, low: float, holds: bool) -> None:
    outcome = BeatsBase(margin=margin).outcome(evidence(differences=(difference("base", low, 0.05),)))
    assert outcome.holds is holds
    assert outcome.numbers["low"] == low


@pytest.mark.parametrize(("low", "holds"), [(0.001, True), (0.0, False), (-0.01, False)])
def test_the_claim_on_a_recipe_looks_at_seeds_and_rows(low: float, holds: bool) -> None:
    claim = RecipeDifference(
        suite="test", metric="spearman_cosine", first="base", second="recipe", rows=1379, seeds=(1, 5),
        means=(0.7, 0.72), deviations=(None, 0.01), difference=0.02,
        interval=Interval(low=low, high=0.04, confidence=0.95, resamples=1000),
    )  # fmt: skip
    # The weights at hand are better beyond doubt; that says nothing of the recipe.
    weights = difference("base", 0.01, 0.05)
    outcome = BeatsBase(claim="recipe").outcome(evidence(differences=(weights,), recipe_claims=(claim,)))
    assert outcome.holds is holds and "mean of 5 seeds" in outcome.reason and outcome.numbers["low"] == low


def test_one_seed_is_no_evidence_for_a_recipe() -> None:
    outcome = BeatsBase(claim="recipe").outcome(evidence(differences=(difference("base", 0.01, 0.05),)))
    assert not outcome.holds and "stsflow run --seeds 5" in outcome.reason


def test_reason_carries_the_numbers() -> None:
    outcome = BeatsBase().outcome(evidence(differences=(difference("base", 0.01, 0.05),)))
    assert outcome.reason == (
        "spearman_cosine on test against the base model: +0.0300, 95% interval +0.0100 to +0.0500, which lies above "
        "+0.0000"
    )


def test_reason_says_when_the_suite_chose_the_checkpoint() -> None:
    found = evidence(differences=(difference("base", 0.01, 0.05),), chose_checkpoint="test")
    assert "test also chose the checkpoint, which flatters the candidate" in BeatsBase().outcome(found).reason


def test_first_version_beats_a_champion_that_is_not_there() -> None:
    for rule in (BeatsChampion(), NotWorse(suites=("test",))):
        outcome = rule.outcome(evidence())
        assert outcome.holds
        assert outcome.reason == "there is no champion yet"


def test_champion_on_other_rows_is_not_compared() -> None:
    found = evidence(champion=report("champion", 0.1, digest="rows-2"), differences=(difference("champion", 0.5, 0.9),))
    outcome = BeatsChampion().outcome(found)
    assert not outcome.holds
    assert "different rows of test (data digest rows-1 and rows-2); evaluate the champion again" in outcome.reason


def test_champion_without_the_suite_is_not_compared() -> None:
    outcome = BeatsChampion().outcome(evidence(champion=report("champion", suites=("dev",))))
    assert (outcome.holds, outcome.reason) == (False, "the champion was not evaluated on test")


def test_without_an_interval_nothing_is_beaten() -> None:
    outcome = BeatsBase().outcome(evidence())
    assert not outcome.holds
    assert outcome.reason == "there is no paired interval of spearman_cosine on test against the base model"


def test_not_worse_accepts_a_small_loss_and_names_the_suite_that_loses_more() -> None:
    suites = ("test", "forum")
    found = evidence(
        candidate=report("tuned", suites=suites),
        champion=report("champion", suites=suites),
        differences=(difference("champion", -0.005, 0.02), difference("champion", -0.03, 0.0, "forum")),
    )
    assert NotWorse(suites=("test",), margin=0.01).outcome(found).holds
    both = NotWorse(suites=suites, margin=0.01).outcome(found)
    assert not both.holds
    assert "on forum" in both.reason and "on test" not in both.reason
    assert both.numbers["forum/low"] == -0.03


def test_not_worse_than_the_base_model_looks_at_the_base_even_where_there_is_a_champion() -> None:
    found = evidence(
        champion=report("champion"),
        differences=(difference("base", -0.03, 0.0), difference("champion", 0.1, 0.2)),
    )
    outcome = NotWorse(suites=("test",), margin=0.01, against="base").outcome(found)
    assert not outcome.holds
    assert outcome.reason == (
        "spearman_cosine on test against the base model: -0.0150, 95% interval -0.0300 to +0.0000, which does not lie "
        "above -0.0100"
    )
    assert NotWorse(suites=("test",), margin=0.04, against="base").outcome(found).holds
    without = NotWorse(suites=("test",), against="base").outcome(evidence(base=None))
    assert (without.holds, without.reason) == (False, "the base model was not evaluated")


@pytest.mark.parametrize(("bar", "holds"), [(0.8, True), (0.81, False)])
def test_minimum_score(bar: float, holds: bool) -> None:
    outcome = MinimumScore(score=bar).outcome(evidence())
    assert outcome.holds is holds
    assert ("at least" if holds else "below") in outcome.reason


def test_undefined_score_reaches_no_bar() -> None:
    outcome = MinimumScore(score=-1.0).outcome(evidence(candidate=report("tuned", float("nan"))))
    assert (outcome.holds, outcome.reason) == (False, "the candidate has no spearman_cosine on test")


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (MaximumSize(megabytes=90), True), (MaximumSize(megabytes=89.9), False),
        (MaximumLatency(milliseconds=12), True), (MaximumLatency(milliseconds=11), False),
    ],
)  # fmt: skip
def test_size_and_latency_have_bounds(rule: MaximumSize | MaximumLatency, holds: bool) -> None:
    assert rule.outcome(evidence()).holds is holds


def test_the_outcome_of_a_latency_says_how_it_was_measured() -> None:
    reason = MaximumLatency(milliseconds=11).outcome(evidence()).reason
    assert reason == (
        "one text takes 12.0 ms, over 11.0 ms (median of 16 texts, 5 blocks: 12.0 to 40.5 ms by the clock, "
        "23.0 ms of processor time)"
    )


def test_what_was_not_measured_does_not_pass() -> None:
    bare = report("tuned").model_copy(update={"model_bytes": 0, "latency": None})
    for rule in (MaximumSize(megabytes=1e6), MaximumLatency(milliseconds=1e6)):
        assert "was not measured" in rule.outcome(evidence(candidate=bare)).reason


def test_leakage_needs_an_explanation_for_each_suite() -> None:
    counts = OverlapCounts(pairs=2, sentences=153, rows=166, of_rows=1379)
    found = evidence(overlaps=(Overlap(train="korsts", evaluation="test", exact=counts),))
    open_one = NoUnexplainedLeakage().outcome(found)
    assert not open_one.holds
    assert "166 of 1379 rows of test in korsts" in open_one.reason
    explained = NoUnexplainedLeakage(explained={"test": "as published"}).outcome(found)
    assert (explained.holds, explained.reason) == (True, "test: as published")
    assert NoUnexplainedLeakage().outcome(evidence()).holds


@pytest.mark.parametrize(
    ("level", "words"), [("normalised", "equal after normalisation"), ("near", "equal or nearly equal")]
)
def test_leakage_counts_in_the_widest_sense_that_was_measured(level: str, words: str) -> None:
    none, forty = (OverlapCounts(pairs=0, sentences=rows, rows=rows, of_rows=100) for rows in (0, 40))
    counts = {"exact": none, "normalised": none, level: forty}
    found = evidence(overlaps=(Overlap.model_validate({"train": "nli", "evaluation": "test", **counts}),))
    outcome = NoUnexplainedLeakage().outcome(found)
    assert not outcome.holds
    assert outcome.reason == f"shared with training and not explained: 40 of 100 rows of test in nli ({words})"
    assert outcome.numbers == {"nli/test": 40.0}


def test_a_rule_goes_by_the_headline_metric_of_its_suite() -> None:
    retrieval = {
        model: report(model).model_copy(
            update={
                "suites": {
                    "test": report(model)
                    .suites["test"]
                    .model_copy(update={"kind": "retrieval", "primary": "ndcg_at_10", "metrics": {"ndcg_at_10": 0.8}})
                }
            }
        )
        for model in ("base", "tuned")
    }
    gain = difference("base", 0.01, 0.05).model_copy(update={"metric": "ndcg_at_10"})
    found = evidence(candidate=retrieval["tuned"], base=retrieval["base"], differences=(gain,))
    assert BeatsBase().outcome(found).holds
    assert BeatsBase().outcome(found).reason.startswith("ndcg_at_10 on test against the base model: +0.0300")
    assert MinimumScore(score=0.8).outcome(found).holds


def test_all_rules_must_hold() -> None:
    found = evidence(differences=(difference("base", 0.01, 0.05),))
    decision = decide((BeatsBase(), BeatsChampion(), MinimumScore(score=0.9)), found)
    assert not decision.promoted
    assert [outcome.holds for outcome in decision.outcomes] == [True, True, False]
    assert decision.reason.startswith("not promoted: minimum_score: spearman_cosine on test is 0.8000, below 0.9000")
    assert decide((BeatsBase(), BeatsChampion()), found).promoted


def test_nothing_is_promoted_without_rules() -> None:
    decision = decide((), evidence())
    assert (decision.promoted, decision.reason) == (False, "not promoted: the recipe has no promotion rules")


def test_a_guard_that_is_lost_stops_what_every_rule_lets_through() -> None:
    suites = ("test", "english")
    found = evidence(
        candidate=report("tuned", suites=suites), base=report("base", 0.7, suites=suites),
        differences=(difference("base", 0.01, 0.05), difference("base", -0.2, -0.1, "english")),
    )  # fmt: skip
    guard = NotWorse(suites=("english",), against="base")
    assert decide((BeatsBase(),), found).promoted
    decision = decide((BeatsBase(),), found, (guard,))
    assert [(outcome.rule, outcome.holds) for outcome in decision.outcomes] == [("beats_base", True), ("guard", False)]
    assert decision.reason.startswith("not promoted: guard: spearman_cosine on english against the base model: -0.1500")
    assert decide((BeatsBase(),), found, (NotWorse(suites=("english",), margin=0.3, against="base"),)).promoted


def test_a_guard_alone_promotes_nothing_and_is_still_told() -> None:
    found = evidence(differences=(difference("base", 0.01, 0.05),))
    decision = decide((), found, (NotWorse(suites=("test",), against="base"),))
    assert (decision.promoted, decision.reason) == (False, "not promoted: the recipe has no promotion rules")
    assert [outcome.holds for outcome in decision.outcomes] == [True]


def test_champion_never_replaces_itself() -> None:
    found = evidence(champion=report("champion").model_copy(update={"model_digest": "tuned"}))
    decision = decide((MinimumScore(score=0.1),), found)
    assert (decision.promoted, decision.reason) == (False, "not promoted: the candidate is the champion itself")


def test_compared_metrics_are_those_the_rules_name() -> None:
    rules = (BeatsBase(), BeatsChampion(metric="pearson_dot"), MaximumSize(megabytes=1), NotWorse(suites=("a",)))
    assert compared_metrics(rules) == ("pearson_dot",)  # a suite's own headline metric is always compared


def test_rule_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="maximum_size"):
        TypeAdapter(Rule).validate_python({"kind": "maximum_sise", "megabytes": 1})


class WordErrors(SuiteOfRows):
    """A suite of another package, by a metric that is better low."""

    kind: Literal["word_errors"] = "word_errors"

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("rate",)

    @property
    def primary(self) -> str:
        return "rate"

    @classmethod
    def metric(cls, name: str) -> Metric:
        return Metric(low=0.0, higher_is_better=False, paired=MeanOfRows(name))

    def score(self, scoring: object) -> SuiteScores:
        raise NotImplementedError


def test_where_a_lower_score_is_better_the_interval_must_lie_below() -> None:
    def scored(model: str, rate: float) -> EvaluationReport:
        made = report(model)
        errors = {"kind": "word_errors", "primary": "rate", "metrics": {"rate": rate}}
        return made.model_copy(update={"suites": {"test": made.suites["test"].model_copy(update=errors)}})

    fewer = difference("base", -0.05, -0.01).model_copy(update={"metric": "rate"})
    both = {"candidate": scored("tuned", 0.10), "base": scored("base", 0.13)}
    outcome = BeatsBase().outcome(evidence(**both, differences=(fewer,)))
    assert outcome.holds and outcome.reason.endswith("interval -0.0500 to -0.0100, which lies below +0.0000")
    assert not BeatsBase(margin=0.02).outcome(evidence(**both, differences=(fewer,))).holds
    more = difference("base", 0.01, 0.05).model_copy(update={"metric": "rate"})
    assert not BeatsBase().outcome(evidence(**both, differences=(more,))).holds
    assert MinimumScore(score=0.1).outcome(evidence(**both)).reason == "rate on test is 0.1000, at most 0.1000"
    assert not MinimumScore(score=0.09).outcome(evidence(**both)).holds
