"""Whether a finished card tells the truth about the model beside it.

A card of stsflow carries facts.json: the records that it was made of. The card is written again from them and compared
line by line, and what was added between the lines is listed; what can be measured again is measured (weights, rows,
scores); what the run recorded of itself is compared with that record where it is at hand; the rest is named as the
run's word. Whatever came with the card is data: no path in it is followed, no code in it runs. A card of another origin
is read for what it fails to say (foreign.py).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from stsflow.tasks.card.card_text import Addition, Problem, TextCheck, check_facts, check_figures, check_text
from stsflow.tasks.card.content import CardContent, content_of
from stsflow.tasks.card.evidence import CardFacts, Evidence, portable
from stsflow.tasks.card.facts import Fact, facts_in
from stsflow.tasks.card.foreign import check_foreign_card
from stsflow.tasks.card.measured_again import MeasuredAgain, Tools, how_pairs_differ
from stsflow.tasks.card.render import code_of_cards, draw_own_figures, facts_of, figure_names, render_placed
from stsflow.tasks.card.run_record import RunRecord, recorded
from stsflow.tasks.card.signature import SignatureCheck, check_signature, is_signed
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.files import links_that_leave
from stsflow.tasks.ground.fingerprint import sha256_of_file
from stsflow.tasks.ground.schema import Record

SAME_MACHINE, OTHER_MACHINE = 2e-5, 1e-3
"""How far a score may lie from the card's: on the processor and torch version that made it, and anywhere else."""

LARGEST_FACTS = 256 * 2**20
"""Bytes of a facts.json that is still read."""

FindRecord = Callable[[Evidence], RunRecord | None]
"""Finds the run's own record on this machine, by what the card says of the run."""

Outcome = Literal["holds", "does not hold", "not compared", "signed"]


class VerifyResult(Record):
    """What a verification found."""

    folder: Path
    model: Path
    card: Path
    kind: Literal["stsflow", "foreign"]
    outcome: Outcome
    """`not compared`: nothing speaks against the card, but no score of the model could be compared with anything.
    `signed`: the same, and the signature that was asked for holds."""
    holds: bool
    problems: tuple[Problem, ...]
    signed_by: str = ""
    """The key whose signature over card, weights and facts was asked for and holds, by its number, with the signer's
    comment."""
    added: tuple[Addition, ...] = ()
    """What no record makes and somebody wrote in: allowed, and nobody's word but theirs."""
    measured: int = 0
    """Facts of the card that were measured or counted again here."""
    recorded: int = 0
    """Facts that were compared with the run's own record."""
    compared: int = 0
    """Facts that were measured again, compared with the record, or both."""
    record: str = ""
    """Where the run's record was found; empty when it was not at hand."""
    not_compared: tuple[str, ...] = ()
    """What could not be measured here, and why: no reason to doubt the card."""
    unvouched: dict[str, int] = {}
    """Facts that nobody here vouches for, counted by the first part of their names: the run's word."""
    unvouched_texts: tuple[str, ...] = ()
    """Texts and figures that nobody here vouches for."""
    notes: tuple[str, ...] = ()


def verify_card(
    folder: Path, *, tools: Tools | None, find_record: FindRecord | None = None, tolerance: float | None = None,
    signed_by: str | None = None,
) -> VerifyResult:  # fmt: skip
    """What holds of the card in `folder` (a model folder, a run's folder, or its card folder).

    `tools` measure again; without them nothing is measured. `find_record` finds the run's own record. `tolerance` for
    scores defaults to SAME_MACHINE or OTHER_MACHINE. `signed_by` is the public key of whoever must have signed it.
    Raises PreconditionError when `folder` holds neither a card nor a model, or `signed_by` is no key.
    """
    model, card = locate(folder)
    leaving = [link for place in dict.fromkeys((model, card.parent)) for link in links_that_leave(place)]
    if leaving:
        message = "It is a link out of its folder: what it points to is no part of what was shipped."
        return _refused(folder, model, card, [Problem(str(link), message) for link in leaving])
    signature = None if signed_by is None else check_signature(model, signed_by)
    if not card.with_name("facts.json").is_file():
        unsaid = [*check_foreign_card(card), *(signature.problems if signature else ())]
        return _refused(folder, model, card, unsaid, kind="foreign")
    try:
        check = _Verification(model, card)
    except _Unreadable as error:
        message = f"It cannot be read as the facts of a card: {error}"
        return _refused(folder, model, card, [Problem("facts.json", message)])
    check.text()
    check.signature(signature)
    record = find_record(check.shipped) if find_record is not None else None
    if record is not None:
        check.with_record(record)
    with tempfile.TemporaryDirectory(prefix="verify-card-") as scratch:
        if tools is not None and model.is_dir():
            check.with_measurement(tools, Path(scratch), record, tolerance)
        check.figures(record, Path(scratch))
    return check.result(folder)


