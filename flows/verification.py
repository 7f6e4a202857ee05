"""`stsflow verify-card`: a card checked against the weights beside it, with the functions that wrote it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tasks.card.verify import VerifyResult, verify_card
from tasks.config import RunConfig
from tasks.data.build import digest_of_prepared, prepare_evaluation
from tasks.evaluation.compare import compare
from tasks.evaluation.run import evaluate_model
from tasks.records import PreparedData
from tasks.workspace import Workspace


def verify(folder: Path) -> VerifyResult:
    """What holds of the card in `folder`: every number and digest, measured again."""
    workspace = Workspace.here()

    def prepare(recipe: RunConfig) -> PreparedData:
        return prepare_evaluation(recipe.evaluation.suites, recipe.data.root, workspace)

    return verify_card(
        folder, workspace, evaluate=evaluate_model, compare=compare, digest_rows=digest_of_prepared, prepare=prepare
    )


def print_verification(result: VerifyResult, console: Console) -> None:
    """What does not hold, one line each; or that all of it holds."""
    for problem in result.problems:
        console.print(f"{problem.place}: {problem.message}", soft_wrap=True, markup=False)
    for note in result.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    verdict = "holds" if result.holds else f"does not hold: {len(result.problems)} problem(s)"
    console.print(f"{result.card}: {verdict}; {result.compared} numbers and digests compared", soft_wrap=True)
