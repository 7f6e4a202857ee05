"""What leads from a run's description to its pages, as MLflow 3.17's own metric page reads its address."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from stsflow.tasks.tracking.links import curves_page, run_description


def test_the_description_leads_to_the_training_curves_first() -> None:
    page = curves_page("7", "abc", ["train/loss", "eval/sts-dev/spearman_cosine"])
    path, _, query = page.partition("?")
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    assert path == "#/metric" and asked.pop("x_axis") == "step"
    assert {name: json.loads(text) for name, text in asked.items()} == {
        "runs": ["abc"], "metric": "train/loss", "experiments": ["7"],
        "plot_metric_keys": ["train/loss", "eval/sts-dev/spearman_cosine"],
    }  # fmt: skip
    assert not set(page) & set('()[] "')  # nothing in it ends a link of Markdown
    text = run_description("What it is.", "http://prefect/run", page)
    assert text == f"What it is.\n\n[Training curves]({page}) · [This run in Prefect](http://prefect/run)"
