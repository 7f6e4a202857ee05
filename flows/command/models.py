"""`stsflow evaluate`, `verify-card`, `sign-card`, `drift`, `promote` and `push`: what becomes of a finished model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stsflow.flows.command.shared import Json, Overrides, Verbose, print_result, read_recipe
from stsflow.tasks.ground.errors import CheckFailed

commands = typer.Typer()


@commands.command(
    epilog="Example: stsflow evaluate .stsflow/runs/demo-1a2b3c4d-001/model --recipe flows/recipes/demo.yaml"
)
def evaluate(
    model: Annotated[
        str, typer.Argument(help="A folder, a hub id (with --revision) or models:/name@alias.", show_default=False)
    ],
    recipe: Annotated[Path | None, typer.Option("--recipe", help="Evaluate on the suites of this recipe.")] = None,
    overrides: Overrides = None,
    data: Annotated[Path | None, typer.Option("--data", help="Evaluate on the scored pairs in this file.")] = None,
    columns: Annotated[
        tuple[str, str, str], typer.Option("--columns", metavar="SENTENCE1 SENTENCE2 SCORE", help="Its columns.")
    ] = ("sentence1", "sentence2", "score"),
    score_range: Annotated[
        tuple[float, float], typer.Option("--score-range", metavar="LOW HIGH", help="Its lowest and highest score.")
    ] = (0.0, 5.0),
    quoting: Annotated[
        str, typer.Option("--quoting", help="tsv and csv: auto, none (quotes are text) or minimal (RFC 4180).")
    ] = "auto",
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="tsv and csv: the character between fields.")
    ] = None,
    decimal: Annotated[str, typer.Option("--decimal", help="tsv and csv: the decimal mark, . or ,")] = ".",
    encoding: Annotated[str, typer.Option("--encoding", help="Its text encoding.")] = "utf-8",
    positional: Annotated[
        str, typer.Option("--positional", metavar="NAME,NAME,…", help="It has no header: its columns, left to right.")
    ] = "",
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub model.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure a finished model on suites or on a file."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    if (recipe is None) == (data is None):
        raise typer.BadParameter("give either --recipe RECIPE or --data FILE")
    from stsflow.flows.evaluate import evaluate_on_file, evaluate_on_recipe, print_report

    if recipe is not None:
        report = evaluate_on_recipe(model, read_recipe(recipe, overrides), revision=revision)
    else:
        assert data is not None
        reading = {"quoting": quoting, "decimal": decimal, "encoding": encoding}
        report = evaluate_on_file(
            model, data, columns, score_range, positional=tuple(positional.split(",")) if positional else (),
            revision=revision, **(reading if delimiter is None else reading | {"delimiter": delimiter}),
        )  # fmt: skip
    print_result(report, as_json, lambda: print_report(report, OUT))


@commands.command("verify-card", epilog="Example: stsflow verify-card .stsflow/runs/demo-1a2b3c4d-001/model")
def verify_card(
    folder: Annotated[
        str, typer.Argument(help="A run's folder, a model's folder or models:/name@alias.", show_default=False)
    ],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="ROOT", help="Folder that holds the data files of the card's run.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="A recipe of yours that says where data and base model are.")
    ] = None,
    signed_by: Annotated[
        str | None,
        typer.Option(
            "--signed-by", metavar="PUBLIC_KEY", help="Whose signature must hold: a minisign.pub, or its text."
        ),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check a model card: its text against its records, its numbers against the weights, the data and the run."""
    from stsflow.flows.command.terminal import OUT, prepare_process
    from stsflow.tasks.ground.workspace import Workspace

    # A card is checked where it lies: no workspace is made for it.
    prepare_process(verbose=verbose, writes=folder.startswith("models:/") or Workspace.here().root.exists())
    if data is not None and not data.is_dir():
        raise typer.BadParameter(f"--data {data}: there is no such folder")
    from stsflow.flows.verify_card import print_verification, verify

    own = read_recipe(recipe) if recipe is not None else None
    result = verify(folder, data=data, recipe=own, signed_by=signed_by)
    print_result(result, as_json, lambda: print_verification(result, OUT))
    if not result.holds:
        raise typer.Exit(CheckFailed.exit_code)


@commands.command(
    "sign-card", epilog="Example: stsflow sign-card .stsflow/runs/demo-1a2b3c4d-001 --key ~/.minisign/minisign.key"
)
def sign_card(
    folder: Annotated[Path, typer.Argument(help="A run's folder or a model's folder.", show_default=False)],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="Secret key of minisign; default: the one STSFLOW_SIGNING_KEY names."
        ),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Sign a model with its card: every file of the model's folder, in minisign's format."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose, writes=False)
    from stsflow.flows.sign_card import ask_for_password, print_signed, sign_folder

    signed = sign_folder(folder, key, ask_for_password)
    print_result(signed, as_json, lambda: print_signed(signed, OUT))


