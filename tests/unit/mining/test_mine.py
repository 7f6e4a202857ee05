"""Mining with a real two-layer model over small sets: what is never mined, and the library's own result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from scipy import sparse

from stsflow.tasks.data.build import prepare_data
from stsflow.tasks.ground.errors import DataError, RecipeError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.leakage.sentence_keys import normalised
from stsflow.tasks.mining.audit import shares_a_positive
from stsflow.tasks.mining.build import finding_of, mine_negatives
from stsflow.tasks.mining.mine import mined_sets
from stsflow.tasks.mining.request import Asked, MiningSpec
from stsflow.tasks.mining.texts import both_ways
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.sets.rows import digest_of, read_rows

THINGS = ("guitar", "piano", "river", "book", "train", "road", "stage", "field", "school", "market", "horse", "night")
DEV = [("A man plays the horse!", "nobody", 3), ("The road at night, and the river.", "he reads", 1)]


def pairs() -> list[tuple[str, str]]:
    """Anchors and positives; some anchors have two, and texts repeat with other punctuation."""
    rows = [(f"the {one} and a {other}", f"a man plays the {one} {other}") for one in THINGS for other in THINGS[:4]]
    return [
        *rows,
        ("the guitar and a piano", "someone plays"),
        ("The guitar, and a piano!", "a woman plays the guitar"),
    ]


def write(path: Path, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    lines = [dict(zip(columns, row, strict=True)) for row in rows]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")


def recipe(
    root: Path, model: Path, mining: dict[str, Any], rows: list[tuple[Any, ...]] | None = None, **more: Any
) -> RunConfig:
    rows = pairs() if rows is None else rows
    columns = ["anchor", "positive", "negative"][: len(rows[0])]
    write(root / "train.jsonl", columns, rows)
    write(root / "dev.jsonl", ["sentence1", "sentence2", "score"], DEV)
    shape = {2: "pairs", 3: "triplets"}[len(columns)]
    values = {
        "name": "mined",
        "model": {"source": {"kind": "directory", "path": str(model)}},
        "data": {
            "root": str(root),
            "train": {
                "qa": {"source": {"kind": "files", "paths": ["train.jsonl"]}, "shape": {"kind": shape}},
                **more,
            },
        },
        "mining": {"qa": mining},
        "evaluation": {
            "suites": {"dev": {"kind": "sts", "split": "dev", "source": {"kind": "files", "paths": ["dev.jsonl"]}}}
        },
    }
    return RunConfig.model_validate(values)


def mined(config: RunConfig, workspace: Workspace, **asked: Any) -> tuple[PreparedSet, PreparedData]:
    """The mined set, made in this process, and the data before."""
    data = prepare_data(config.data, config.evaluation.suites, workspace)
    base = fetch_base_model(config.model, workspace)
    spec = MiningSpec(
        train=data.train, evaluation=data.evaluation, folder=workspace.root / "mined-here",
        asked={"qa": Asked(config=config.mining["qa"], model=base, prompts=("", ""), **asked)},
        embeddings=workspace.root / "embeddings", leases=workspace.root / "leases",
    )  # fmt: skip
    (found,) = mined_sets(spec)
    return found, data


def rows_of(prepared: PreparedSet) -> list[dict[str, Any]]:
    return list(read_rows(prepared).to_pylist())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"depth": 20}, {"range_max": 20}),
        ({"depth": 20, "skip": 3}, {"range_max": 20, "range_min": 3}),
        ({"depth": 60, "relative_margin": 0.02}, {"range_max": 60, "relative_margin": 0.02}),
        (
            {"depth": 60, "absolute_margin": 0.01, "min_score": 0.5},
            {"range_max": 60, "absolute_margin": 0.01, "min_score": 0.5},
        ),
        ({"depth": 60, "max_score": 0.95}, {"range_max": 60, "max_score": 0.95}),
    ],
)  # fmt: skip
def test_the_negatives_are_those_of_the_library_where_texts_differ(
    tmp_path: Path, workspace: Workspace, tiny_bert: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    rows = [(f"the {a} and a {b}", f"a man plays the {a} near some {b}") for a in THINGS for b in THINGS if a < b]
    found, _ = mined(recipe(tmp_path, tiny_bert, {"negatives": 2, **ours}, rows), workspace)
    expected = mine_hard_negatives(
        Dataset.from_dict({"anchor": [a for a, _ in rows], "positive": [p for _, p in rows]}),
        SentenceTransformer(str(tiny_bert), device="cpu"), num_negatives=2, output_format="n-tuple", verbose=False,
        **theirs,
    )  # fmt: skip
    expected_rows = {row["anchor"]: row for row in expected}
    actual = {row["anchor"]: row for row in rows_of(found)}
    assert actual == expected_rows and len(actual) > 10


def test_no_known_positive_no_anchor_and_no_evaluation_text_is_ever_mined(
    tmp_path: Path, workspace: Workspace, tiny_bert: Path
) -> None:
    write(tmp_path / "more.jsonl", ["sentence1", "sentence2", "score"], [
        ("a man plays the river guitar.", "The river and a guitar", 5),
        ("the book and a guitar", "a man plays the piano piano", 1),
    ])  # fmt: skip
    more = {"source": {"kind": "files", "paths": ["more.jsonl"]}, "shape": {"kind": "scored_pairs"}}
    rows = [*pairs(), ("nobody waits", DEV[1][0].lower()), ("he waits", "Nobody")]
    config = recipe(tmp_path, tiny_bert, {"negatives": 3, "depth": 200, "corpus": "sets"}, rows, sts=more)
    found, data = mined(config, workspace)
    positives: dict[str, set[str]] = {}
    for one, other in [*rows, ("a man plays the river guitar.", "The river and a guitar")]:
        positives.setdefault(normalised(one), set()).add(normalised(other))
        positives.setdefault(normalised(other), set()).add(normalised(one))
    evaluation = {normalised(text) for row in DEV for text in row[:2]}
    negatives = [(row, normalised(row[f"negative_{n}"])) for row in rows_of(found) for n in (1, 2, 3)]
    assert len(negatives) == 3 * len(rows)
    for row, negative in negatives:
        anchor = normalised(row["anchor"])
        assert negative not in positives[anchor] and negative != anchor and negative not in evaluation
    audit = found.mined
    assert audit is not None and audit.corpus_left_out == {"evaluation": 2}
    corpus = {normalised(row[1]) for row in [*rows, ("", "The river and a guitar")]} - evaluation
    anchors = {normalised(row[0]) for row in rows}
    assert audit.rejected["known_positive"] == sum(len(positives[anchor] & corpus) for anchor in anchors)
    assert found.digest == digest_of(found) != data.train[0].digest
    assert found.roles.texts == ("anchor", "positive", "negative_1", "negative_2", "negative_3")
    assert config.roles_of("qa") == found.roles


def test_rows_with_fewer_negatives_are_dropped_or_filled_and_counted(
    tmp_path: Path, workspace: Workspace, tiny_bert: Path
) -> None:
    rows = pairs()
    dropped, _ = mined(recipe(tmp_path, tiny_bert, {"negatives": 2, "depth": 9, "relative_margin": 0.005}), workspace)
    assert dropped.mined is not None and 0 < dropped.mined.dropped < len(rows)
    assert dropped.rows == len(rows) - dropped.mined.dropped == len(rows_of(dropped))
    assert dropped.counts.dropped == {"too_few_negatives": dropped.mined.dropped}
    assert dropped.counts.kept + dropped.mined.dropped == dropped.counts.read
    keep = {"negatives": 2, "depth": 9, "relative_margin": 0.005, "fewer": "keep"}
    kept, _ = mined(recipe(tmp_path, tiny_bert, keep), Workspace(workspace.root / "other"))
    assert kept.mined is not None and kept.rows == len(rows)
    assert kept.mined.filled + kept.mined.mined == 2 * len(rows) and kept.mined.filled > 0
    for row in rows_of(kept):
        assert len({normalised(text) for text in row.values()}) == 4
    share, words = kept.mined.filled / (2 * len(rows)), finding_of(kept.mined)
    assert (
        share > 0.2
        and words.severity == "warning"
        and f"{share:.0%} of the negatives are drawn at random" in words.remedy
    )
    assert f"and {kept.mined.filled:,} texts drawn at random" in words.message


def test_negatives_that_rows_have_stay_before_the_mined_ones_or_are_replaced(
    tmp_path: Path, workspace: Workspace, tiny_bert: Path
) -> None:
    rows = [(anchor, positive, f"the {THINGS[number % 12]}") for number, (anchor, positive) in enumerate(pairs())]
    appended, _ = mined(recipe(tmp_path, tiny_bert, {"negatives": 1}, rows), workspace)
    assert appended.roles.texts == ("anchor", "positive", "negative_1", "negative_2")
    assert [row["negative_1"] for row in rows_of(appended)] == [row[2] for row in rows]
    config = recipe(tmp_path, tiny_bert, {"negatives": 1, "replace": True}, rows)
    replaced, _ = mined(config, Workspace(workspace.root / "other"))
    assert replaced.roles == config.roles_of("qa") and replaced.roles.negatives == 1
    assert [row["negative_1"] for row in rows_of(replaced)] == [row["negative_2"] for row in rows_of(appended)]


def test_words_find_candidates_in_a_file_and_a_guide_judges_them(
    tmp_path: Path, workspace: Workspace, tiny_bert: Path, tiny_gte: Path
) -> None:
    write(tmp_path / "corpus.jsonl", ["body"], [(f"nobody likes the {thing}",) for thing in THINGS] + [("  ",)])
    corpus_file = {"source": {"kind": "files", "paths": ["corpus.jsonl"]}, "column": "body"}
    guide = {"source": {"kind": "directory", "path": str(tiny_gte)}}
    mining = {"candidates": ["bm25"], "corpus_file": corpus_file, "guide": guide, "max_score": 2.0}
    rows = [(f"where is the {thing}", f"here is a {thing}") for thing in THINGS]
    config = recipe(tmp_path, tiny_bert, mining, rows)
    data = prepare_data(config.data, config.evaluation.suites, workspace)
    found = mine_negatives(config, data, fetch_base_model(config.model, workspace), workspace)
    prepared = found.training_set("qa")
    assert {row["anchor"]: row["negative_1"] for row in rows_of(prepared)} == {
        f"where is the {thing}": f"nobody likes the {thing}" for thing in THINGS
    }
    audit = prepared.mined
    assert audit is not None and audit.guide is not None and audit.corpus == len(THINGS)
    assert audit.corpus_source is not None and audit.corpus_source.name == "corpus.jsonl"
    # in a child process; found again by content, with overlaps and clean rows of the mined rows
    made = (prepared.path / "state.json").stat().st_mtime_ns
    again = mine_negatives(config, data, fetch_base_model(config.model, workspace), workspace)
    assert again == found and (again.train[0].path / "state.json").stat().st_mtime_ns == made
    assert found.fingerprint != data.fingerprint and [item.train for item in found.overlaps] == ["qa"]
    (finding,) = [item for item in found.findings if item.code == "mining.audit"]
    assert finding.numbers["rows"] == len(THINGS) and "12 of 12 rows have 1 mined negative(s)" in finding.message


def test_filters_that_leave_no_row_are_one_sentence(tmp_path: Path, workspace: Workspace, tiny_bert: Path) -> None:
    config = recipe(tmp_path, tiny_bert, {"max_score": -1.0})
    with pytest.raises(DataError, match=r"^mining\.qa: no row is left of 50: none has 1 negative"):
        mined(config, workspace)


def test_a_set_without_anchors_and_positives_is_refused_by_the_recipe(tmp_path: Path) -> None:
    sts = {"source": {"kind": "files", "paths": ["x.tsv"]}, "shape": {"kind": "scored_pairs"}}
    with pytest.raises(RecipeError, match=r"mining\.qa: negatives are mined for rows of an anchor and a positive"):
        recipe(tmp_path, tmp_path, {}, qa=sts)
    with pytest.raises(RecipeError, match=r"training\.losses\.qa: .*'triplets' with mined negatives"):
        values = recipe(tmp_path, tmp_path, {"negatives": 2}, [("a", "b", "c")]).model_dump(mode="json")
        RunConfig.model_validate(values | {"training": {"losses": {"qa": {"kind": "triplet"}}}})


def test_texts_that_share_a_positive_with_the_anchor_are_found_within_three_steps() -> None:
    # 0-1 and 0-2 belong together, 3-2, 3-4, 5-4: 3 shares the positive 2 with 0, and 4 belongs to 3; 5 is farther away
    known: sparse.csr_matrix = both_ways([np.array([[0, 1], [0, 2], [3, 2], [3, 4], [5, 4]], np.int32)], 7)
    negatives = np.array([[3, 4, 5], [6, -1, -1]], np.int32)
    found = shares_a_positive(np.array([0, 3], np.int32), negatives, known)
    assert found.tolist() == [[True, True, False], [False, False, False]]
