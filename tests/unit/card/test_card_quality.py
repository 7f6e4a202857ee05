"""The card puts the model between word overlap and what the labels allow."""

from __future__ import annotations

from typing import Any

from stsflow.tasks.card.render import render_card
from stsflow.tasks.records.quality import Agreement, SuiteQuality


def with_quality(records: Any, **changes: Any) -> str:
    quality = SuiteQuality(
        metric="spearman_cosine", lexical=0.5, repeated=3, near=11, threshold=0.8,
        agreement=Agreement(
            raters=5, rows=1379, between_raters=0.6, reliability=0.81, ceiling=0.9, rater=0.77
        ),
    ).model_copy(update=changes)  # fmt: skip
    evaluation = tuple(item.model_copy(update={"quality": quality}) for item in records.data.evaluation)
    return render_card(records.but(data=records.data.model_copy(update={"evaluation": evaluation})).content())


def test_the_model_stands_between_baseline_and_ceiling(records: Any) -> None:
    card = with_quality(records)
    # sts-test: base 0.6587, tuned 0.7654; (0.7654 - 0.5) / (0.9 - 0.5) = 66.35 %.
    (told,) = [line for line in card.splitlines() if "word overlap alone" in line and "0.7654" in line]
    assert "scores 0.5000, the base model 0.6587, the tuned model 0.7654; noise in the labels lets a model" in told
    assert "reach about 0.9000 (the mean of 5 raters has the reliability 0.8100)" in told
    assert "66.35 % of the way from word overlap to that ceiling." in told
    assert "11 of its rows say again what an earlier row says (3 of them exactly" in card


def test_without_ratings_there_is_no_ceiling(records: Any) -> None:
    card = with_quality(records, agreement=None, near=0)
    assert "the tuned model 0.7654." in card and "noise in the labels" not in card and "say again" not in card
