"""No text from data can break the card, however it is made."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from stsflow.tasks.card.escape import (
    LONGEST_TEXT,
    clean,
    escape_prose,
    escape_text,
    fenced,
    inline_code,
    is_plain_url,
    shorten,
)
from stsflow.tasks.card.render import render_card
from stsflow.tasks.card.samples import SetSamples

NASTY = [
    "a | b || c \\| d \\\\| e",
    "`one` ``two`` ``` three\n```\ncode",
    "</code></td></table><script>alert(1)</script><!-- gone -->",
    "first\nsecond\r\nthird\u2028fourth\x0bfifth",
    "---",
    "--- \n---\n# heading\n- list\n> quote\n1. one\n```",
    "x" * 10_000,
    "| " * 2_000,
    "مرحبا بالعالم \u202e reversed \u202c שלום",
    "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇰🇷 ✅",
    "key: value, [list], {map}, 'single' \"double\", # comment, &anchor *alias !tag %TAG @at",
    "[link](javascript:alert(1)) ![image](x) <http://evil.example> https://evil.example www.evil.example a@b.example",
    "null",
    "\x00\x07\ufeff\ue000fact\ue001value\ue002\ufffe",
    "*bold* _emph_ __strong__ ~~struck~~ $math$ $$more$$",
    "{{ content.title }} {% raw %}",
    "&lt;script&gt; &#124; &amp;",
    " leading and trailing \t",
    "",
]


def cell_texts(markdown: str) -> list[list[str]]:
    """Texts of the table rows as a renderer shows them."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    rows: list[list[str]] = []
    for before, token in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and before.type in ("td_open", "th_open"):
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}, token.content
            rows[-1].append("".join(child.content for child in children))
    return rows


@pytest.mark.parametrize("text", NASTY)
def test_a_table_cell_shows_exactly_the_cleaned_text(text: str) -> None:
    rows = cell_texts(f"| a | b |\n|---|---|\n| {escape_text(text)} | end |\n")
    assert rows[1:] == [[clean(text), "end"]]


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_stays_in_its_cell(text: str) -> None:
    rows = cell_texts(f"| a | b |\n|---|---|\n| {escape_text(text)} | end |\n")
    assert rows[1:] == [[clean(text), "end"]]


@given(st.text(alphabet="#-+=*_`~<>[]()!|\\ \n0123456789.:abc", max_size=60))
@settings(max_examples=300, deadline=None)
def test_prose_is_only_paragraphs(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(escape_prose(text))
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}


@pytest.mark.parametrize("text", NASTY)
def test_a_code_block_ends_where_it_should(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(fenced(text, "text") + "\n\nafter\n")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


def test_long_texts_are_cut_and_that_is_said() -> None:
    shown = shorten("가" * 10_000)
    assert shown == "가" * LONGEST_TEXT + "… (cut; 10,000 characters in all)"


def test_plain_names_stay_readable() -> None:
    assert escape_text("sts-dev_spearman_cosine (v1.2)") == "sts-dev_spearman_cosine (v1.2)"
    assert inline_code("multi_dataset_batch_sampler") == "`multi_dataset_batch_sampler`"
    assert html.unescape(inline_code("a`b")) == "a`b"


def test_only_plain_addresses_become_links() -> None:
    assert is_plain_url("https://example.org/a%20b?c=d#e")
    assert not any(
        is_plain_url(url) for url in ("javascript:alert(1)", "https://a.b/(x)", "https://a b", "ftp://a.b", "x")
    )


def card_with(records: Any, text: str) -> str:
    """The card with `text` in samples, widget, titles, findings, hyperparameters and the recipe's own words."""
    train = tuple(item.model_copy(update={"title": f"{text} set"}) for item in records.data.train)
    findings = tuple(item.model_copy(update={"message": text, "remedy": text}) for item in records.data.findings)
    said = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", "", text)  # a recipe with control characters is refused
    card = records.recipe.card.model_copy(
        update=dict.fromkeys(("description", "risks", "out_of_scope", "recommendations", "contact"), said)
        | {"authors": (said,), "model_name": said}
    )
    spoiled = records.but(
        recipe=records.recipe.model_copy(update={"card": card}),
        data=records.data.model_copy(update={"train": train, "findings": findings}),
        samples=records.samples | {"kornli": SetSamples(rows=((text, text, text),) * 3)},
        trained=records.trained.model_copy(
            update={
                "widget": ((text or "x", text, "end"),),
                "architecture": text,
                "hyperparameters": {"seed": 42, "optim_args": text},
                "environment": records.trained.environment | {"processor": f"{text}."},
            }
        ),
    )
    return render_card(spoiled.content())


@pytest.mark.parametrize("text", NASTY)
def test_the_whole_card_keeps_its_shape(records: Any, text: str) -> None:
    header, rest = card_with(records, text).removeprefix("---\n").split("\n---\n", 1)
    loaded = yaml.safe_load(header)
    assert loaded["widget"][0]["sentences"][-1] == "end"
    assert loaded["license"] == "cc-by-sa-4.0"
    parser = MarkdownIt("commonmark").enable("table")
    tokens, expected = parser.parse(rest), parser.parse(card_with(records, "plain").split("\n---\n", 1)[1])
    for kind in (
        "table_open",
        "tr_open",
        "td_open",
        "fence",
        "bullet_list_open",
        "html_block",
        "hr",
        "blockquote_open",
    ):
        found, wanted = (sum(token.type == kind for token in some) for some in (tokens, expected))
        assert found == wanted, kind
    assert [token.tag for token in tokens if token.type == "heading_open"] == [
        token.tag for token in expected if token.type == "heading_open"
    ]
    inline = [child for token in tokens for child in token.children or []]
    raw = [token.content for token in inline if token.type == "html_inline"]
    assert all("details" in content or "summary" in content for content in raw)
    links = {token.attrs["href"] for token in inline if token.type == "link_open"}
    assert not any("evil" in str(link) or "script" in str(link) for link in links)
