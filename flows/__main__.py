"""The command `stsflow` (also `python -m flows`).

Every heavy import is inside a command, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tasks.errors import CheckFailed, StsflowError

if TYPE_CHECKING:
    from tasks.config import RunConfig

app = typer.Typer(
    name="stsflow",
    help="Fine-tune sentence-embedding models and ship them with evidence.",
    epilog="Exit codes: 0 done; 1 the run failed; 2 refused before work began; 3 a check that was asked for says no.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Recipe = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the recipe, such as training.epochs=2. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log everything, Prefect's own lines too.")]


@app.command(epilog="Example: stsflow run flows/recipes/demo.yaml --set training.epochs=2")
def run(
    recipe: Recipe,
    overrides: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Reuse nothing that an earlier run made.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Continue this unfinished run and no other.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Train with this many seeds, as nested runs.")] = 1,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train, evaluate, write the card and record all of it."""
    from flows.terminal import ERR, OUT, prepare_process

    prepare_process(verbose=verbose)
    config = _recipe(recipe, overrides)
    if resume and (fresh or seeds > 1):
        raise typer.BadParameter("--resume continues one run; it does not go with --fresh or --seeds")
    _end_on_sigterm()
    ERR.print(f"stsflow: {config.name}: {config.description}" if config.description else f"stsflow: {config.name}")
    if seeds > 1:
        from flows.seeds import finetune_with_seeds

        study = finetune_with_seeds(config, seeds=seeds, fresh=fresh)
        _print(study.model_dump(mode="json"), as_json, lambda: study.show(OUT))
        return
    from flows.finetune import finetune
    from flows.summary import print_summary

    summary = finetune(config, fresh=fresh, resume=resume)
    _print(summary.model_dump(mode="json"), as_json, lambda: print_summary(summary, OUT))


@app.command(epilog="Example: stsflow plan flows/recipes/gte-multilingual-korean.yaml --no-probe")
def plan(
    recipe: Recipe,
    overrides: Overrides = None,
    probe: Annotated[bool, typer.Option("--probe/--no-probe", help="Run a few real steps to forecast time and memory.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 on warnings too.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say what a recipe will really do, before anything is trained."""
    from flows.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    config = _recipe(recipe, overrides)
    from flows.planning import plan_recipe
    from tasks.plan.report import print_plan

    report = plan_recipe(config, probe=probe)
    _print(report.model_dump(mode="json"), as_json, lambda: print_plan(report, OUT))
    severities = {finding.severity for finding in report.findings}
    if "error" in severities or (strict and "warning" in severities):
        raise typer.Exit(2)


@app.command(epilog="Example: stsflow evaluate .stsflow/runs/demo-1a2b3c4d-001/model --recipe flows/recipes/demo.yaml")
def evaluate(
    model: Annotated[str, typer.Argument(help="A folder, a hub id (with --revision) or models:/name@alias.", show_default=False)],
    recipe: Annotated[Path | None, typer.Option("--recipe", help="Evaluate on the suites of this recipe.")] = None,
    overrides: Overrides = None,
    data: Annotated[Path | None, typer.Option("--data", help="Evaluate on the scored pairs in this file.")] = None,
    columns: Annotated[
        tuple[str, str, str], typer.Option("--columns", metavar="SENTENCE1 SENTENCE2 SCORE", help="Its columns.")
    ] = ("sentence1", "sentence2", "score"),
    score_range: Annotated[
        tuple[float, float], typer.Option("--score-range", metavar="LOW HIGH", help="Its lowest and highest score.")
    ] = (0.0, 5.0),
    quoting: Annotated[str, typer.Option("--quoting", help="none or minimal, for tsv and csv.")] = "none",
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub model.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure a finished model on suites or on a file."""
    from flows.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    if (recipe is None) == (data is None):
        raise typer.BadParameter("give either --recipe RECIPE or --data FILE")
    from flows.evaluation import evaluate_on_file, evaluate_on_recipe, print_report

    if recipe is not None:
        report = evaluate_on_recipe(model, _recipe(recipe, overrides), revision=revision)
    else:
        assert data is not None
        report = evaluate_on_file(model, data, columns, score_range, quoting=quoting, revision=revision)
    _print(report.model_dump(mode="json"), as_json, lambda: print_report(report, OUT))


@app.command("verify-card", epilog="Example: stsflow verify-card .stsflow/runs/demo-1a2b3c4d-001/model")
def verify_card(
    folder: Annotated[Path, typer.Argument(help="A run's folder or a model's folder.", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check every number of a model card against the weights beside it."""
    from flows.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    from flows.verification import print_verification, verify

    result = verify(folder)
    _print(result.model_dump(mode="json"), as_json, lambda: print_verification(result, OUT))
    if not result.holds:
        raise typer.Exit(CheckFailed.exit_code)


@app.command(epilog="Example: stsflow promote stsflow-demo --rollback")
def promote(
    name: Annotated[str, typer.Argument(help="Name of the registered model.", show_default=False)],
    rollback: Annotated[bool, typer.Option("--rollback", help="Make the previous champion champion again.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail.")] = "",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Decide on the candidate by its recipe's rules, or go back to the previous champion."""
    from flows.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    from flows.promotion import print_promotion, promote_candidate, roll_back

    result = roll_back(name, reason) if rollback else promote_candidate(name, reason)
    _print(result.model_dump(mode="json"), as_json, lambda: print_promotion(result, OUT))
    if not result.promoted:
        raise typer.Exit(CheckFailed.exit_code)


@app.command(epilog="Example: stsflow sync demo-1a2b3c4d-001")
def sync(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Folder name or MLflow run id.", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Complete the MLflow record of a run whose tracker was away."""
    from flows.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    from flows.sync import sync_run

    result = sync_run(name)
    _print(result, as_json, lambda: OUT.print(f"{result['run']}: {result['sent']} of {result['entries']} entries are in MLflow"))


@app.command(epilog="Example: stsflow schema > recipe.schema.json")
def schema() -> None:
    """Print the JSON Schema of recipes."""
    from tasks.config import RunConfig

    print(json.dumps(RunConfig.model_json_schema(), indent=2, ensure_ascii=False))


def main() -> NoReturn:
    """Run the command; a mistake of the user is one message on standard error, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except StsflowError as error:
        print(f"stsflow: {error.message}", file=sys.stderr)
        code = error.exit_code
    except typer.Exit as ending:
        code = ending.exit_code
    except typer.Abort:
        code = 130
    except KeyboardInterrupt:
        print("stsflow: stopped; what was done is kept, and the same command continues it", file=sys.stderr)
        code = 130
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        error.show()  # click's own usage errors print the usage and the sentence
        code = getattr(error, "exit_code", 2)
    sys.exit(code or 0)


def _recipe(path: Path, overrides: list[str] | None) -> RunConfig:
    from tasks.config import RunConfig

    return RunConfig.from_recipe(path, tuple(overrides or ()))


def _print(result: dict[str, Any], as_json: bool, show: Any) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False, default=str))
    else:
        show()


def _end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that the trainer is ended and the record says cancelled."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


if __name__ == "__main__":
    main()