class _Unreadable(ValueError):
    """facts.json is damaged, of another format, or its records contradict each other."""


class _Verification:
    """The checks of one card, and what they found so far."""

    def __init__(self, model: Path, card: Path) -> None:
        """Read facts.json beside `card` and write the card again from it; raises _Unreadable."""
        self.model, self.card = model, card
        self.facts, self.content = _read(card.with_name("facts.json"))
        self.shipped = self.facts.evidence
        self.written, self.places = render_placed(self.content)
        self.by_name = facts_in(self.content)
        self.problems: list[Problem] = []
        self.added: list[Addition] = []
        self.notes: list[str] = []
        self.not_compared: list[str] = []
        self.measured: set[str] = set()
        self.recorded: set[str] = set()
        self.record = self.signed_by = ""
        self.has_words = False
        self.unknown_pictures: set[str] = set()

    def text(self) -> None:
        """The card, its copies and its facts against what the records make."""
        found = self._text_of(self.card, "")
        self.problems += check_facts(self.facts.facts, facts_of(self.content, self.places))
        if found.problems and self.facts.code != code_of_cards():
            self.notes.append(
                "The card was written by another version of stsflow, which may word things otherwise: look at lines "
                "that differ in their words only with that version."
            )
        if not self.model.is_dir():
            self._problem("model", f"There is no model folder at {self.model}.")
        elif self.model != self.card.parent:
            self._copy_beside_weights()
        for folder in dict.fromkeys((self.card.parent, self.model)):
            place = "" if folder == self.card.parent else "model/"
            for problem in check_figures(folder / "figures", self.facts, figure_names(self.content)):
                self._problem(f"{place}{problem.place}", problem.message)

    def signature(self, found: SignatureCheck | None) -> None:
        """The signature, where one was asked for."""
        if found is None:
            if is_signed(self.model):
                self.notes.append("It is signed; by whom, and whether that holds, says --signed-by PUBLIC_KEY.")
            return
        self.problems += found.problems
        if not found.problems:
            self.signed_by = f"{found.key_id} ({found.comment})"

    def _text_of(self, card: Path, folder: str) -> TextCheck:
        """What became of the text of one copy of the card, `folder` before its places."""
        found = check_text(card, self.written, self.places)
        self.problems += [Problem(f"{folder}{problem.place}", problem.message) for problem in found.problems]
        self.added += [Addition(f"{folder}{addition.place}", addition.text) for addition in found.added]
        return found

    def _copy_beside_weights(self) -> None:
        self._text_of(self.model / "README.md", "model/")
        copy = self.model / "facts.json"
        if not copy.is_file() or copy.read_bytes() != self.card.with_name("facts.json").read_bytes():
            self._problem("model/facts.json", "It is not the facts.json of the card.")

    def with_record(self, record: RunRecord) -> None:
        """What the run recorded of itself, fact by fact, then in words."""
        evidence = recorded(record, self.shipped)
        if evidence is None:
            self.not_compared.append(f"The run's record ({record.where}) is damaged or not complete.")
            return
        self.record = record.where
        content = content_of(portable(evidence))
        said = facts_in(content)
        for name in self.by_name.keys() | said.keys():
            mine, theirs = self.by_name.get(name), said.get(name)
            self.recorded.add(name)
            if mine is None or theirs is None or (mine.value, mine.text) != (theirs.value, theirs.text):
                self._problem(name, f"The card says {_text(mine)}; the run's record says {_text(theirs)}.")
        written, places = render_placed(content)
        if written != self.written:
            self.problems += check_text(self.card, written, places, words_only=True).problems
        self.has_words = True
        self._pairs_of_record(record, evidence)

    def _pairs_of_record(self, record: RunRecord, evidence: Evidence) -> None:
        for name in sorted(self.shipped.pairs.keys() | evidence.pairs.keys()):
            if name not in evidence.pairs:
                self._problem(f"evaluation/{name}.parquet", f"The per-row scores are gone from {record.where}.")
            elif name not in self.shipped.pairs:
                self._problem(f"evaluation/{name}.parquet", "The card knows nothing of these per-row scores.")
            elif self.shipped.pairs[name] != evidence.pairs[name]:
                self._problem(f"evaluation/{name}.parquet", "The per-row scores are not those that were written.")

    def with_measurement(self, tools: Tools, scratch: Path, record: RunRecord | None, tolerance: float | None) -> None:
        """What the shipped weights and the data at hand give now."""
        again = MeasuredAgain(self.shipped, self.model, tools, scratch)
        self.problems += again.problems
        self.not_compared += again.not_compared
        made = content_of(portable(again.evidence))
        found = facts_in(made)
        if again.is_admitted and _code(made) != _code(self.content):
            self._problem("Usage", "The code and prompts do not fit the modules of the model folder.")
        allowed = self._tolerance() if tolerance is None else tolerance
        for name in self.by_name.keys() | found.keys():
            mine, theirs = self.by_name.get(name), found.get(name)
            if not any(fact is not None and again.covers(fact) for fact in (mine, theirs)):
                continue
            if mine is not None and theirs is not None and name.endswith(".revision") and mine.value != theirs.value:
                self.not_compared.append(f"{name}: the same rows came from another file or version here.")
                continue
            self.measured.add(name)
            if mine is None or theirs is None or not _agree(mine, theirs, allowed):
                self._problem(name, f"The card says {_full(mine)}; measured again, it is {_full(theirs)}.")
        for suite in again.suites:
            self._pairs_again(again, suite, record, allowed)

    def _pairs_again(self, again: MeasuredAgain, suite: str, record: RunRecord | None, allowed: float) -> None:
        for report in (again.evidence.tuned_scores, again.evidence.base_scores):
            scores = report.suites.get(suite)
            if scores is None or scores.pairs is None or not scores.pairs.is_file():
                continue
            name = f"{report.model}/{suite}"
            kept = record.folder / "evaluation" / f"{name}.parquet" if record is not None else None
            if kept is not None and kept.is_file():
                difference = how_pairs_differ(kept, scores.pairs, 5 * allowed)
                if difference:
                    self._problem(f"evaluation/{name}.parquet", f"The scores of single rows do not hold: {difference}.")

    def figures(self, record: RunRecord | None, scratch: Path) -> None:
        """Figures that are drawn again from the records, or lie in the run's record; others are the run's word."""
        drawn = {figure.name: figure for figure in draw_own_figures(self.content, scratch)}
        if record is not None and self.record:
            for name in (figure_names(self.content) & self.facts.figures.keys()) - drawn.keys():
                if Path(name).name != name:
                    continue
                suite = name.removeprefix("gold-vs-predicted-")
                kept = record.folder / "tokens" / name if suite == name else record.folder / "evaluation/tuned" / suite
                if not kept.is_file() or sha256_of_file(kept) != self.facts.figures[name]:
                    self._problem(f"figures/{name}", "The figure is not the one in the run's record.")
        for name, digest in self.facts.figures.items():
            if name in drawn and sha256_of_file(drawn[name]) != digest:
                if name.endswith(".csv"):  # a table is the same whoever writes it
                    self._problem(f"figures/{name}", "The table is not the one that the records make.")
                    continue
                self.unknown_pictures.add(f"figures/{name} (drawn otherwise here)")
            elif name not in drawn and not self.record:
                self.unknown_pictures.add(f"figures/{name}")

    def result(self, folder: Path) -> VerifyResult:
        """Everything that was found."""
        compared = (self.measured | self.recorded) & self.by_name.keys()
        alone = Counter(name.partition(".")[0] for name in self.by_name if name not in compared)
        outcome: Outcome = "signed" if self.signed_by else "not compared"
        if any(name.startswith("tuned.") for name in compared):
            outcome = "holds"
        if self.problems:
            outcome = "does not hold"
        return VerifyResult(
            folder=folder, model=self.model, card=self.card, kind="stsflow", outcome=outcome,
            holds=outcome in ("holds", "signed"), problems=tuple(dict.fromkeys(self.problems)),
            signed_by=self.signed_by, added=tuple(self.added), measured=len(self.measured),
            recorded=len(self.recorded), compared=len(compared), record=self.record,
            not_compared=tuple(dict.fromkeys(self.not_compared)), unvouched=dict(sorted(alone.items())),
            unvouched_texts=(*(() if self.has_words else TEXTS), *sorted(self.unknown_pictures)),
            notes=tuple(self.notes),
        )  # fmt: skip

    def _tolerance(self) -> float:
        then = self.shipped.trained.environment
        now = versions() | hardware()
        same = all(then.get(key) == now.get(key) for key in ("torch", "processor"))
        return SAME_MACHINE if same else OTHER_MACHINE

    def _problem(self, place: str, message: str) -> None:
        self.problems.append(Problem(place, message))


