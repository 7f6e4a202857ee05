"""Whether a finished card tells the truth about the model beside it.

A card of stsflow carries facts.json: its text is compared with that, the digests with the files, and the scores with a
new measurement of the shipped weights, so that weights and digest changed together are found too. A card of another
origin is read for what it fails to say (see tasks/card/foreign.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from tasks.card.base_at_hand import base_at_hand
from tasks.card.card_text import Problem, check_facts, check_figures, check_text
from tasks.card.content import Evidence
from tasks.card.evaluation_section import suite_blocks
from tasks.card.evidence import CardFacts, located
from tasks.card.facts import Fact, facts_in
from tasks.card.foreign import check_foreign_card
from tasks.config import EvaluationConfig, RunConfig
from tasks.environment import hardware, versions
from tasks.errors import EvaluationFailed, PreconditionError
from tasks.evaluation.suites import Suite
from tasks.files import links_that_leave
from tasks.fingerprint import sha256_of_file, sha256_of_model
from tasks.models.sources import ModelSource
from tasks.records import (
    BaseModelRef,
    Difference,
    EvaluationReport,
    PreparedData,
    PreparedSet,
    TrainedModel,
)
from tasks.schema import Record
from tasks.workspace import Workspace

SAME_MACHINE, OTHER_MACHINE = 2e-5, 1e-3
"""How far a score may lie from the card's: on the processor and torch version that made it, and anywhere else."""


class VerifyResult(Record):
    """What a verification found."""

    folder: Path
    model: Path
    card: Path
    kind: Literal["stsflow", "foreign"]
    holds: bool
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """What could not be looked at, and why; no reason to doubt the card."""
    compared: int
    """Numbers and digests that were compared with a source outside the card."""


class Evaluate(Protocol):
    """Measures a model on suites: `evaluate_model` of the evaluation stage."""

    def __call__(
        self,
        name: str,
        model_path: Path,
        model_digest: str,
        suites: Mapping[str, Suite],
        data: PreparedData,
        config: EvaluationConfig,
        folder: Path,
        *,
        base: BaseModelRef | None = None,
    ) -> EvaluationReport: ...


class FindBase(Protocol):
    """Finds the base model on this machine: `base_at_hand`."""

    def __call__(self, stated: BaseModelRef, source: ModelSource) -> BaseModelRef | None: ...


class Compare(Protocol):
    """Paired differences of two reports: `compare` of the evaluation stage."""

    def __call__(
        self, first: EvaluationReport, second: EvaluationReport, config: EvaluationConfig
    ) -> tuple[Difference, ...]: ...


def verify_card(
    folder: Path,
    workspace: Workspace,
    *,
    evaluate: Evaluate | None,
    compare: Compare | None = None,
    digest_rows: Callable[[PreparedSet], str] | None = None,
    prepare: Callable[[RunConfig], PreparedData] | None = None,
    find_base: FindBase = base_at_hand,
    tolerance: float | None = None,
) -> VerifyResult:
    """What holds of the card in `folder` (a model folder, a run's folder, or its card folder).

    `evaluate` measures the shipped weights again, and the base model where `find_base` has it; `compare` makes the
    paired differences of both; `digest_rows` gives the digest of a prepared set as it now lies on disk; `prepare`
    reads the recipe's data again where the prepared rows are gone. Without `evaluate` nothing is measured, which is a
    note. `tolerance` for scores defaults to SAME_MACHINE or OTHER_MACHINE. Whatever came with the card is data: it lets
    no code run. Raises PreconditionError when `folder` holds neither a card nor a model.
    """
    model, card = _locate(folder)
    leaving = [link for place in dict.fromkeys((model, card.parent)) for link in links_that_leave(place)]
    if leaving:
        message = "It is a link out of its folder: what it points to is no part of what was shipped."
        links = [Problem(place=str(link), message=message) for link in leaving]
        return _result(folder, model, card, "stsflow", links, [], 0)
    if not card.with_name("facts.json").is_file():
        problems = check_foreign_card(card)
        return _result(folder, model, card, "foreign", problems, [], 0)
    try:
        facts = CardFacts.load(card.with_name("facts.json"))
        evidence = located(facts.evidence, workspace)
        recipe = RunConfig.model_validate(evidence.recipe)
    except ValueError as error:
        message = f"It cannot be read as the facts of a card: {str(error).splitlines()[0]}"
        return _result(folder, model, card, "stsflow", [Problem(place="facts.json", message=message)], [], 0)
    check = _Verification(facts, evidence, recipe)
    check.problems += check_text(card, facts) + check_facts(facts) + check_figures(card.with_name("figures"), facts)
    check.copy(model / "README.md", card)
    check.digests(model)
    check.training(workspace)
    rows = check.rows(digest_rows, prepare)
    if evaluate is None:
        check.notes.append("The scores were not measured again: no evaluation was given.")
    elif rows is not None:
        check.scores(model, rows, evaluate, compare, find_base, tolerance)
    return _result(folder, model, card, "stsflow", check.problems, check.notes, check.compared)


