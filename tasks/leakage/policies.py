"""Leakage between training and evaluation sets, and contradictions inside a set: found, reported, dropped or refused.

With `normalise`, a shared sentence or pair is one that is equal after normalisation (which includes equal exactly);
policies and clean rows go by that. Without it they go by exact equality. Near-duplicates have a policy of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.files import folder_made_whole, write_text_atomically
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.leakage.overlap import (
    Links,
    Sentences,
    Shared,
    count_shared,
    counts_by_level,
    links_by_level,
    read_sentences,
)
from stsflow.tasks.leakage.repeats import find_repeats
from stsflow.tasks.leakage.suites_apart import findings_of_suites, overlaps_of_suites
from stsflow.tasks.recipe.sections import LeakageConfig, Policy
from stsflow.tasks.records.data import Overlap, PreparedSet, SuiteOverlap
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.sets.rows import read_rows, write_rows
from stsflow.tasks.sets.spilled import rows_kept
from stsflow.tasks.shapes import Shape


class LeakageResult(Record):
    """The sets after the policies, and what was found."""

    train: tuple[PreparedSet, ...]
    """Training sets; one that lost rows has another folder, digest and counts."""
    evaluation: tuple[PreparedSet, ...]
    """Evaluation sets, `clean_rows` filled in."""
    overlaps: tuple[Overlap, ...]
    """What the training sets, as they are handed on, share with the evaluation sets."""
    suite_overlaps: tuple[SuiteOverlap, ...]
    """What the evaluation sets share with each other."""
    findings: tuple[Finding, ...]
    """What was found before anything was dropped."""


@dataclass
class _Checked:
    """One training set while it is looked at: its sentences, links to each evaluation set, rows to drop by reason."""

    data: PreparedSet
    sentences: Sentences
    links: dict[str, dict[str, Links]] = field(default_factory=dict)
    """By evaluation set, then by level: exact, normalised, near."""
    drops: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Rows that no policy drops."""
        dropped = np.zeros(len(self.sentences.numbers), bool)
        for rows in self.drops.values():
            dropped |= rows
        return ~dropped

    def drop(self, reason: str, rows: NDArray[np.bool_]) -> None:
        """Mark `rows` to be dropped for `reason`."""
        self.drops[reason] = self.drops.get(reason, np.zeros(len(rows), bool)) | rows