TEXTS = (
    "title, description, authors, contact, languages, licences of base model and data",
    "titles, splits and sources of data sets and suites",
    "out-of-scope use, risks and recommendations of the recipe",
    "recipe, hyperparameters, losses, architecture text, training log and speed levers",
)
"""Texts of a card that only the run's record could vouch for. What is derived from them (the header, the conclusion on
licences, the sentences on limits) is written again from them and compared."""


def _read(path: Path) -> tuple[CardFacts, CardContent]:
    """The facts and the content of the card that they make; raises _Unreadable with one line."""
    if path.stat().st_size > LARGEST_FACTS:
        raise _Unreadable(f"it has more than {LARGEST_FACTS:,} bytes")
    try:
        facts = CardFacts.load(path)
        return facts, content_of(portable(facts.evidence))
    except Exception as error:  # records that contradict each other fail wherever the contradiction is met
        raise _Unreadable(str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def _refused(
    folder: Path, model: Path, card: Path, problems: Sequence[Problem], kind: Literal["stsflow", "foreign"] = "stsflow"
) -> VerifyResult:
    return VerifyResult(
        folder=folder, model=model, card=card, kind=kind, outcome="does not hold", holds=False,
        problems=tuple(problems),
    )  # fmt: skip


def locate(folder: Path) -> tuple[Path, Path]:
    """Model folder and card of `folder`."""
    if (folder / "card" / "README.md").is_file() and (folder / "model").is_dir():
        return folder / "model", folder / "card" / "README.md"
    if any((folder / name).is_file() for name in ("modules.json", "config.json", "model.safetensors")):
        return folder, folder / "README.md"
    if (folder / "README.md").is_file():
        return folder.parent / "model", folder / "README.md"
    raise PreconditionError(
        f"{folder} holds neither a model nor a card (README.md): give a model folder or a run's folder."
    )


def _agree(shipped: Fact, measured: Fact, allowed: float) -> bool:
    then, now = shipped.number, measured.number
    if then is None or now is None:
        return shipped.value == measured.value
    if shipped.form in ("score", "change"):
        return abs(then - now) <= allowed
    if shipped.form == "p_value":
        return abs(then - now) <= 0.01
    if shipped.id.endswith(".rows_needed"):
        return abs(then - now) <= max(1.0, 0.05 * then)
    return then == now


def _code(content: CardContent) -> tuple[str | None, ...]:
    return content.usage.sentence_transformers, content.usage.transformers, content.usage.prompts


def _text(fact: Fact | None) -> str:
    return "nothing" if fact is None else fact.text


def _full(fact: Fact | None) -> str:
    if fact is None:
        return "nothing"
    return fact.text if fact.number is None or fact.form == "count" else f"{fact.number:.6f}"