class _Verification:
    """The checks of one card, and what they found so far."""

    def __init__(self, facts: CardFacts, evidence: Evidence, recipe: RunConfig) -> None:
        self.facts, self.evidence, self.recipe = facts, evidence, recipe
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.compared = 0

    def copy(self, beside_weights: Path, card: Path) -> None:
        """The card beside the weights, where the run's own card is the one that is looked at."""
        if beside_weights == card or not beside_weights.is_file():
            return
        for problem in check_text(beside_weights, self.facts):
            self._problem(f"model/{problem.place}", problem.message)

    def digests(self, model: Path) -> None:
        """The model folder against the recorded digests, and those against the card's."""
        recorded = {
            "model.weights_sha256": self.evidence.weights_sha256,
            "model.digest": self.evidence.model_digest,
            "base.weights_sha256": self.evidence.base.weights_sha256,
            "base.revision": self.evidence.base.revision,
            "run.recipe_sha256": self.evidence.run.recipe_sha256,
            **{f"suite.{item.name}.data_digest": item.digest for item in self.evidence.evaluation},
        }
        for identity, value in recorded.items():
            self._expect(identity, value, "the record in facts.json")
        weights = sorted(model.glob("model*.safetensors"))
        if len(weights) == 1:  # several parts are told apart by the digest of the folder
            self._expect("model.weights_sha256", sha256_of_file(weights[0]), f"the file {weights[0].name}")
        if not model.is_dir():
            self._problem("model", f"There is no model folder at {model}.")
        else:
            self._expect("model.digest", sha256_of_model(model), "the files of the model folder")

    def training(self, workspace: Workspace) -> None:
        """The trainer's own record of the run, where the workspace still has it."""
        path = workspace.training(self.evidence.training).result
        if not path.is_file():
            self.notes.append("The training's own record is not in this workspace, so it was not compared.")
            return
        try:
            trained = TrainedModel.load(path)
        except ValueError:
            self._problem(str(path), "It is not the record of a training.")
            return
        expected: dict[str, object] = {
            "model.weights_sha256": trained.weights_sha256,
            "model.digest": trained.model_digest,
            "training.steps": trained.steps,
            "training.epochs": trained.epochs,
            "training.loss": trained.train_loss,
            "training.best_step": trained.best_step,
            "training.best_metric": trained.best_metric,
        }
        for item in trained.exposure:
            for field in ("rows", "rows_seen", "unique_rows_seen", "seen_share", "repeats", "rows_seen_per_epoch"):
                expected[f"exposure.{item.name}.{field}"] = getattr(item, field)
        for number, row in enumerate(trained.log):
            expected |= {f"log.{number}.{field}": getattr(row, field) for field in ("epoch", "step", "loss", "metric")}
        for identity, value in expected.items():
            self._expect(identity, value, "the record of the training")

    def rows(
        self,
        digest_rows: Callable[[PreparedSet], str] | None,
        prepare: Callable[[RunConfig], PreparedData] | None,
    ) -> tuple[PreparedSet, ...] | None:
        """The evaluation sets as they now lie on disk, compared with their digests; None when they cannot be read."""
        for item in self.evidence.evaluation:
            for file in item.source.files:
                if file.path.is_file():
                    self.compared += 1
                    if sha256_of_file(file.path) != file.sha256:
                        self._problem(
                            f"suite {item.name}",
                            f"The evaluation file {file.path} is not the one that was measured on.",
                        )
        found = self.evidence.evaluation
        if not all(item.path.is_dir() for item in found):
            if prepare is None:
                self._problem("evaluation data", "The evaluation rows are not there any more: nothing can be measured.")
                return None
            made = prepare(self.recipe)
            found = tuple(made.evaluation_set(item.name) for item in found)
            for item in found:
                self._expect(f"suite.{item.name}.data_digest", item.digest, "the rows that the source now gives")
        elif digest_rows is not None:
            for item in found:
                self._expect(f"suite.{item.name}.data_digest", digest_rows(item), "the prepared rows on disk")
        return found

    def scores(
        self,
        model: Path,
        rows: tuple[PreparedSet, ...],
        evaluate: Evaluate,
        compare: Compare | None,
        find_base: FindBase,
        tolerance: float | None,
    ) -> None:
        """Measure again, and compare every fact that a measurement gives."""
        data = PreparedData(fingerprint="", train=(), evaluation=rows)
        config = self.recipe.evaluation
        base = find_base(self.evidence.base, self.recipe.model.source)
        with tempfile.TemporaryDirectory(prefix="verify-card-") as scratch:
            try:
                tuned = evaluate("tuned", model, sha256_of_model(model), config.suites, data, config, Path(scratch))
                before = None
                if base is not None:
                    digest = sha256_of_model(base.path)
                    before = evaluate("base", base.path, digest, config.suites, data, config, Path(scratch), base=base)
                else:
                    self.notes.append(
                        f"The base model {self.evidence.base.name} is not at hand with the digest that the card "
                        "states, so its scores were not measured again."
                    )
                differences = compare(before, tuned, config) if compare is not None and before is not None else ()
            except EvaluationFailed as error:
                self._problem("evaluation", f"The model cannot be measured any more: {error}")
                return
            blocks = suite_blocks(self.recipe, self.evidence.run, rows, before, tuned, differences)
            allowed = self._tolerance() if tolerance is None else tolerance
            self._compare_scores(facts_in(blocks).values(), allowed)
            self._compare_pairs(tuned, allowed)

    def _compare_scores(self, measured: Iterable[Fact], allowed: float) -> None:
        for fact in measured:
            recorded = self.facts.fact(fact.id)
            if recorded is None:
                continue
            self.compared += 1
            if not _agree(recorded, fact, allowed):
                self._problem(fact.id, f"The card says {_full(recorded)}; measured again, it is {_full(fact)}.")

    def _compare_pairs(self, tuned: EvaluationReport, allowed: float) -> None:
        for name, path in self.evidence.pairs.items():
            now = tuned.suites[name].pairs if name in tuned.suites else None
            if now is None or not path.is_file() or not now.is_file():
                continue
            self.compared += 1
            distance = _largest_change(path, now)
            if distance is None or distance > 5 * allowed:
                by = "their number differs" if distance is None else f"by up to {distance:.2g}"
                self._problem(f"suite {name}", f"The similarities of single rows are not those that were kept ({by}).")

    def _tolerance(self) -> float:
        then = self.evidence.environment
        now = versions() | hardware()
        same = all(then.get(key) == now.get(key) for key in ("torch", "processor"))
        return SAME_MACHINE if same else OTHER_MACHINE

    def _expect(self, identity: str, value: object, where: str) -> None:
        recorded = self.facts.fact(identity)
        if recorded is None:
            return
        self.compared += 1
        if recorded.value != value:
            self._problem(identity, f"The card says {recorded.value}; {where} says {value}.")

    def _problem(self, place: str, message: str) -> None:
        self.problems.append(Problem(place=place, message=message))