@commands.command(epilog="Example: stsflow drift models:/demo@champion --texts week.jsonl --recipe demo.yaml")
def drift(
    model: Annotated[
        str, typer.Argument(help="A folder, models:/name@alias or models:/name/version.", show_default=False)
    ],
    texts: Annotated[
        list[str] | None,
        typer.Option("--texts", metavar="PLACE", help="A file, a folder or an address of texts. Repeatable."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="PLACE", help="An earlier window, in place of training's texts. Repeatable."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="The recipe that the model was trained by: its data, its `drift`.")
    ] = None,
    overrides: Overrides = None,
    column: Annotated[str | None, typer.Option("--column", help="Column of the text; default: text.")] = None,
    level: Annotated[
        float | None, typer.Option("--level", help="Chance of a false alarm, all measures together; default: 0.01.")
    ] = None,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit with 3 when retraining is due.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say whether the texts that a model meets are still those that it was trained on."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    from stsflow.flows.drift import drift_of, print_drift

    own = read_recipe(recipe, overrides) if recipe is not None else None
    report = drift_of(model, texts or [], against or [], own, column=column, level=level)
    result = report.model_dump(mode="json") | {"due": report.due, "verdict": report.verdict}
    print_result(result, as_json, lambda: print_drift(report, OUT))
    if fail_on_drift and report.due:
        raise typer.Exit(CheckFailed.exit_code)


@commands.command(epilog='Example: stsflow promote stsflow-demo --rollback --reason "slow in production"')
def promote(
    name: Annotated[str, typer.Argument(help="Name of the registered model.", show_default=False)],
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Make the previous champion champion again; the present one stays out.")
    ] = False,
    rejected: Annotated[bool, typer.Option("--reject", help="Turn the candidate down; its weights stay out.")] = False,
    readmitted: Annotated[
        str | None,
        typer.Option(
            "--readmit", metavar="VERSION", help="Let in what was turned down (a version, or a digest of its weights)."
        ),
    ] = None,
    approved: Annotated[
        bool, typer.Option("--approve", help="Say yes to the candidate that waits for it (release.approval).")
    ] = False,
    refused: Annotated[
        bool, typer.Option("--refuse", help="Say no to the candidate that waits; its weights stay out.")
    ] = False,
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who answers; default: the user's name here.")] = "",
    because: Annotated[str, typer.Option("--because", metavar="WHY", help="Why; an answer needs a reason.")] = "",
    history: Annotated[
        bool, typer.Option("--history", help="Show what was decided, and how much evidence the test sets still hold.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail.")] = "",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Decide on the candidate by its recipe's rules, or say what a person decides: yes, no, back, out, or in again."""
    from stsflow.flows.command.terminal import ERR, OUT, prepare_process
    from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
    from stsflow.tasks.ground.names import MODEL

    if rollback + rejected + approved + refused + (readmitted is not None) + history > 1:
        raise typer.BadParameter("give one of --approve, --refuse, --rollback, --reject, --readmit and --history")
    answered = approved or refused
    if answered and not because.strip():
        raise typer.BadParameter("an answer needs a reason: --because WHY")
    if (by or because) and not answered:
        raise typer.BadParameter("--by and --because go with --approve or --refuse; others take --reason")
    MODEL.check("promote", name)
    prepare_process(verbose=verbose)
    if history:
        from stsflow.flows.history import history_of, print_history

        told = history_of(name)
        print_result(told, as_json, lambda: print_history(told, OUT))
        return
    start_embedded_server()
    from stsflow.flows.promote import (
        answer_for,
        let_in_again,
        print_promotion,
        promote_candidate,
        reject_candidate,
        roll_back,
        show_waiting,
    )

    wait_for_embedded_server()
    if answered:
        show_waiting(name, ERR)
        result = answer_for(name, approved, by.strip(), because.strip())
    elif rollback:
        result = roll_back(name, reason)
    elif rejected:
        result = reject_candidate(name, reason)
    elif readmitted is not None:
        result = let_in_again(name, readmitted, reason)
    else:
        result = promote_candidate(name, reason)
    print_result(result, as_json, lambda: print_promotion(result, OUT))
    asked_to_decide = not (rollback or rejected or readmitted or answered)
    if asked_to_decide and not result.promoted:
        raise typer.Exit(CheckFailed.exit_code)


@commands.command(epilog="Example: stsflow push models:/stsflow-demo@champion --repo acme/stsflow-demo")
def push(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_MODEL", help="A run of this workspace, or models:/name@champion.", show_default=False
        ),
    ],
    repo: Annotated[
        str | None,
        typer.Option("--repo", metavar="OWNER/NAME", help="Where to; default: as the recipe says, or as before."),
    ] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="Push to this branch, made when missing.")] = None,
    pull_request: Annotated[
        bool | None, typer.Option("--pull-request/--no-pull-request", help="Open a pull request.")
    ] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Who may see a repository that is made; default: private.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Push a champion to the Hugging Face hub; only what is new or changed is sent. The token comes from HF_TOKEN."""
    from stsflow.flows.command.terminal import OUT, prepare_process
    from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
    from stsflow.tasks.ground.names import BRANCH, HUB_REPOSITORY

    if repo is not None:
        HUB_REPOSITORY.check("--repo", repo)
    if branch is not None:
        BRANCH.check("--branch", branch)
    if branch and pull_request:
        raise typer.BadParameter("give one of --branch and --pull-request")
    prepare_process(verbose=verbose)
    start_embedded_server()
    from stsflow.flows.push import print_push, push_by_hand

    wait_for_embedded_server()
    result = push_by_hand(what, repo=repo, branch=branch, pull_request=pull_request, private=private)
    print_result(result, as_json, lambda: print_push(result, OUT))
