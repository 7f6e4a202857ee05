"""What a card says, made anew from the shipped weights and the data at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stsflow.tasks.card.card_text import Problem
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact
from stsflow.tasks.card.samples import read_samples
from stsflow.tasks.card.usage import read_modules
from stsflow.tasks.evaluation.compare import compare
from stsflow.tasks.evaluation.run import ModelUnderTest, evaluate_models
from stsflow.tasks.ground.errors import StsflowError
from stsflow.tasks.ground.fingerprint import sha256_of_file, sha256_of_model
from stsflow.tasks.models.admission import admit
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.recipe.sections import EvaluationConfig, RunConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.evaluation import Difference, EvaluationReport
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.suites import suites_of_rows


@dataclass(frozen=True)
class Rows:
    """The rows that could be read on this machine."""

    data: PreparedData
    """Evaluation sets, and with `has_training` everything that follows from all sets together."""
    has_training: bool
    missing: tuple[str, ...] = ()
    """What could not be read, and why; one sentence each."""


@dataclass(frozen=True)
class Tools:
    """What verification works with: this machine's places, and the functions that made the card."""

    read_rows: Callable[[RunConfig], Rows]
    """Reads the data of a card's recipe from places that the person vouches for."""
    find_base: Callable[[BaseModelRef, ModelSource], BaseModelRef | None]
    """Finds the base model on this machine."""
    measure_tokens: Callable[[RunConfig, PreparedData, BaseModelRef], TokenReport]
    """Counts the tokens of all sets with the tokenizer at the record's path."""
    evaluate: Callable[..., list[EvaluationReport]] = evaluate_models
    compare: Callable[[EvaluationReport, EvaluationReport, EvaluationConfig], tuple[Difference, ...]] = compare


