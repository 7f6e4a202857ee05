"""Leakage: the known answers on KorSTS, planted cases by hand, policies, clean rows, near-duplicates."""

from __future__ import annotations

import csv
import json
import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, load_from_disk

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.leakage.near_duplicates import NearDuplicateIndex, bands_for
from stsflow.tasks.leakage.overlap import Sentences
from stsflow.tasks.leakage.policies import LeakageResult, check_leakage
from stsflow.tasks.leakage.repeats import find_repeats
from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.leakage.suites_apart import check_suites_apart
from stsflow.tasks.recipe.sections import LeakageConfig, RunConfig
from stsflow.tasks.records.data import OverlapCounts, PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.scenes.rows import generate
from stsflow.tasks.sets.content_digest import content_digest

SCORED = ("sentence1", "sentence2", "score")
TRIPLETS = ("anchor", "positive", "negative")


def digest(rows: Dataset) -> str:
    return content_digest(rows.with_format("arrow")[:])


def prepared(
    folder: Path, name: str, rows: list[tuple[object, ...]], *, role: str = "train", shape: str = ""
) -> PreparedSet:
    columns = SCORED if isinstance(rows[0][-1], float) else TRIPLETS[: len(rows[0])]
    data = Dataset.from_dict({column: [row[number] for row in rows] for number, column in enumerate(columns)})
    data.save_to_disk(str(folder / name))
    return PreparedSet(
        name=name, role=role, title=name, path=folder / name, columns=columns, rows=len(rows),
        digest=digest(data),
        shape=shape or {2: "pairs", 3: "scored_pairs" if columns == SCORED else "triplets"}[len(columns)],
        counts=RowCounts(read=len(rows), kept=len(rows)),
        source=SourceRef(kind="files", name=name, uri=name, revision="0"),
    )  # fmt: skip


def check(
    tmp_path: Path, train: list[tuple[object, ...]], evaluation: list[tuple[object, ...]], **config: object
) -> LeakageResult:
    return check_leakage(
        [prepared(tmp_path, "train", train)], [prepared(tmp_path, "test", evaluation, role="evaluation")],
        LeakageConfig(**config), tmp_path / "out",
    )  # fmt: skip


def clean_rows(result: LeakageResult) -> list[int]:
    path = result.evaluation[0].clean_rows
    assert path is not None
    return list(json.loads(path.read_text()))


# ------------------------------------------------------------------------------------------------- known answers


@pytest.fixture(scope="module")
def korsts(kornlu: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedSet]:
    folder = tmp_path_factory.mktemp("korsts")
    sets = {}
    for split in ("train", "dev", "test"):
        with (kornlu / "KorSTS" / f"sts-{split}.tsv").open(encoding="utf-8", newline="") as stream:
            lines = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
        rows: list[tuple[object, ...]] = [(line[5].strip(), line[6].strip(), float(line[4]) / 5) for line in lines]
        sets[split] = prepared(folder, split, rows, role="train" if split == "train" else "evaluation")
    return sets


@pytest.mark.realdata
def test_korsts_shares_what_is_known(korsts: dict[str, PreparedSet], tmp_path: Path) -> None:
    result = check_leakage([korsts["train"]], [korsts["test"], korsts["dev"]], LeakageConfig(), tmp_path)
    test, dev = result.overlaps
    assert test.normalised is not None
    assert (test.exact.pairs, test.exact.sentences, test.exact.rows, test.exact.of_rows) == (2, 153, 166, 1379)
    assert (dev.exact.pairs, dev.exact.sentences, dev.exact.rows, dev.exact.of_rows) == (3, 166, 169, 1500)
    assert (test.normalised.pairs, test.normalised.sentences, test.normalised.rows) == (3, 158, 170)
    (conflict,) = [f for f in result.findings if f.code == "leakage.conflicting_scores" and f.subject == "train"]
    assert conflict.numbers["conflicting_scores"] == 25
    assert len(clean_rows(result)) == 1379 - 170
    (shared,) = [
        f for f in result.findings if f.code == "leakage.shared_sentences" and "test (evaluation)" in f.message
    ]
    assert "153 (158 after normalisation) sentences" in shared.message
    assert "166 (170 after normalisation) of 1,379 evaluation rows" in shared.message


