"""Token statistics against hand counts, numpy, transformers, enumeration and simulation."""

from __future__ import annotations

import json
import random
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from models import write_word_tokenizer
from tokenizers import Tokenizer, models

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import TokensConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import ColumnPrompts
from stsflow.tasks.records.sources import SourceRef
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.scenes.rows import generate
from stsflow.tasks.tokens import lengths
from stsflow.tasks.tokens.counting import FastCounter
from stsflow.tasks.tokens.histogram import draw_histogram
from stsflow.tasks.tokens.lengths import lengths_as_read, stored_lengths
from stsflow.tasks.tokens.padding import expected_longest, expected_padding_share, padded_tokens
from stsflow.tasks.tokens.statistics import measure_tokens, quantile
from stsflow.tasks.tokens.table import token_table


@pytest.fixture(scope="module")
def word_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that splits at spaces, knows a, b and c, and frames a text with [CLS] and [SEP]; cut at 3, padded."""
    return write_word_tokenizer(tmp_path_factory.mktemp("words"))


def base_of(folder: Path, max_seq_length: int = 5, position_limit: int | None = 512) -> BaseModelRef:
    return BaseModelRef(
        name="toy", kind="directory", path=folder, revision="0", digest="0", weights_sha256="0", architecture="bert",
        parameters=0, dimension=0, position_limit=position_limit, max_seq_length=max_seq_length, pooling="keep",
    )  # fmt: skip


def prepared(folder: Path, name: str, columns: dict[str, list[object]], role: str = "train") -> PreparedSet:
    data = Dataset.from_dict(columns)
    data.save_to_disk(str(folder / name), num_shards=min(2, len(data)))
    return PreparedSet(
        name=name, role=role, shape="scored_pairs" if "score" in columns else "pairs", title=name,
        path=folder / name, columns=tuple(columns), digest=f"{columns}",
        rows=len(data), counts=RowCounts(read=len(data), kept=len(data)),
        source=SourceRef(kind="files", name=name, uri=name, revision="0"),
    )  # fmt: skip


def data_of(*sets: PreparedSet) -> PreparedData:
    return PreparedData(
        fingerprint="0", train=tuple(s for s in sets if s.role == "train"),
        evaluation=tuple(s for s in sets if s.role == "evaluation"),
    )  # fmt: skip


def measure(
    tmp_path: Path, folder: Path, *sets: PreparedSet, bound: float = 1.0, fresh: bool = False, **base: int | None
) -> TokenReport:
    return measure_tokens(
        data_of(*sets), base_of(folder, **base), {"pairs": 2}, Workspace(tmp_path / "workspace"), TokensConfig(),
        maximum_truncated_share=bound, fresh=fresh,
    )  # fmt: skip


ROWS: dict[str, list[object]] = {"anchor": ["a", "a b c x", "a", "a b"], "positive": ["x y", "c", "c", "a b c a b c"]}


def test_counts_by_hand(word_model: Path, tmp_path: Path) -> None:
    report = measure(tmp_path, word_model, prepared(tmp_path, "pairs", ROWS))
    anchor, positive = report.sets[0].columns["anchor"], report.sets[0].columns["positive"]
    assert anchor.histogram == {3: 2, 4: 1, 6: 1}  # a word each, and two special tokens
    assert (anchor.rows, anchor.distinct, anchor.tokens, anchor.minimum, anchor.maximum) == (4, 3, 16, 3, 6)
    assert (anchor.mean, anchor.median) == (4.0, 3.5)
    assert (anchor.truncated_rows, anchor.truncated_share) == (1, 0.25)
    assert (anchor.unknown_tokens, anchor.unknown_share) == (1, 1 / 8)
    assert (positive.unknown_tokens, positive.unknown_share) == (2, 2 / 10)
    assert (report.vocabulary, report.tokenizer, report.max_seq_length) == (6, "WordLevel", 5)


def test_a_prompt_counts_as_part_of_each_text_of_its_column_and_of_no_other(word_model: Path, tmp_path: Path) -> None:
    data, same = prepared(tmp_path, "pairs", ROWS), prepared(tmp_path, "same", ROWS, role="evaluation")
    report = measure_tokens(
        data_of(data, same), base_of(word_model), {}, Workspace(tmp_path / "workspace"), TokensConfig(),
        maximum_truncated_share=1.0, prompts=ColumnPrompts(training={"pairs": {"anchor": "a b "}}),
    )  # fmt: skip
    plain = measure(tmp_path, word_model, data, same)
    anchor = report.sets[0].columns["anchor"]
    assert anchor.histogram == {5: 2, 6: 1, 8: 1}  # two words more than without
    assert (anchor.truncated_rows, anchor.rows, anchor.distinct) == (2, 4, 3)
    assert report.sets[0].columns["positive"] == plain.sets[0].columns["positive"]
    assert report.sets[1] == plain.sets[1]
    evaluated = measure_tokens(
        data_of(data, same), base_of(word_model), {}, Workspace(tmp_path / "workspace"), TokensConfig(),
        maximum_truncated_share=1.0, prompts=ColumnPrompts(evaluation={"same": {"positive": "a "}}),
    )  # fmt: skip
    assert evaluated.sets[0].columns == plain.sets[0].columns
    assert evaluated.sets[1].columns["positive"].tokens == plain.sets[1].columns["positive"].tokens + 4


def test_lengths_of_training_texts_lie_beside_the_report_and_are_those_that_are_counted_without_one(
    word_model: Path, tmp_path: Path
) -> None:
    data, other = prepared(tmp_path, "pairs", ROWS), prepared(tmp_path, "dev", ROWS, role="evaluation")
    workspace, prompts, base = Workspace(tmp_path / "workspace"), {"anchor": "a b "}, base_of(word_model)
    report = measure_tokens(
        data_of(data, other), base, {}, workspace, TokensConfig(), maximum_truncated_share=1.0,
        prompts=ColumnPrompts(training={"pairs": prompts}),
    )  # fmt: skip
    (name, path), *others = stored_lengths(report, workspace).items()
    assert (name, others) == ("pairs", [])
    # The words of a text, two special tokens, and two words of the anchor's prompt; then cut at 5.
    assert np.load(path).tolist() == [[5, 4], [8, 3], [5, 3], [6, 8]] and np.load(path).dtype == np.int32
    read = lengths_as_read(data, base, prompts, path)
    assert read.tolist() == [[5, 4], [5, 3], [5, 3], [5, 5]]
    assert lengths_as_read(data, base, prompts).tolist() == read.tolist()


def test_a_cut_column_is_found_with_its_remedy(word_model: Path, tmp_path: Path) -> None:
    data = prepared(tmp_path, "pairs", ROWS)
    (found,) = measure(tmp_path, word_model, data, bound=0.2).findings  # one limit, one warning
    assert found.subject == "pairs" and found.severity == "warning" and found.code == "tokens.truncated"
    assert found.message == (
        "Texts longer than max_seq_length 5 are cut, the longest of 8 tokens: pairs.anchor 1 of 4 (25.0%), "
        "pairs.positive 1 of 4 (25.0%)."
    )
    assert "model.max_seq_length: 8 to keep 99 %" in found.remedy
    assert found.numbers["pairs.anchor/truncated_rows"] == 1
    short = measure(tmp_path, word_model, data, bound=0.2, position_limit=5).findings
    assert "base model that takes more than 5 tokens" in short[0].remedy
    assert measure(tmp_path, word_model, data, bound=0.25).findings == ()


def test_a_report_is_found_again_by_content(word_model: Path, tmp_path: Path) -> None:
    data = prepared(tmp_path, "pairs", ROWS)
    first = measure(tmp_path, word_model, data)
    shutil.rmtree(data.path)
    assert measure(tmp_path, word_model, data) == first
    with pytest.raises(FileNotFoundError):
        measure(tmp_path, word_model, data, fresh=True)
    with pytest.raises(FileNotFoundError):
        measure(tmp_path, word_model, data, max_seq_length=4)
    with pytest.raises(FileNotFoundError):
        measure(tmp_path, word_model, data.model_copy(update={"digest": "another"}))


def test_forgetting_and_small_batches_change_no_number(
    word_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(0)
    texts: list[object] = [" ".join(rng.choices("abcx", k=rng.randint(1, 9))) for _ in range(3000)]
    data = prepared(tmp_path, "pairs", {"anchor": texts, "positive": texts[::-1]})
    first = measure(tmp_path, word_model, data)
    monkeypatch.setattr(lengths, "REMEMBERED_TEXTS", 50)
    monkeypatch.setattr(lengths, "ROWS_AT_A_TIME", 70)
    assert measure(tmp_path, word_model, data, fresh=True) == first
    column = first.sets[0].columns["anchor"]
    counts = np.array([len(str(text).split()) + 2 for text in texts])
    assert (column.median, column.p95, column.p99) == tuple(np.quantile(counts, (0.5, 0.95, 0.99)))
    assert column.distinct == len(set(texts))
    assert column.unknown_tokens == sum(str(text).count("x") for text in texts)


def test_scores_and_carried_columns_are_not_texts(word_model: Path, tmp_path: Path) -> None:
    rows: dict[str, list[object]] = {"sentence1": ["a"], "sentence2": ["b"], "score": [0.5], "genre": ["news"]}
    report = measure(tmp_path, word_model, prepared(tmp_path, "sts", rows, role="evaluation"))
    assert list(report.sets[0].columns) == ["sentence1", "sentence2"]
    assert report.sets[0].batch_size == 32


@pytest.mark.parametrize("settings", ["sentence_bert_config.json", "sentence_distilbert_config.json"])
def test_lower_casing_of_sentence_transformers_counts(word_model: Path, tmp_path: Path, settings: str) -> None:
    folder = tmp_path / "lower"
    shutil.copytree(word_model, folder)
    assert FastCounter(folder).count(["A b"])[1].tolist() == [1]
    (folder / settings).write_text(json.dumps({"do_lower_case": True}))
    assert FastCounter(folder).count(["A b"])[1].tolist() == [0]


def test_unigram_models_have_a_numbered_unknown_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    counts, unknown = FastCounter(tmp_path).count(["a", "az"])
    assert counts.tolist() == [1, 2] and unknown.tolist() == [0, 1]


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelError, match=r"tokenizer\.json is not a tokenizer that this version"):
        FastCounter(tmp_path)


def test_the_same_numbers_as_transformers_and_as_the_child_process(minilm: Path, tmp_path: Path) -> None:
    """Fast: the library on tokenizer.json. Slow: transformers, in a child, on a folder that has none."""
    from transformers import AutoTokenizer

    rows = generate("sts", "train", 300, ("ko", "en"), 0)
    texts: list[object] = [str(row["sentence1"]) for row in rows] + ["unknown: 쀍 ☃ 𓀀", "LONG " * 300]
    data = prepared(tmp_path, "pairs", {"anchor": texts, "positive": texts})
    report = measure(tmp_path, minilm, data, max_seq_length=128)
    column = report.sets[0].columns["anchor"]
    tokenizer = AutoTokenizer.from_pretrained(str(minilm), local_files_only=True)
    ids = tokenizer([str(text) for text in texts], truncation=False)["input_ids"]
    expected = [len(item) for item in ids]
    assert {length: expected.count(length) for length in set(expected)} == column.histogram
    assert column.unknown_tokens == sum(item.count(tokenizer.unk_token_id) for item in ids) > 0
    assert column.truncated_rows == sum(length > 128 for length in expected) == 1
    slow = tmp_path / "slow"
    slow.mkdir()
    for name in ("config.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(minilm / name, slow / name)
    by_child = measure(tmp_path, slow, data, max_seq_length=128)
    assert by_child.sets == report.sets


def test_a_folder_without_any_tokenizer_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"empty holds no tokenizer: neither tokenizer\.json nor vocab\.txt"):
        measure(tmp_path, empty, prepared(tmp_path, "pairs", ROWS))


# ------------------------------------------------------------------------------------------------------- padding


def test_expected_longest_equals_the_mean_over_all_batches() -> None:
    rows = [3, 3, 4, 7, 9, 9, 12]
    histogram = {length: rows.count(length) for length in rows}
    for size in range(1, len(rows) + 1):
        batches = list(combinations(range(len(rows)), size))
        mean = sum(max(rows[row] for row in batch) for batch in batches) / len(batches)
        assert expected_longest(histogram, size) == pytest.approx(mean, rel=1e-12)
    assert expected_longest(histogram, 100) == 12


def test_padding_share_agrees_with_simulation() -> None:
    rng = np.random.default_rng(0)
    columns = {"anchor": rng.poisson(12, 1003) + 2, "positive": rng.geometric(0.05, 1003) + 2}
    histograms = {
        name: dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True))
        for name, values in columns.items()
    }
    cut = {name: np.minimum(values, 40) for name, values in columns.items()}
    padded = []
    for _ in range(400):
        order = rng.permutation(1003)
        batches = [order[first : first + 8] for first in range(0, 1003, 8)]
        padded.append(sum(values[batch].max() * len(batch) for values in cut.values() for batch in batches))
    real = sum(int(values.sum()) for values in cut.values())
    share = expected_padding_share(histograms, 8, 40)
    assert share == pytest.approx(1 - real / np.mean(padded), abs=4 * np.std(padded) / 20 * real / np.mean(padded) ** 2)


def test_padding_of_equal_rows_and_of_single_rows_is_zero() -> None:
    assert expected_padding_share({"a": {7: 10}}, 4, 128) == pytest.approx(0.0, abs=1e-12)
    assert expected_padding_share({"a": {7: 3, 90: 4}}, 1, 128) == pytest.approx(0.0, abs=1e-12)
    assert expected_padding_share({"a": {7: 3, 90: 4}}, 4, 5) == pytest.approx(0.0, abs=1e-12)
    assert padded_tokens({5: 1, 10: 1}, 2) == 20


def test_quantiles_equal_numpy() -> None:
    values = np.random.default_rng(1).integers(0, 40, 501)
    for share in (0.0, 0.013, 0.5, 0.95, 0.99, 1.0):
        assert quantile(np.bincount(values), share) == pytest.approx(np.quantile(values, share))


# -------------------------------------------------------------------------------------------------- presentation


def test_table_has_a_row_for_each_column(word_model: Path, tmp_path: Path) -> None:
    table = token_table(measure(tmp_path, word_model, prepared(tmp_path, "pairs", ROWS)))
    assert [row["column"] for row in table] == ["anchor", "positive"]
    assert table[0]["cut at 5 (%)"] == 25.0 and table[0]["unknown (%)"] == 12.5 and table[0]["set"] == "pairs (train)"
    assert 0 < float(table[0]["padding at batch 2 (%)"]) < 100


def test_histogram_is_a_picture(word_model: Path, tmp_path: Path) -> None:
    report = measure(tmp_path, word_model, prepared(tmp_path, "pairs", ROWS))
    path = draw_histogram(report, tmp_path / "figures" / "lengths.png")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) > 5000
