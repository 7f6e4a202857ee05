"""The whole card: every section of the reference card, in its order, and nothing left open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from stsflow.tasks.card.facts import facts_in
from stsflow.tasks.card.render import render_card
from stsflow.tasks.records.data import OverlapCounts, SuiteOverlap
from stsflow.tasks.records.evaluation import Interval, RecipeDifference, SeedSummary
from stsflow.tasks.records.prompts import Prompts
from stsflow.tasks.records.teaching import Teaching
from stsflow.tasks.records.training import MeasuredEnergy

# The reference card's headings in its order; what it hides in comments is a section here.
REFERENCE_HEADINGS = [
    "# SentenceTransformer based on sentence-transformers/all-MiniLM-L6-v2",
    "## Model Details", "### Model Description", "### Model Sources", "### Full Model Architecture",
    "## Usage", "### Direct Usage (Sentence Transformers)", "### Direct Usage (Transformers)",
    "### Downstream Usage (Sentence Transformers)", "### Out-of-Scope Use",
    "## Evaluation", "### Metrics", "#### Semantic Similarity",
    "## Bias, Risks and Limitations", "### Recommendations",
    "## Training Details", "### Training Datasets", "#### KorNLI", "#### KorSTS",
    "### Training Hyperparameters", "#### Non-Default Hyperparameters", "#### All Hyperparameters",
    "### Training Logs", "### Framework Versions",
    "## Citation", "### BibTeX", "#### Sentence Transformers", "#### MultipleNegativesRankingLoss",
    "## Glossary", "## Model Card Authors", "## Model Card Contact",
]  # fmt: skip


def body(card: str) -> str:
    """The card without its YAML header."""
    return card.split("\n---\n", 1)[1]


def table_blocks(card: str) -> list[list[str]]:
    """Runs of lines that start with a pipe."""
    blocks: list[list[str]] = [[]]
    for line in card.split("\n"):
        if line.lstrip().startswith("|"):
            blocks[-1].append(line.strip())
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def test_all_sections_of_the_reference_stand_in_its_order(records: Any) -> None:
    lines = iter(render_card(records.content()).split("\n"))
    missing = [heading for heading in REFERENCE_HEADINGS if not any(line == heading for line in lines)]
    assert missing == []


def test_no_section_is_empty(records: Any) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(body(render_card(records.content())))
    headings = [index for index, token in enumerate(tokens) if token.type == "heading_open"]
    empty = []
    for index, following in zip(headings, [*headings[1:], len(tokens)], strict=True):
        deeper = following < len(tokens) and tokens[following].tag > tokens[index].tag
        if following - index <= 3 and not deeper:
            empty.append(tokens[index + 1].content)
    assert empty == []


@pytest.mark.parametrize("word", ["Unknown", "Unnamed", "<!--", "More Information Needed", "None stated", "Undefined"])
def test_nothing_is_left_open(records: Any, word: str) -> None:
    assert word not in render_card(records.content())


def test_every_table_parses_with_all_of_its_rows(records: Any) -> None:
    card = body(render_card(records.content()))
    blocks = table_blocks(card)
    tokens = MarkdownIt("commonmark").enable("table").parse(card)
    parsed_rows = sum(token.type == "tr_open" for token in tokens)
    assert parsed_rows == sum(len(block) - 1 for block in blocks)  # the delimiter row is no row
    assert all(len({line.count("|") for line in block}) == 1 for block in blocks)


def test_the_only_html_is_the_template_s_folding(records: Any) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(body(render_card(records.content())))
    raw = [token for token in tokens if token.type == "html_block"]
    raw += [child for token in tokens for child in token.children or [] if child.type == "html_inline"]
    tags = {tag for token in raw for tag in re.findall(r"</?(\w+)", token.content)}
    assert tags == {"details", "summary"}


def test_missing_facts_are_said_in_words(records: Any) -> None:
    bare = [item.model_copy(update={"language": (), "license": ""}) for item in records.data.train]
    card = render_card(records.but(data=records.data.model_copy(update={"train": tuple(bare)})).content())
    assert "- **Language:** the recipe does not state it" in card
    assert "- **License:** other (see Licences below)" in card
    assert "the recipe names no authors" in card
    assert "The recipe names no contact" in card
    assert "language:" not in card.split("\n---\n")[0]


def test_the_card_says_what_the_reference_leaves_out(records: Any) -> None:
    card = render_card(records.content())
    for said in (
        "Of KorNLI the model saw 95 of 4,998 rows (1.90 %)",  # exposure
        "the base model scores 0.6587 on the same rows",
        "The paired difference is +0.1067 (+0.0867 to +0.1267): the tuned model is better.",
        "On the 1,213 rows that share nothing with any training set: spearman_cosine 0.7614",
        "step 1,000 of 1,438 was kept: it has the highest sts-dev_spearman_cosine (0.8123) on KorSTS development",
        # 7 + 5 of 3 * 4998 + 2 * 5749
        "Of all texts of the training sets 12 of 26,492 (0.05 %) are longer than the limit; those of them that were",
        "By length, KorSTS test is weakest on length:long",
        "| warning | korsts | 166 of 1,379 rows of sts-test share a sentence with training. |",
        "Intervals are bootstrap percentile intervals at 95 % confidence from 10,000 resamples",
        "- Wall time in the training loop: 12 min 34 s",  # 754.2 s
        "| **1.3908** | **1000** | **0.2290** | **0.8123** |",
        "the tuned model carries it and not a permissive one",
    ):  # fmt: skip
        assert said in card


def test_what_was_scored_without_a_model_stands_beside_base_and_tuned(records: Any) -> None:
    from stsflow.tasks.records.evaluation import Reference

    pairs = records.tuned_scores.model_path / "bm25" / "sts-test.parquet"
    suites = dict(records.tuned_scores.suites)
    reference = Reference(name="bm25", metrics={"spearman_cosine": 0.31415}, pairs=pairs)
    suites["sts-test"] = suites["sts-test"].model_copy(update={"reference": reference})
    content = records.but(tuned_scores=records.tuned_scores.model_copy(update={"suites": suites})).content()
    card = render_card(content)
    (block,) = (block for block in table_blocks(body(card)) if "bm25" in block[0])
    assert block[0] == "| Metric | Base | Tuned | `bm25` | Interval of tuned | Tuned minus base |"
    assert block[3].startswith("| **spearman_cosine** | **0.6587** | **0.7654** | 0.3141 |")
    assert block[2].split(" | ")[3] == "–" and len({line.count("|") for line in block}) == 1
    fact = facts_in(content)["reference.sts-test.spearman_cosine"]
    assert (fact.value, fact.source.record, fact.source.model_digest) == (0.31415, "SuiteScores.reference", "")
    assert str(pairs.parent) not in content.evidence.model_dump_json()


def test_no_folder_of_the_machine_is_published(records: Any) -> None:
    card = render_card(records.content())
    assert "/home/somebody" not in card
    assert "root:" not in card


def test_a_run_without_choice_says_that_the_last_step_was_kept(records: Any) -> None:
    trained = records.trained.model_copy(update={"best_step": None, "best_metric": None})
    assert "the weights after the last step, 1,438, were kept" in render_card(records.but(trained=trained).content())


def test_a_difference_around_zero_is_not_called_better(records: Any) -> None:
    unclear = tuple(
        item.model_copy(update={"interval": item.interval.model_copy(update={"low": -0.001})})
        for item in records.differences
    )
    card = render_card(records.but(differences=unclear).content())
    assert "these rows do not tell the two models apart" in card
    assert "give no reason to prefer this model to its base model" in card


def test_the_best_of_several_seeds_is_said_to_be_inflated(records: Any) -> None:
    seeds = SeedSummary(suite="sts-test", metric="spearman_cosine", scores={1: 0.76, 2: 0.77, 3: 0.78}, chosen=3)
    card = render_card(records.but(seeds=seeds).content())
    # Mean 0.77, sample standard deviation 0.01; the largest of three normal draws lies 0.8463 deviations above.
    assert "one of 3 runs that differ in the seed only: mean spearman_cosine on sts-test 0.7700" in card
    assert "lies above their mean by about 0.0085" in card and "about 0.7785 is no achievement" in card


def test_the_card_says_whether_weights_or_recipe_were_tested(records: Any) -> None:
    assert "intervals in this card are those of these weights" in render_card(records.content())
    claim = RecipeDifference(
        suite="sts-test", metric="spearman_cosine", first="base", second="recipe", rows=1379, seeds=(1, 3),
        means=(0.6587, 0.7701), deviations=(None, 0.0101), difference=0.1114,
        interval=Interval(low=0.0801, high=0.1427, confidence=0.95, resamples=1000), seeds_needed=2,
    )  # fmt: skip
    seeds = SeedSummary(
        suite="sts-test", metric="spearman_cosine", scores={1: 0.76, 2: 0.77, 3: 0.78}, chosen=3, claims=(claim,)
    )
    card = render_card(records.but(seeds=seeds).content())
    assert "was tested apart, over seeds and rows together, with 3 seeds." in card
    (row,) = [line for line in card.splitlines() if "| 0.7701 |" in line]
    assert "| 0.0101 | +0.1114 | +0.0801 to +0.1427 | 2 |" in row


def test_a_loss_around_another_brings_both_names_and_citations(records: Any) -> None:
    inner = {"name": "MultipleNegativesRankingLoss", "parameters": {"scale": 20.0}, "citation": "@misc{inner,\n}"}
    outer = {
        "name": "MatryoshkaLoss", "parameters": {"loss": "MultipleNegativesRankingLoss", "matryoshka_dims": [384, 128]},
        "citation": "@misc{outer,\n}\n\n@misc{inner,\n}", "inner": inner,
    }  # fmt: skip
    trained = records.trained.model_copy(update={"losses": {"kornli": outer, "korsts": inner}})
    card = render_card(records.but(trained=trained).content())
    assert "- loss:MatryoshkaLoss\n- loss:MultipleNegativesRankingLoss\n" in card
    assert "#### MatryoshkaLoss\n\n```bibtex\n@misc{outer,\n}\n```\n" in card
    assert card.count("@misc{inner,") == 1


def test_the_card_says_what_the_headline_shares_with_the_choosing_suite_and_why(records: Any) -> None:
    assert "the headline suite chose nothing" in render_card(records.content())
    counts = OverlapCounts(pairs=6, sentences=85, rows=125, of_rows=1379)
    shared = SuiteOverlap(first="sts-dev", second="sts-test", exact=counts)
    evaluation = records.recipe.evaluation.model_copy(update={"explained_overlap": {"sts-test": "published like this"}})
    card = render_card(
        records.but(
            data=records.data.model_copy(update={"suite_overlaps": (shared,)}),
            recipe=records.recipe.model_copy(update={"evaluation": evaluation}),
        ).content()
    )
    assert "the headline suite chose nothing" not in card
    assert (
        "KorSTS test holds 6 pairs of KorSTS development too, so that the choice has seen them; the recipe says: "
        "published like this." in card
    )


def test_prompts_of_the_training_are_said_in_the_usage(records: Any) -> None:
    prompts = Prompts(texts={"query": "query: ", "document": "passage: "}, default="query")
    base = records.base.model_copy(update={"prompts": prompts})
    modules = records.modules.model_copy(update={"prompts": prompts})
    card = render_card(records.but(base=base, modules=modules).content())
    said = "In training they went before the texts of these columns"
    usage = card[card.index("## Usage") : card.index("### Direct Usage (Transformers)")]
    assert said in usage and '"anchor": "query: "' in usage and '"document": "passage: "' in usage
    assert "`encode` that of `query` unless `prompt_name` names another one" in usage
    assert said not in render_card(records.content())


def test_a_guide_is_named_with_digest_and_licence_and_counts_among_the_licences(records: Any) -> None:
    guide = records.base.model_copy(
        update={"name": "example/guide", "digest": "9d" * 32, "license": "cc-by-nc-4.0", "path": Path("/home/me/guide")}
    )
    guided = records.but(trained=records.trained.model_copy(update={"guide": guide}))
    content = guided.content()
    text = render_card(content)
    named = "- **Guide, no part of the model:** [example/guide](https://huggingface.co/example/guide)"
    assert f"{named} (digest of its files {'9d' * 32}; licence: cc-by-nc-4.0)" in text
    assert "| example/guide (guide) | cc-by-nc-4.0 | non-commercial |" in text
    assert content.licence.license == "cc-by-nc-4.0" and "/home/me" not in content.evidence.model_dump_json()
    assert "no part of the model" not in render_card(records.content())


def test_what_a_teacher_said_of_a_set_stands_with_it(records: Any) -> None:
    teacher = records.base.model_copy(update={"name": "example/reranker", "digest": "7e" * 32, "license": "mit"})
    said = Teaching(
        teacher=teacher, gives="scores", digest_before="be" * 32, numbers=2, minimum=-0.25, mean=0.5, maximum=0.75,
        disagrees=7, seconds=1.0,
    )  # fmt: skip
    first, *others = records.data.train
    taught = records.data.model_copy(update={"train": (first.model_copy(update={"teaching": said}), *others)})
    text = render_card(records.but(data=taught).content())
    assert (
        "* Labelled by the teacher example/reranker: 2 scores a row, from -0.2500 to 0.7500, mean 0.5000; in 7 rows it "
        "scores a negative at least as high as the positive." in text
    )
    assert "- **Teacher, no part of the model:** [example/reranker]" in text
    assert "| example/reranker (teacher) | mit | permissive |" in text


def test_energy_is_told_by_part_with_how_it_was_measured_or_why_not(records: Any) -> None:
    """7.2 kJ are 2 Wh, 9 MJ are 2.5 kWh."""
    assert "- Energy: not measured\n" in render_card(records.content())
    read, not_read = "RAPL's counters (package-0)", "this user may not read the processor's counters (RAPL: energy_uj)"
    for processor, gpu, lines in (
        (
            None,
            9e6,
            [f"processor in the training loop: not measured: {not_read}", "GPU in the training loop: 2.5 kWh, m"],
        ),
        (
            7200.0,
            None,
            [f"processor in the training loop: 2 Wh, measured by {read}", "GPU in the training loop: not m"],
        ),
    ):
        energy = (
            MeasuredEnergy(part="processor", joules=processor, how=not_read if processor is None else read),
            MeasuredEnergy(part="gpu", joules=gpu, how="NVML"),
        )
        shown = render_card(records.but(trained=records.trained.model_copy(update={"energy": energy})).content())
        plain = MarkdownIt("commonmark").render(body(shown)).replace("&quot;", '"')
        assert all(f"<li>Energy of the {line}" in plain for line in lines)
