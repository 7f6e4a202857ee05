"""The synthetic set: deterministic, well formed, graded by what was changed, with words of its own in each split."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from itertools import combinations

import pytest

from stsflow.tasks.made.code import reached_from
from stsflow.tasks.scenes.rows import PENALTIES, generate, score_of
from stsflow.tasks.scenes.wording import adnominal, has_final_consonant, with_article, with_particle

BOTH = ("ko", "en")
SPLITS = ("train", "dev", "test")

# Grammar only: these may occur in every split.
ENGLISH_FUNCTION_WORDS = re.compile(r"^(a|an|the|is|are|not|being|by|it|who|what|there|in|on|at|someone|something)$")
KOREAN_FUNCTION_WORDS = re.compile(
    "^(있다|있습니다|있지|않다|않습니다|중이다|중이|아니다|있는|사람은|것은|명이|명은|명이다|누군가가|무언가를)$"
)
KOREAN_ENDINGS = ("에서", "이다", "고", "는", "은", "이", "가", "을", "를", "다", "에")


def texts_of(task: str, split: str, rows: int = 1200) -> set[str]:
    keys = ("premise", "hypothesis") if task == "nli" else ("sentence1", "sentence2")
    return {str(row[key]) for row in generate(task, split, rows, BOTH, seed=3) for key in keys}


def content_words(text: str) -> set[str]:
    """Words and, for Korean, words without one ending as well; function words left out."""
    words = {
        word for word in re.findall(r"[\w-]+", text.casefold())
        if not ENGLISH_FUNCTION_WORDS.match(word) and not KOREAN_FUNCTION_WORDS.match(word)
    }  # fmt: skip
    for word in list(words):
        for ending in KOREAN_ENDINGS:
            if word.endswith(ending) and len(word) > len(ending):
                words.add(word.removesuffix(ending))
    return words


def test_the_rows_are_known_by_the_code_that_writes_them_and_by_no_other() -> None:
    assert set(reached_from("stsflow.tasks.scenes.rows")) == {
        "stsflow", "stsflow.tasks", "stsflow.tasks.scenes",
        *(f"stsflow.tasks.scenes.{name}" for name in ("rows", "lexicon", "wording")),
    }  # fmt: skip


@pytest.mark.parametrize(("first", "second"), list(combinations(SPLITS, 2)))
def test_splits_share_no_content_word(first: str, second: str) -> None:
    words = {
        split: set().union(*(content_words(text) for task in ("nli", "sts") for text in texts_of(task, split)))
        for split in (first, second)
    }
    # A noun's last syllable can look like an ending: single syllables are no words of their own here.
    shared = {word for word in words[first] & words[second] if len(word) > 1}
    assert shared == set()


def test_splits_share_no_sentence() -> None:
    texts = {split: texts_of("nli", split) | texts_of("sts", split) for split in SPLITS}
    assert all(not texts[a] & texts[b] for a, b in combinations(SPLITS, 2))


def test_same_arguments_give_the_same_bytes_whatever_the_hash_seed() -> None:
    script = (
        "import json, hashlib; from stsflow.tasks.scenes.rows import generate;"
        "rows = [generate(t, s, 200, ('ko', 'en'), 0) for t in ('nli', 'sts') for s in ('train', 'dev', 'test')];"
        "print(hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert digests == {GOLDEN}


def test_digest_of_the_beginning_is_the_recorded_one() -> None:
    rows = [generate(task, split, 200, BOTH, 0) for task in ("nli", "sts") for split in SPLITS]
    assert hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest() == GOLDEN


def test_fewer_rows_are_the_beginning_of_more_rows() -> None:
    assert generate("sts", "train", 50, BOTH, 1) == generate("sts", "train", 300, BOTH, 1)[:50]
    assert generate("nli", "dev", 50, BOTH, 1) == generate("nli", "dev", 300, BOTH, 1)[:50]


def test_seeds_and_languages_matter() -> None:
    assert generate("sts", "train", 20, BOTH, 1) != generate("sts", "train", 20, BOTH, 2)
    assert all(re.search("[가-힣]", str(row["sentence1"])) for row in generate("sts", "test", 50, ("ko",), 0))
    assert all(str(row["sentence1"]).isascii() for row in generate("sts", "test", 50, ("en",), 0))


def test_no_pair_occurs_twice_and_no_row_has_identical_sides() -> None:
    rows = generate("sts", "dev", 3000, BOTH, 0)
    pairs = {frozenset((row["sentence1"], row["sentence2"])) for row in rows}
    assert len(pairs) == 3000 and all(len(pair) == 2 for pair in pairs)


def test_scores_follow_from_what_was_changed() -> None:
    assert score_of([]) == 5.0
    assert score_of(["synonym"]) == 4.8
    assert score_of(["object", "place"]) == 0.6  # 5 - 2.6 - 1.8
    assert score_of(["action", "agent"]) == 0.0  # never below zero
    order = [
        "synonym",
        "time left out",
        "object_modifier",
        "time",
        "place",
        "object",
        "agent",
        "action",
        "negation",
        "scene",
    ]
    assert [PENALTIES[change] for change in order] == sorted(PENALTIES[change] for change in order)
    for row in generate("sts", "train", 500, BOTH, 5):
        changes = str(row["change"]).split("+") if row["change"] else []
        assert row["score"] == pytest.approx(max(0.0, 5.0 - sum(PENALTIES[change] for change in changes)), abs=1e-9)


def test_every_band_of_scores_is_well_filled() -> None:
    for split in SPLITS:
        scores = [float(str(row["score"])) for row in generate("sts", split, 1000, BOTH, 0)]
        assert all(sum(low <= score < low + 1 for score in scores) >= 60 for low in range(5)), split
        assert sum(score >= 4.8 for score in scores) >= 60


def test_nli_rows_come_in_threes_with_one_label_each() -> None:
    rows = generate("nli", "train", 300, BOTH, 0)
    for start in range(0, 300, 3):
        group = rows[start : start + 3]
        assert [row["label"] for row in group] == ["entailment", "neutral", "contradiction"]
        assert len({row["premise"] for row in group}) == 1
        assert len({row["hypothesis"] for row in group}) == 3


def test_entailed_details_are_gone_and_neutral_ones_are_new() -> None:
    for row in generate("nli", "train", 600, ("en",), 0):
        premise, hypothesis = (len(str(row[key]).split()) for key in ("premise", "hypothesis"))
        # Frames differ by at most four words ("It is … who" and a comma against the plain sentence).
        if "left out" in str(row["change"]):
            assert hypothesis < premise + 4
        if "added" in str(row["change"]):
            assert hypothesis > premise - 4


def test_a_hundred_thousand_rows_can_be_had_from_the_smallest_lexicon() -> None:
    assert len(generate("sts", "dev", 20_000, ("en",), 0)) == 20_000


@pytest.mark.parametrize(
    ("noun", "subject", "topic", "accusative"),
    [
        ("학생", "학생이", "학생은", "학생을"),
        ("의사", "의사가", "의사는", "의사를"),
        ("공책", "공책이", "공책은", "공책을"),
    ],
)
def test_particles_follow_the_final_consonant(noun: str, subject: str, topic: str, accusative: str) -> None:
    assert with_particle(noun, "이", "가") == subject
    assert with_particle(noun, "은", "는") == topic
    assert with_particle(noun, "을", "를") == accusative


def test_final_consonants_and_adnominal_stems() -> None:
    assert has_final_consonant("강") and not has_final_consonant("호수")
    assert [adnominal(stem) for stem in ("먹", "팔", "걸", "운전하", "젓")] == [
        "먹는",
        "파는",
        "거는",
        "운전하는",
        "젓는",
    ]


def test_articles_follow_the_first_letter() -> None:
    assert [with_article(noun) for noun in ("old man", "boat", "umbrella")] == ["an old man", "a boat", "an umbrella"]


def test_sentences_are_well_formed() -> None:
    for split in SPLITS:
        for text in texts_of("nli", split, 900) | texts_of("sts", split, 900):
            assert text.endswith(".") and "  " not in text and text == text.strip()
            if text.isascii():
                assert text[0].isupper()
                assert not re.search(r"\b(a [aeiou]|an [^aeiou])", text, re.IGNORECASE), text
                assert not re.search(
                    r"\b(two|three|four|five|six|seven|eight|nine) [\w -]*\bis\b (?!not|being|an? )", text
                )
            else:
                assert not re.search("[가-힣](을|를) .*(을|를) ", text), text


GOLDEN = "4e973fff5d52d3d11a5b6c7c9e227c8308e29e25c56902e3a00014600b056129"
"""SHA-256 of the first 200 rows of each split: a change here changes every demo's numbers."""