@pytest.mark.realdata
def test_korsts_drops_leave_nothing_shared(korsts: dict[str, PreparedSet], tmp_path: Path) -> None:
    config = LeakageConfig(shared_sentences="drop", conflicting_scores="drop", duplicate_rows="drop")
    result = check_leakage([korsts["train"]], [korsts["test"]], config, tmp_path)
    (overlap,), (train,) = result.overlaps, result.train
    assert overlap.normalised is not None
    assert (overlap.exact.rows, overlap.normalised.rows, len(clean_rows(result))) == (0, 0, 1379)
    assert train.counts.read == 5749 == train.counts.kept + sum(train.counts.dropped.values())
    assert train.rows == train.counts.kept == len(load_from_disk(str(train.path))) < 5749
    assert train.digest != korsts["train"].digest


# ------------------------------------------------------------------------------------------------------- by hand

TRAIN: list[tuple[object, ...]] = [
    ("A cat sleeps.", "A dog runs.", 0.1),
    ("a CAT sleeps", "Birds fly.", 0.2),
    ("Nothing in common.", "With the test set.", 0.3),
]
TEST: list[tuple[object, ...]] = [
    ("A dog runs.", "A cat sleeps.", 0.9),  # the first training pair, the other way round
    ("A cat sleeps.", "It rains.", 0.5),
    ("Birds  fly", "It snows.", 0.5),  # equal after normalisation only
    ("Untouched.", "Also untouched.", 0.5),
]


def test_pairs_are_unordered_and_sentences_come_from_both_columns(tmp_path: Path) -> None:
    result = check(tmp_path, TRAIN, TEST)
    (overlap,) = result.overlaps
    assert overlap.normalised is not None and overlap.near is None
    assert overlap.exact.model_dump() == {"pairs": 1, "sentences": 2, "rows": 2, "of_rows": 4}
    assert overlap.normalised.model_dump() == {"pairs": 1, "sentences": 3, "rows": 3, "of_rows": 4}
    assert clean_rows(result) == [3]
    assert result.train[0].rows == 3


def test_without_normalise_equality_is_exact(tmp_path: Path) -> None:
    result = check(tmp_path, TRAIN, TEST, normalise=False, shared_sentences="drop")
    assert result.overlaps[0].normalised is None
    assert result.train[0].rows == 2  # the second row is equal after normalisation only
    assert clean_rows(result) == [0, 1, 2, 3]


@pytest.mark.parametrize(("policy", "rows"), [("shared_pairs", 2), ("shared_sentences", 1)])
def test_drop_removes_the_training_rows_and_counts_them(policy: str, rows: int, tmp_path: Path) -> None:
    result = check(tmp_path, TRAIN, TEST, **{policy: "drop"})
    (train,) = result.train
    assert train.rows == rows and train.counts.dropped == {policy: 3 - rows}
    assert load_from_disk(str(train.path))["sentence1"][-1] == "Nothing in common."
    (finding,) = [f for f in result.findings if f.code == f"leakage.{policy}"]
    assert finding.severity == "info" and f"{3 - rows} training rows were dropped" in finding.message


def test_refuse_names_the_numbers_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"share 2 \(3 after normalisation\) sentences.*shared_sentences is `refuse`"):
        check(tmp_path, TRAIN, TEST, shared_sentences="refuse")
    assert not (tmp_path / "out").exists()


def test_dropping_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"drop every row of training set train \(shared_sentences: 1\)"):
        check(tmp_path, TRAIN[:1], TEST, shared_sentences="drop")


def test_every_pair_of_a_triplet_counts(tmp_path: Path) -> None:
    result = check(tmp_path, [("x one", "y two", "z three")], [("z three", "y two", 0.5), ("x one", "else", 0.5)])
    assert result.overlaps[0].exact.model_dump() == {"pairs": 1, "sentences": 3, "rows": 2, "of_rows": 2}


def test_every_pair_of_an_evaluation_triplet_counts(tmp_path: Path) -> None:
    result = check(tmp_path, [("c", "a", 0.5), ("b", "x", 0.5)], [("a", "b", "c"), ("d", "e", "f")])
    assert result.overlaps[0].exact.model_dump() == {"pairs": 1, "sentences": 3, "rows": 1, "of_rows": 2}
    assert clean_rows(result) == [1]


def test_dropped_triplets_of_nli_rows_are_a_note(tmp_path: Path) -> None:
    train = prepared(tmp_path, "nli", [("x", "y", "z"), ("a", "b", "c")], shape="nli_triplets")
    test = prepared(tmp_path, "test", [("x", "w", 0.5)], role="evaluation")
    result = check_leakage([train], [test], LeakageConfig(shared_sentences="drop"), tmp_path / "out")
    assert result.train[0].counts.notes == {"shaped_rows_dropped_shared_sentences": 1}
    assert result.train[0].counts.dropped == {} and result.train[0].counts.kept == 1


