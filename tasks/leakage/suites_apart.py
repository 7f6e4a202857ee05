"""What evaluation sets share with each other: what stands in the suite that chooses the checkpoint is not unseen.

Found and counted in every sense of equality that training overlap is. A suite that stands for unseen texts (the
headline, a test split, a guard, what a promotion rule compares on) and holds pairs of the choosing suite is refused,
unless the recipe says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np

from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.leakage.overlap import Sentences, counts_by_level, links_by_level
from stsflow.tasks.recipe.sections import LeakageConfig, RunConfig
from stsflow.tasks.records.data import PreparedData, SuiteOverlap
from stsflow.tasks.records.findings import Finding


def overlaps_of_suites(sides: Mapping[str, Sentences], config: LeakageConfig) -> tuple[SuiteOverlap, ...]:
    """Each ordered pair of suites that share a sentence, counted from the side of the second."""
    found = []
    for first, second in permutations(sides, 2):
        everything = np.ones(len(sides[first].numbers), bool)
        levels = links_by_level(sides[first], sides[second], config)
        overlap = SuiteOverlap(first=first, second=second, **counts_by_level(levels, sides[first], everything))
        if overlap.widest[1].rows:
            found.append(overlap)
    return tuple(found)


def findings_of_suites(overlaps: tuple[SuiteOverlap, ...]) -> list[Finding]:
    """One finding for each two suites that share a sentence."""
    findings: dict[frozenset[str], Finding] = {}
    for overlap in overlaps:
        how, counts = overlap.widest
        message = (
            f"{overlap.second} and {overlap.first} (both evaluation) share {counts.sentences:,} sentences ({how}): "
            f"{counts.rows:,} of {counts.of_rows:,} rows of {overlap.second} hold one, {counts.pairs:,} of its pairs "
            f"are pairs of {overlap.first} too."
        )
        finding = Finding(
            severity="info", code="leakage.suites", subject=overlap.second, message=message,
            numbers={name: float(getattr(counts, name)) for name in ("pairs", "sentences", "rows", "of_rows")},
        )  # fmt: skip
        findings.setdefault(frozenset((overlap.first, overlap.second)), finding)
    return list(findings.values())


def check_suites_apart(recipe: RunConfig, data: PreparedData) -> None:
    """Raise DataError for a suite that shares pairs with the one that chooses the checkpoint, and no word why."""
    choosing = {recipe.choosing_suite or "": "checkpoint"}
    if recipe.release.merge is not None:
        choosing = {recipe.merging_choice[0]: "weight of the merged model"} | choosing
    for overlap in data.suite_overlaps:
        if overlap.first not in choosing or overlap.second not in _unseen(recipe) - choosing.keys():
            continue
        counts = overlap.equal
        if counts.pairs and overlap.second not in recipe.evaluation.explained_overlap:
            raise DataError(
                f"evaluation.suites.{overlap.second}: {counts.pairs:,} of its pairs are pairs of {overlap.first} too, "
                f"which chooses the {choosing[overlap.first]}, and {counts.rows:,} of its {counts.of_rows:,} rows "
                f"share a sentence with it: its score would not be one on unseen texts. Take other rows, or say in "
                f"evaluation.explained_overlap.{overlap.second} why that is accepted; the card repeats it."
            )


def _unseen(recipe: RunConfig) -> set[str]:
    """Suites whose score is given out as one on texts that chose nothing."""
    named = {recipe.headline_suite}
    named |= {name for name, suite in recipe.evaluation.suites.items() if suite.split == "test"}
    named |= {name for rule in recipe.release.rules for name in rule.suites_named} | recipe.guards.keys()
    return named