class MeasuredAgain:
    """The records of a card with everything replaced that could be made anew, and what that covers."""

    def __init__(self, shipped: Evidence, model: Path, tools: Tools, scratch: Path) -> None:
        """Measure the model folder `model`; reports are left below `scratch`, which must outlive this."""
        self.shipped, self.model, self.tools, self.scratch = shipped, model, tools, scratch
        self.evidence = shipped
        self.problems: list[Problem] = []
        self.not_compared: list[str] = []
        self.covered: set[str] = set()
        """Names of single facts that were measured."""
        self.findings = 0
        """How many of the first findings were made again."""
        self.suites: frozenset[str] = frozenset()
        self.has_training = self.has_tokens = self.has_base = self.is_admitted = False
        self._model()
        base = self._base()
        rows = self._rows()
        self._tokens(rows, base)
        self._scores(rows, base)

    def covers(self, fact: Fact) -> bool:
        """Whether the fact follows from something that was made anew."""
        record, name = fact.source.record, fact.id
        if record.startswith("SuiteScores") or record == "Difference":
            needs_base = record == "Difference" or name.startswith(("base.", "change.", "clean.base", "clean.change"))
            return (
                fact.source.suite in self.suites
                and (self.has_base or not (needs_base or name.endswith(".base")))
                and (self.has_training or record != "SuiteScores.clean")
            )
        if record in ("PreparedSet", "Overlap"):
            return self.has_training
        if record == "TokenReport":
            return self.has_tokens
        if record == "Finding":
            number = name.split(".")[1]
            return number.isdigit() and int(number) < self.findings
        return name in self.covered

    def _model(self) -> None:
        """Digests and sizes of the model folder."""
        found: dict[str, object] = {"model_digest": sha256_of_model(self.model)}
        self.covered.add("model.digest")
        weights = sorted(self.model.glob("model*.safetensors"))
        if len(weights) == 1:  # several parts are told apart by the digest of the folder
            found["weights_sha256"] = sha256_of_file(weights[0])
            self.covered.add("model.weights_sha256")
        try:
            folder = admit(self.model)
            self.is_admitted = True
            self.evidence = self.evidence.model_copy(update={"modules": read_modules(self.model)})
            found |= {"dimension": folder.dimension("keep"), "max_seq_length": folder.own_max_seq_length}
            self.covered |= {"model.dimension", "model.max_seq_length"}
        except StsflowError as error:
            self._problem("model", f"It is not measured: {error}")
        trained = self.shipped.trained.model_copy(update=found)
        self.evidence = self.evidence.model_copy(update={"trained": trained})

    def _base(self) -> BaseModelRef | None:
        """The base model, where this machine has it."""
        stated = self.shipped.base
        base = self.tools.find_base(stated, self.shipped.recipe.model.source)
        if base is None:
            self.not_compared.append(
                f"Scores of the base model: {stated.name} is not at hand with the digest that the card states."
            )
            return None
        if stated.trust_remote_code:
            self.not_compared.append(
                f"Scores of the base model: {stated.name} needs code of its own, which is never run here."
            )
            return None
        try:
            folder = admit(base.path)
            found = {"weights_sha256": folder.weights_sha256(), "parameters": folder.parameters()}
        except StsflowError as error:
            self.not_compared.append(f"Scores of the base model: {error}")
            return None
        measured = stated.model_copy(update=found)
        self.covered |= {"base.weights_sha256", "model.parameters"}
        self.evidence = self.evidence.model_copy(update={"base": measured})
        return base

    def _rows(self) -> PreparedData:
        """The rows at hand that are the card's own; others are a problem and nothing is measured on them."""
        rows = self.tools.read_rows(self.shipped.recipe)
        self.not_compared += rows.missing
        shipped = self.shipped.data
        stated: dict[tuple[str, str], PreparedSet] = {
            (item.role, item.name): item for item in (*shipped.train, *shipped.evaluation)
        }
        differing = [item for item in (*rows.data.train, *rows.data.evaluation) if not self._is_the_cards(item, stated)]
        kept = tuple(item for item in rows.data.evaluation if item not in differing)
        self.has_training = rows.has_training and not differing
        if self.has_training:
            samples = {item.name: read_samples(item) for item in rows.data.train}
            self.evidence = self.evidence.model_copy(update={"data": rows.data, "samples": samples})
            return rows.data
        # Which rows share nothing with training is not known without the training sets.
        return PreparedData(
            fingerprint="", train=(), evaluation=tuple(item.model_copy(update={"clean_rows": None}) for item in kept)
        )

    def _is_the_cards(self, item: PreparedSet, stated: Mapping[tuple[str, str], PreparedSet]) -> bool:
        record = stated.get((item.role, item.name))
        if record is None or record.digest == item.digest:
            return record is not None
        name = f"data.{item.name}" if item.role == "train" else f"suite {item.name}"
        self._problem(
            name,
            f"The rows at hand are not the card's: {item.rows:,} rows with the digest {item.digest[:12]}…; "
            f"the card says {record.rows:,} rows, {record.digest[:12]}….",
        )
        return False

    def _tokens(self, data: PreparedData, base: BaseModelRef | None) -> None:
        """Token counts; the tuned model has the tokenizer of its base, so one of the two is enough."""
        if not self.has_training:
            return
        reading = base or self.shipped.base.model_copy(update={"path": self.model, "trust_remote_code": False})
        try:
            tokens = self.tools.measure_tokens(self.shipped.recipe, data, reading)
        except StsflowError as error:
            self.not_compared.append(f"Token counts: {error}")
            return
        self.has_tokens = True
        seen = {(item.code, item.subject, item.message) for item in (*data.findings, *tokens.findings)}
        self.findings = len(seen)
        self.evidence = self.evidence.model_copy(update={"tokens": tokens})

    def _scores(self, data: PreparedData, base: BaseModelRef | None) -> None:
        """Both models on the suites whose rows are at hand."""
        config = self.shipped.recipe.evaluation
        names = {item.name for item in data.evaluation}
        suites = {name: suite for name, suite in config.suites.items() if name in names}
        at_hand = config.model_copy(update={"suites": suites})
        left_out = [name for name in config.suites if name not in suites_of_rows(config.suites)]
        if left_out:
            self.not_compared.append(f"Scores on {', '.join(left_out)}: such a task fetches its own data.")
        if not suites or not self.is_admitted:
            return
        try:
            models = [ModelUnderTest("tuned", self.model, sha256_of_model(self.model))]
            if base is not None:
                models.append(ModelUnderTest("base", base.path, sha256_of_model(base.path), base))
            tuned, *others = self.tools.evaluate(
                models, at_hand, data, self.scratch, prompts=self.shipped.recipe.prompts.suites
            )
            before = others[0] if others else None
            differences = self.tools.compare(before, tuned, at_hand) if before else ()
        except StsflowError as error:
            self._problem("evaluation", f"The model cannot be measured any more: {error}")
            return
        self.suites, self.has_base = frozenset(tuned.suites), before is not None
        self.evidence = self.evidence.model_copy(
            update={
                "tuned_scores": tuned,
                "base_scores": before or self.shipped.base_scores,
                "differences": differences if before else self.shipped.differences,
            }
        )

    def _problem(self, place: str, message: str) -> None:
        self.problems.append(Problem(place, message))


def how_pairs_differ(before: Path, after: Path, allowed: float) -> str:
    """How two files of per-row scores differ, in words; empty when every row is the same within `allowed`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        then, now = parquet.read_table(before), parquet.read_table(after)
    except (OSError, pa.ArrowException):
        return "it cannot be read"
    if then.column_names != now.column_names or then.num_rows != now.num_rows:
        return (
            f"{then.num_rows:,} rows of {', '.join(then.column_names)}; measured again, {now.num_rows:,} rows of "
            + (", ".join(now.column_names))
        )
    for name in now.column_names:
        if then[name].type != now[name].type:
            return f"the column {name} is of another type"
        if pa.types.is_floating(now[name].type):
            one, other = np.asarray(then[name], dtype=np.float64), np.asarray(now[name], dtype=np.float64)
            tolerance = 0.0 if name == "gold" else allowed * max(1.0, float(np.nanmax(np.abs(other), initial=0.0)))
            if not np.allclose(one, other, rtol=0.0, atol=tolerance, equal_nan=True):
                return f"{name} differs by up to {float(np.nanmax(np.abs(one - other))):.2g}"
        elif not then[name].equals(now[name]):
            return f"the column {name} is another"
    return ""