def test_repeats_inside_a_set(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [
        ("a", "b", 0.2), ("a", "b", 0.2), ("b", "a", 0.4), ("c", "c", 1.0), ("d", "e", 0.1), ("e", "d", 0.1),
    ]  # fmt: skip
    result = check(tmp_path, rows, [("u", "v", 0.0)], duplicate_rows="drop", conflicting_scores="drop")
    found = {f.code: f.numbers for f in result.findings}
    assert found["leakage.duplicate_rows"]["duplicate_rows"] == 1
    assert found["leakage.conflicting_scores"]["conflicting_scores"] == 1  # (a, b) with 0.2 and 0.4
    assert found["leakage.identical_sides"]["identical"] == 1
    assert load_from_disk(str(result.train[0].path))["sentence1"][:] == ["c", "d", "e"]
    assert result.train[0].counts.dropped == {"duplicate_rows": 1, "conflicting_scores": 2}


def test_a_pair_that_is_positive_and_negative_contradicts_itself(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [("a", "b", "c"), ("b", "d", "a"), ("e", "f", "g")]
    result = check(tmp_path, rows, [("u", "v", 0.0)], conflicting_scores="drop")
    (finding,) = [f for f in result.findings if f.code == "leakage.conflicting_scores"]
    assert "1 unordered pairs have both roles, positive and negative, in 2 of 3 rows" in finding.message
    assert result.train[0].rows == 1


def test_counts_agree_with_a_brute_force_count(tmp_path: Path) -> None:
    rng = random.Random(0)
    words = [f"w{number}" for number in range(40)]
    train = [tuple(rng.choice(words) for _ in range(3)) for _ in range(60)]
    test: list[tuple[object, ...]] = [(*rng.sample([*words, "new1", "new2"], 2), 0.5) for _ in range(50)]
    pairs = {frozenset(pair) for row in train for pair in combinations(row, 2)}
    texts = {text for row in train for text in row}
    exact = check(tmp_path, list(train), test).overlaps[0].exact
    assert exact.pairs == len({frozenset(row[:2]) for row in test} & pairs)
    assert exact.sentences == len({text for row in test for text in row[:2]} & texts)
    assert exact.rows == sum(row[0] in texts or row[1] in texts for row in test)


@pytest.mark.parametrize(
    ("text", "key"),
    [("A  Cat, sleeps!", "acatsleeps"), ("ＡＢＣ　ｄ", "abcd"), ("Straße", "strasse"), ("...", "..."),
     ("1+1 = 2", "1+1=2"),
     ("비행기가 이륙하고 있다.", "비행기가이륙하고있다"), ("हिन्दी भाषा", "हिन्दीभाषा")],
)  # fmt: skip
def test_normalisation(text: str, key: str) -> None:
    assert normalised(text) == key


def test_the_digest_is_of_the_content_not_of_its_storage(tmp_path: Path) -> None:
    rows = {"anchor": ["a", "bc", ""], "score": [0.5, 1.0, 0.0]}
    whole = Dataset.from_dict(rows)
    whole.save_to_disk(str(tmp_path / "split"), num_shards=3)
    assert digest(whole) == digest(load_from_disk(str(tmp_path / "split")))
    assert digest(whole) == digest(whole.select([2, 0, 1]).select([1, 2, 0]))
    assert digest(whole) != digest(whole.select([1, 0, 2]))
    moved = Dataset.from_dict({"anchor": ["ab", "c", ""], "score": [0.5, 1.0, 0.0]})
    assert digest(whole) != digest(moved)


# --------------------------------------------------------------------------------------------------------- near


def bigrams(text: str) -> set[str]:
    """The last one with an end mark."""
    return {text[place : place + 2] if place + 1 < len(text) else f"{text[place]}$" for place in range(len(text))}


@pytest.mark.parametrize("threshold", [0.55, 0.6, 0.8])
def test_links_are_exact_and_nearly_all_are_found(threshold: float) -> None:
    """On templated sentences, the hard case: very many pairs lie near the threshold."""
    rows = generate("sts", "test", 600, ("ko", "en"), 0)
    index = sorted({normalised(str(row["sentence1"])) for row in rows})
    queries = [normalised(str(row["sentence2"])) for row in rows]
    here, there = NearDuplicateIndex(index, threshold).links(queries)
    found = set(zip(here.tolist(), there.tolist(), strict=True))
    indexed, asked = [bigrams(text) for text in index], [bigrams(text) for text in queries]
    true = {
        (query, number)
        for query, one in enumerate(asked)
        for number, other in enumerate(indexed)
        if len(one & other) >= threshold * len(one | other) - 1e-9
    }
    assert found <= true
    assert len(found) >= 0.98 * len(true) > 15


def test_bands_keep_the_recall_at_the_threshold() -> None:
    for threshold in (0.55, 0.6, 0.7, 0.8, 0.9, 1.0):
        bands = bands_for(threshold)
        assert 128 % bands == 0 and 1 - (1 - threshold ** (128 // bands)) ** bands >= 0.98


def edited(text: str, kind: str, rng: random.Random, words: list[str]) -> str:
    parts = text.split()
    place = rng.randrange(len(parts))
    return {
        "case": text.upper(),
        "spacing": "  ".join(parts).replace(".", " ."),
        "word replaced": " ".join([*parts[:place], rng.choice(words), *parts[place + 1 :]]),
        "word added": " ".join([*parts[:place], rng.choice(words), *parts[place:]]),
        "word left out": " ".join([*parts[:place], *parts[place + 1 :]]),
    }[kind]


def unrelated_sentences(count: int, rng: random.Random) -> list[str]:
    """English-like and Korean-like sentences of random words, 5 to 11 of them."""
    syllables = [chr(code) for code in range(0xAC00, 0xD7A3, 37)]
    korean = ["".join(rng.choices(syllables, k=rng.choice((2, 3, 3, 4)))) for _ in range(1500)]
    english = ["".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 9))) for _ in range(1500)]
    return [" ".join(rng.choices(rng.choice((korean, english)), k=rng.randint(5, 11))) + "." for _ in range(count)]


@pytest.mark.parametrize(
    ("kind", "recall"),
    [("case", 1.0), ("spacing", 1.0), ("word replaced", 0.9), ("word added", 0.97), ("word left out", 0.95)],
)
def test_planted_edits_are_found_and_nothing_else(kind: str, recall: float, tmp_path: Path) -> None:
    rng = random.Random(1)
    texts = unrelated_sentences(3400, rng)
    words = [word for text in texts[:300] for word in text.rstrip(".").split()]
    test = [(texts[number], texts[number + 1], 0.5) for number in range(0, 400, 2)]
    planted = [edited(str(text), kind, rng, words) for row in test for text in row[:2]]
    train = [(text, other, 0.1) for text, other in zip(planted, texts[400:800], strict=True)]
    train += [(texts[number], texts[number + 1], 0.1) for number in range(800, 3400, 2)]
    result = check(tmp_path, list(train), list(test), near_duplicates="drop")
    (finding,) = [f for f in result.findings if f.code == "leakage.near_duplicates"]
    assert finding.numbers["near_sentences"] >= recall * 400
    assert finding.numbers["training_rows"] <= 400  # precision 1: only rows with a planted sentence
    near = result.overlaps[0].near
    assert near is not None and near.rows == 0  # after the drop


def test_near_duplicates_can_be_refused(tmp_path: Path) -> None:
    train: list[tuple[object, ...]] = [("The quick brown fox jumps over a lazy dog", "Other", 0.5)]
    test: list[tuple[object, ...]] = [("The quick brown fox jumped over a lazy dog", "Else", 0.5)]
    with pytest.raises(DataError, match=r"1 sentences of test .*near_duplicates is `refuse`"):
        check(tmp_path, train, test, near_duplicates="refuse")


def test_shared_flags_have_the_shape_of_the_rows(tmp_path: Path) -> None:
    result = check(tmp_path, TRAIN, TEST, near_duplicates="report")
    near = result.overlaps[0].near
    assert near is not None and near.rows >= 3 and isinstance(near.rows, int)
    assert np.all(np.diff(clean_rows(result)) > 0)


# ------------------------------------------------------------------------------------- evaluation sets among themselves


def recipe_of(**evaluation: object) -> RunConfig:
    source = {"kind": "files", "paths": ["x.tsv"]}
    suites = {name: {"kind": "sts", "split": name, "source": source} for name in ("dev", "test")}
    return RunConfig.model_validate(
        {
            "name": "x", "model": {"source": {"kind": "directory", "path": "x"}},
            "data": {"train": {"a": {"source": source, "shape": {"kind": "scored_pairs"}}}},
            "evaluation": {"suites": suites, **evaluation},
        }
    )  # fmt: skip


def checked_suites(tmp_path: Path, dev: list[tuple[object, ...]], test: list[tuple[object, ...]]) -> PreparedData:
    suites = [prepared(tmp_path, name, rows, role="evaluation") for name, rows in (("dev", dev), ("test", test))]
    train = [prepared(tmp_path, "train", [("nothing", "shared", 0.5)])]
    result = check_leakage(train, suites, LeakageConfig(), tmp_path / "out")
    return PreparedData(
        fingerprint="", train=result.train, evaluation=result.evaluation, overlaps=result.overlaps,
        suite_overlaps=result.suite_overlaps, findings=result.findings,
    )  # fmt: skip


def test_a_test_suite_that_is_the_choosing_one_is_refused_unless_the_recipe_says_why(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [("a b", "c d", 0.1), ("e f", "g h", 0.9)]
    data = checked_suites(tmp_path, rows, rows)
    with pytest.raises(DataError) as caught:
        check_suites_apart(recipe_of(), data)
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(
        "evaluation.suites.test: 2 of its pairs are pairs of dev too, which chooses the checkpoint, and 2 of its 2 rows"
    )
    check_suites_apart(recipe_of(explained_overlap={"test": "published like this, and known"}), data)
    alone = {"dev": recipe_of().evaluation.suites["dev"]}
    check_suites_apart(recipe_of(choose_on="dev", report_on="dev", suites=alone), data)


def test_pairs_are_found_the_other_way_round_and_after_normalisation_and_counted_once(tmp_path: Path) -> None:
    data = checked_suites(
        tmp_path,
        [("A b!", "c d", 0.1), ("e f", "g h", 0.9), ("i j", "k l", 0.9)],
        [("c d", "a b", 0.1), ("e f", "new", 0.5), ("other", "rows", 0.5)],
    )
    (overlap,) = [item for item in data.suite_overlaps if (item.first, item.second) == ("dev", "test")]
    assert overlap.normalised == OverlapCounts(pairs=1, sentences=3, rows=2, of_rows=3)
    assert overlap.exact == OverlapCounts(pairs=0, sentences=2, rows=2, of_rows=3)
    (finding,) = [item for item in data.findings if item.code == "leakage.suites"]
    assert "2 of 3 rows of test hold one, 1 of its pairs" in finding.message
    with pytest.raises(DataError, match=r"evaluation\.explained_overlap\.test"):
        check_suites_apart(recipe_of(), data)


def test_sentences_in_common_are_reported_and_no_reason_to_refuse(tmp_path: Path) -> None:
    data = checked_suites(tmp_path, [("a", "b", 0.1)], [("a", "c", 0.1)])
    check_suites_apart(recipe_of(), data)
    assert [item.code for item in data.findings] == ["leakage.suites"]
    assert checked_suites(tmp_path / "apart", [("a", "b", 0.1)], [("c", "d", 0.1)]).suite_overlaps == ()


def test_korsts_repeats_six_pairs_of_its_dev_set_in_its_test_set(
    korsts: dict[str, PreparedSet], tmp_path: Path
) -> None:
    result = check_leakage([korsts["train"]], [korsts["dev"], korsts["test"]], LeakageConfig(), tmp_path)
    (overlap,) = [item for item in result.suite_overlaps if item.first == "dev"]
    assert (overlap.equal.pairs, overlap.equal.rows, overlap.equal.of_rows) == (6, 125, 1379)


def test_the_empty_queries_of_passages_that_nobody_asks_for_are_no_shared_sentence(tmp_path: Path) -> None:
    data = checked_suites(tmp_path, [("", "a", 0.0), ("q", "b", 1.0)], [("", "c", 0.0), ("r", "d", 1.0)])
    assert data.suite_overlaps == ()


def test_each_of_several_negatives_may_contradict_a_positive() -> None:
    texts = pa.array(list("abcdef"))
    numbers = np.array([[0, 1, 2, 3], [3, 0, 4, 5], [4, 5, 1, 2]], np.int32)  # (a, d) is both; (e, f) is positive alone
    repeats = find_repeats(Sentences(numbers, texts, None, negatives=2))
    assert (repeats.conflicts.tolist(), repeats.conflicting_pairs) == ([True, True, False], 1)
