"""The public multi-task recipe as one plain script on sentence-transformers: what everything here is measured against.

    HF_HUB_OFFLINE=1 python benchmarks/plain_recipe.py --base MODEL --data-dir KorNLUDatasets --out FOLDER

NLI triplets under MultipleNegativesRankingLoss and scored pairs under CosineSimilarityLoss, batches without duplicates,
the two sets in turn, Spearman on KorSTS dev and test: one file, no orchestration, no tracking. It imports nothing of
this project, and what is not a flag is the library's default. The last line of its output is a JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

LABELS = ("entailment", "neutral", "contradiction")


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV whose quotes are ordinary characters."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def pairs_of(path: Path) -> dict[str, list[Any]]:
    """Sentence pairs with their score from 0 to 1."""
    rows = [row for row in rows_of(path) if row["sentence1"] and row["sentence2"]]
    return {
        "sentence1": [row["sentence1"] for row in rows],
        "sentence2": [row["sentence2"] for row in rows],
        "label": [float(row["score"]) / 5 for row in rows],
    }


def triplets_of(paths: list[Path], seed: int) -> dict[str, list[Any]]:
    """Two triplets for every sentence that entails one sentence and contradicts another, read in both directions."""
    known: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: {label: {} for label in LABELS})
    for path in paths:
        for row in rows_of(path):
            one, other = row["sentence1"].strip(), row["sentence2"].strip()
            known[one][row["gold_label"]][other] = None
            known[other][row["gold_label"]][one] = None
    chooser = random.Random(seed)
    triplets: list[tuple[str, str, str]] = []
    for sentence, found in known.items():
        entailed, contradicted = list(found["entailment"]), list(found["contradiction"])
        if entailed and contradicted:
            triplets.append((sentence, chooser.choice(entailed), chooser.choice(contradicted)))
            triplets.append((chooser.choice(entailed), sentence, chooser.choice(contradicted)))
    names = ("anchor", "positive", "negative")
    return {name: list(column) for name, column in zip(names, zip(*triplets, strict=True), strict=True)}


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="folder or name of the model to tune")
    parser.add_argument("--data-dir", required=True, type=Path, help="a folder laid out like KorNLUDatasets")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--nli-files", nargs="+", default=["xnli.dev.ko.tsv", "xnli.test.ko.tsv"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--warmup-steps", type=float, default=0, help="a count, or a share of the run when below 1")
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument(
        "--eval-steps", type=int, default=0, help="evaluate and save every so many steps; 0: at the end"
    )
    parser.add_argument("--sampler", default="no_duplicates", choices=["no_duplicates", "no_duplicates_hashed"])
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--only-train", action="store_true", help="no evaluation and no saving: for timing steps")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def main() -> None:
    """Train, evaluate, save, report: one piece on purpose, as such a script is written."""
    arguments = read_arguments()
    marks = [("start", time.process_time(), time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.process_time(), time.perf_counter()))

    import torch
    from datasets import Dataset, DatasetDict
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
    from transformers import TrainerCallback

    mark("imports")
    sts = arguments.data_dir / "KorSTS"
    nli = [arguments.data_dir / "KorNLI" / name for name in arguments.nli_files]
    sets = DatasetDict(
        nli=Dataset.from_dict(triplets_of(nli, arguments.seed)),
        sts=Dataset.from_dict(pairs_of(sts / "sts-train.tsv")),
    )
    judges = {}
    for split in ("dev", "test"):
        pairs = pairs_of(sts / f"sts-{split}.tsv")
        judges[split] = EmbeddingSimilarityEvaluator(
            pairs["sentence1"], pairs["sentence2"], pairs["label"], name=split, write_csv=False,
            similarity_fn_names=["cosine", "manhattan", "euclidean", "dot"],
        )  # fmt: skip
    mark("data")
    model = SentenceTransformer(arguments.base, device="cuda" if torch.cuda.is_available() else "cpu")
    model.max_seq_length = arguments.max_seq_length
    mark("load")
    scores = {} if arguments.only_train else {"base": {split: judge(model) for split, judge in judges.items()}}
    mark("evaluate base")

    class Clock(TrainerCallback):
        """CPU and wall seconds at the end of every step, so that start-up can be taken off."""

        def __init__(self) -> None:
            self.steps: list[tuple[float, float]] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.steps.append((time.process_time(), time.perf_counter()))

    clock = Clock()
    pace = "steps" if arguments.eval_steps else "no"
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(arguments.out / "checkpoints"),
            num_train_epochs=arguments.epochs,
            max_steps=arguments.max_steps,
            per_device_train_batch_size=arguments.batch_size,
            learning_rate=arguments.lr,
            warmup_steps=arguments.warmup_steps,
            batch_sampler=arguments.sampler,
            multi_dataset_batch_sampler="round_robin",
            eval_strategy=pace,
            eval_steps=arguments.eval_steps or None,
            save_strategy="no" if arguments.only_train else pace,
            save_steps=arguments.eval_steps or 500,
            save_total_limit=1,
            bf16=arguments.bf16,
            use_cpu=not torch.cuda.is_available(),  # without a device the library refuses bf16 unless told so
            seed=arguments.seed,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=sets,
        loss={"nli": MultipleNegativesRankingLoss(model), "sts": CosineSimilarityLoss(model)},
        evaluator=judges["dev"] if arguments.eval_steps else None,
        callbacks=[clock],
    )
    mark("trainer")
    trained = trainer.train()
    mark("train")
    if not arguments.only_train:
        scores["tuned"] = {split: judge(model) for split, judge in judges.items()}
        mark("evaluate tuned")
        model.save_pretrained(str(arguments.out / "model"))
        mark("save")
    parts = {now[0]: [round(now[1] - then[1], 3), round(now[2] - then[2], 3)] for then, now in pairwise(marks)}
    first, last = clock.steps[0], clock.steps[-1]
    print(
        json.dumps(
            {
                "steps": len(clock.steps),
                "rows": {name: len(rows) for name, rows in sets.items()},
                "loop_cpu_seconds": last[0] - first[0],
                "loop_seconds": last[1] - first[1],
                "cpu_seconds": time.process_time(),
                "cpu_and_wall_seconds_by_part": parts,
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "train_loss": trained.training_loss,
                "spearman_cosine": {
                    who: {split: found[f"{split}_spearman_cosine"] for split, found in by_split.items()}
                    for who, by_split in scores.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