def _locate(folder: Path) -> tuple[Path, Path]:
    """Model folder and card of `folder`."""
    if (folder / "card" / "README.md").is_file() and (folder / "model").is_dir():
        return folder / "model", folder / "card" / "README.md"
    if _is_model(folder):
        return folder, folder / "README.md"
    if (folder / "README.md").is_file():
        return folder.parent / "model", folder / "README.md"
    raise PreconditionError(
        f"{folder} holds neither a model nor a card (README.md): give a model folder or a run's folder."
    )


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("modules.json", "config.json", "model.safetensors"))


def _agree(recorded: Fact, measured: Fact, allowed: float) -> bool:
    then, now = recorded.number, measured.number
    if then is None or now is None:
        return recorded.value == measured.value
    if recorded.form in ("score", "change"):
        return abs(then - now) <= allowed
    if recorded.form == "p_value":
        return abs(then - now) <= 0.01
    if recorded.id.endswith(".rows_needed"):
        return abs(then - now) <= max(1.0, 0.05 * then)
    return then == now


def _full(fact: Fact) -> str:
    return fact.text if fact.number is None or fact.form == "count" else f"{fact.number:.6f}"


def _largest_change(before: Path, after: Path) -> float | None:
    """Largest difference of a row's cosine in two files of per-row scores; None when they have other rows."""
    import numpy as np
    import pyarrow.parquet as parquet

    tables = [parquet.read_table(path) for path in (before, after)]
    if any("cosine" not in table.column_names for table in tables):
        return 0.0
    then, now = (np.asarray(table["cosine"]) for table in tables)
    return None if then.shape != now.shape else float(np.max(np.abs(then - now), initial=0.0))


def _result(
    folder: Path,
    model: Path,
    card: Path,
    kind: Literal["stsflow", "foreign"],
    problems: Sequence[Problem],
    notes: Sequence[str],
    compared: int,
) -> VerifyResult:
    return VerifyResult(
        folder=folder, model=model, card=card, kind=kind, holds=not problems, problems=tuple(problems),
        notes=tuple(notes), compared=compared,
    )  # fmt: skip