@dataclass
class _Verdicts:
    """What was found so far, and for what the data are refused."""

    config: LeakageConfig
    findings: list[Finding] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def say(
        self, severity: Literal["info", "warning"], name: str, subject: str, message: str, numbers: dict[str, float],
        remedy: str = "",
    ) -> None:  # fmt: skip
        """Report it."""
        self.findings.append(
            Finding(
                severity=severity, code=f"leakage.{name}", subject=subject, message=message, remedy=remedy,
                numbers=numbers,
            )
        )  # fmt: skip

    def decide(
        self, policy: Policy, name: str, message: str, remedy: str, numbers: dict[str, float], one: _Checked,
        rows: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Refuse, drop or report `rows` of a training set, as the policy of `name` says."""
        if policy == "refuse":
            self.refusals.append(f"{message} data.leakage.{name} is `refuse`; allowed: report, drop, refuse.")
            return
        numbers = numbers | {"training_rows": float(rows.sum())}
        if policy == "drop":
            one.drop(name, rows)
            message = f"{message} {int(rows.sum()):,} training rows were dropped."
            self.say("info", name, one.data.name, message, numbers)
        else:
            self.say("warning", name, one.data.name, message, numbers, remedy)


def check_leakage(
    train: Sequence[PreparedSet], evaluation: Sequence[PreparedSet], config: LeakageConfig, folder: Path
) -> LeakageResult:
    """Compare every training set with every evaluation set and with itself, and do what `config` says.

    Writes into `folder`: `<set>/` (Arrow) for each training set that loses rows, `clean-rows/<set>.json` for each
    evaluation set. Raises DataError, before it writes anything, when a policy is `refuse` and there is something to
    refuse, or when dropping would leave a training set empty.
    """
    verdicts = _Verdicts(config)
    checked = [_Checked(data, read_sentences(data)) for data in train]
    sides = {data.name: read_sentences(data) for data in evaluation}
    for one in checked:
        _check_inside(one.data, one.sentences, verdicts, one)
        for data in evaluation:
            one.links[data.name] = links_by_level(one.sentences, sides[data.name], config)
            _check_between(one, data, verdicts)
    for data in evaluation:
        _check_inside(data, sides[data.name], verdicts, None)
    if verdicts.refusals:
        raise DataError(" ".join(verdicts.refusals))
    for one in checked:
        if not one.kept.any():
            reasons = ", ".join(f"{reason}: {count:,}" for reason, count in _counted_once(one.drops).items())
            raise DataError(
                f"data.leakage would drop every row of training set {one.data.name} ({reasons}); set the policy to "
                "`report`, or use other data."
            )
    suite_overlaps = overlaps_of_suites(sides, config)
    return LeakageResult(
        train=tuple(_rewritten(one, folder) for one in checked),
        evaluation=tuple(_with_clean_rows(data, checked, folder) for data in evaluation),
        overlaps=tuple(_overlap(one, data) for one in checked for data in evaluation),
        suite_overlaps=suite_overlaps,
        findings=(*verdicts.findings, *findings_of_suites(suite_overlaps)),
    )


def _overlap(one: _Checked, data: PreparedSet) -> Overlap:
    counts = counts_by_level(one.links[data.name], one.sentences, one.kept)
    return Overlap(train=one.data.name, evaluation=data.name, **counts)


# ------------------------------------------------------------------------------------------- between two sets


def _check_between(one: _Checked, data: PreparedSet, verdicts: _Verdicts) -> None:
    config, everything = verdicts.config, np.ones(len(one.sentences.numbers), bool)
    levels = one.links[data.name]
    shared = {level: count_shared(links, one.sentences, everything) for level, links in levels.items()}
    deciding = shared.get("normalised", shared["exact"])
    numbers = {
        f"{level}_{count}": float(getattr(found.counts, count))
        for level, found in shared.items()
        for count in ("pairs", "sentences", "rows", "of_rows")
    }

    def decide(policy: Policy, name: str, message: str, rows: NDArray[np.bool_]) -> None:
        remedy = f"Set data.leakage.{name}: drop, or go by the scores on the clean rows."
        verdicts.decide(policy, name, message, remedy, numbers, one, rows)

    between = f"{one.data.name} (training) and {data.name} (evaluation)"
    if deciding.counts.pairs:
        message = (
            f"{between} share {_exact_and_normalised(shared, 'pairs')} identical pairs, "
            f"in {int(deciding.train_pairs.sum()):,} training rows."
        )
        decide(config.shared_pairs, "shared_pairs", message, deciding.train_pairs)
    if deciding.counts.rows:
        message = (
            f"{between} share {_exact_and_normalised(shared, 'sentences')} sentences: they stand in "
            f"{int(deciding.train_rows.sum()):,} training rows and touch {_exact_and_normalised(shared, 'rows')} of "
            f"{deciding.counts.of_rows:,} evaluation rows."
        )
        decide(config.shared_sentences, "shared_sentences", message, deciding.train_rows)
    near = shared.get("near")
    if near is not None and near.counts.rows:
        message = (
            f"{near.counts.sentences:,} sentences of {data.name} (evaluation) are equal or nearly equal (character "
            f"bigrams, Jaccard similarity from {config.near_duplicate_threshold:g}) to one of {one.data.name} "
            f"(training): they touch {near.counts.rows:,} of {near.counts.of_rows:,} evaluation rows."
        )
        policy: Policy = "report" if config.near_duplicates == "off" else config.near_duplicates
        decide(policy, "near_duplicates", message, near.train_rows)


def _exact_and_normalised(shared: dict[str, Shared], count: str) -> str:
    exact = getattr(shared["exact"].counts, count)
    if "normalised" not in shared:
        return f"{exact:,}"
    return f"{exact:,} ({getattr(shared['normalised'].counts, count):,} after normalisation)"


# --------------------------------------------------------------------------------------------- inside one set


def _check_inside(data: PreparedSet, sentences: Sentences, verdicts: _Verdicts, one: _Checked | None) -> None:
    """Repeats of a set; policies apply to a training set (`one`), an evaluation set is only reported on."""
    repeats = find_repeats(sentences)
    total = len(sentences.numbers)
    contradiction = "more than one score" if sentences.scores is not None else "both roles, positive and negative"
    found = (
        ("duplicate_rows", int(repeats.duplicates.sum()), repeats.duplicates,
         f"{data.name}: {int(repeats.duplicates.sum()):,} of {total:,} rows repeat an earlier row."),
        ("conflicting_scores", repeats.conflicting_pairs, repeats.conflicts,
         f"{data.name}: {repeats.conflicting_pairs:,} unordered pairs have {contradiction}, "
         f"in {int(repeats.conflicts.sum()):,} of {total:,} rows."),
    )  # fmt: skip
    for name, count, rows, message in found:
        if not count:
            continue
        numbers = {name: float(count), "rows": float(total)}
        if one is None:
            verdicts.say("info", name, data.name, message, numbers)
        else:
            policy: Policy = getattr(verdicts.config, name)
            verdicts.decide(policy, name, message, f"Set data.leakage.{name}: drop.", numbers, one, rows)
    if identical := int(repeats.identical_sides.sum()):
        message = f"{data.name}: {identical:,} of {total:,} rows have the same sentence in two columns."
        verdicts.say("info", "identical_sides", data.name, message, {"identical": float(identical)})


# ------------------------------------------------------------------------------------------------ what is kept


def _rewritten(one: _Checked, folder: Path) -> PreparedSet:
    """The set without its dropped rows, in a new folder; the set itself when nothing is dropped."""
    kept = int(one.kept.sum())
    if kept == one.data.rows:
        return one.data
    path = folder / one.data.name
    with folder_made_whole(path) as temporary:
        digest = write_rows(rows_kept(read_rows(one.data), one.kept), temporary)
    counts = one.data.counts
    counted = _counted_once(one.drops)
    # A raw row is not a shaped one: what leaves a shaped set there is a note, or the raw rows would not add up.
    changed = (
        {"notes": counts.notes | {f"shaped_rows_dropped_{reason}": count for reason, count in counted.items()}}
        if not Shape.of(one.data.shape).row_for_row
        else {"dropped": counts.dropped | counted}
    )
    counts = counts.model_copy(update=changed | {"kept": kept})
    return one.data.model_copy(update={"path": path, "digest": digest, "rows": kept, "counts": counts})


def _counted_once(drops: dict[str, NDArray[np.bool_]]) -> dict[str, int]:
    """Rows by the first reason that drops them."""
    counted: dict[str, int] = {}
    gone = np.zeros(1, bool)
    for reason, rows in drops.items():
        if count := int((rows & ~gone).sum()):
            counted[reason] = count
        gone = gone | rows
    return counted


def _with_clean_rows(data: PreparedSet, checked: Sequence[_Checked], folder: Path) -> PreparedSet:
    """The evaluation set with the list of rows that share no sentence with any training set as it is handed on."""
    touched = np.zeros(data.rows, bool)
    for one in checked:
        levels = one.links[data.name]
        deciding = levels.get("normalised", levels["exact"])
        touched |= count_shared(deciding, one.sentences, one.kept).evaluation_rows
    path = write_text_atomically(
        folder / "clean-rows" / f"{data.name}.json", json.dumps(np.flatnonzero(~touched).tolist())
    )
    return data.model_copy(update={"clean_rows": path})
