"""The command `stsflow` (also `python -m stsflow.flows`).

Every heavy import is inside a command, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from stsflow.tasks.ground.errors import CheckFailed, PreconditionError, StsflowError

if TYPE_CHECKING:
    from stsflow.tasks.recipe.sections import RunConfig

INTERRUPTED = 130

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
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Replace a value of the recipe, such as training.epochs=2. Repeatable."
    ),
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
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=1000, help="Train with this many seeds, as nested runs.")
    ] = 1,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train, evaluate, write the card and record all of it."""
    from stsflow.flows.command.terminal import ERR, OUT, prepare_process, require_room
    from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
    from stsflow.tasks.ground.schema import LARGEST_SEED
    from stsflow.tasks.ground.workspace import Workspace

    prepare_process(verbose=verbose)
    config = _recipe(recipe, overrides)
    if resume and (fresh or seeds > 1):
        raise typer.BadParameter("--resume continues one run; it does not go with --fresh or --seeds")
    if config.training.seed + seeds - 1 > LARGEST_SEED:
        raise typer.BadParameter(
            f"--seeds {seeds}: training.seed + {seeds - 1} is above {LARGEST_SEED}, the largest seed"
        )
    require_room(Workspace.here())
    _end_on_sigterm()
    start_embedded_server()
    ERR.print(f"stsflow: {config.name}: {config.description}" if config.description else f"stsflow: {config.name}")
    from stsflow.flows.left_running import cancelled_when_stopped
    from stsflow.tasks.tracking.store import Store

    Store(Workspace.here())  # MLflow keeps what it opens: done here, it costs nothing while Prefect's server gets ready

    with cancelled_when_stopped(Workspace.here()):
        if seeds > 1:
            from stsflow.flows.seeds import finetune_with_seeds

            wait_for_embedded_server()
            study = finetune_with_seeds(config, seeds=seeds, fresh=fresh)
            _print(study.model_dump(mode="json"), as_json, lambda: study.show(OUT))
            return
        from stsflow.flows.command.summary import print_summary
        from stsflow.flows.finetune import finetune

        wait_for_embedded_server()
        summary = finetune(config, fresh=fresh, resume=resume)
        _print(summary.model_dump(mode="json"), as_json, lambda: print_summary(summary, OUT))


@app.command(epilog="Example: stsflow plan flows/recipes/gte-multilingual-korean.yaml --no-probe")
def plan(
    recipe: Recipe,
    overrides: Overrides = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Run a few real steps to forecast time and memory.")
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 on warnings too.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say what a recipe will really do, before anything is trained."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    config = _recipe(recipe, overrides)
    from stsflow.flows.plan import plan_recipe
    from stsflow.tasks.plan.report import print_plan

    report = plan_recipe(config, probe=probe)
    _print(report.model_dump(mode="json"), as_json, lambda: print_plan(report, OUT))
    severities = {finding.severity for finding in report.findings}
    if "error" in severities or (strict and "warning" in severities):
        raise typer.Exit(2)


@app.command(epilog="Example: stsflow evaluate .stsflow/runs/demo-1a2b3c4d-001/model --recipe flows/recipes/demo.yaml")
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
        report = evaluate_on_recipe(model, _recipe(recipe, overrides), revision=revision)
    else:
        assert data is not None
        reading = {"quoting": quoting, "decimal": decimal, "encoding": encoding}
        report = evaluate_on_file(
            model, data, columns, score_range, positional=tuple(positional.split(",")) if positional else (),
            revision=revision, **(reading if delimiter is None else reading | {"delimiter": delimiter}),
        )  # fmt: skip
    _print(report.model_dump(mode="json"), as_json, lambda: print_report(report, OUT))


@app.command("verify-card", epilog="Example: stsflow verify-card .stsflow/runs/demo-1a2b3c4d-001/model")
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
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check a model card: its text against its records, its numbers against the weights, the data and the run."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    if data is not None and not data.is_dir():
        raise typer.BadParameter(f"--data {data}: there is no such folder")
    from stsflow.flows.verify_card import print_verification, verify

    result = verify(folder, data=data, recipe=_recipe(recipe, None) if recipe is not None else None)
    _print(result.model_dump(mode="json"), as_json, lambda: print_verification(result, OUT))
    if not result.holds:
        raise typer.Exit(CheckFailed.exit_code)


@app.command(epilog='Example: stsflow promote stsflow-demo --rollback --reason "slow in production"')
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
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail.")] = "",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Decide on the candidate by its recipe's rules, or say what a person decides: back, out, or in again."""
    from stsflow.flows.command.terminal import OUT, prepare_process
    from stsflow.flows.ops.embedded_prefect import start_embedded_server, wait_for_embedded_server
    from stsflow.tasks.ground.names import MODEL

    if rollback + rejected + (readmitted is not None) > 1:
        raise typer.BadParameter("give one of --rollback, --reject and --readmit")
    MODEL.check("promote", name)
    prepare_process(verbose=verbose)
    start_embedded_server()
    from stsflow.flows.promote import let_in_again, print_promotion, promote_candidate, reject_candidate, roll_back

    wait_for_embedded_server()
    if rollback:
        result = roll_back(name, reason)
    elif rejected:
        result = reject_candidate(name, reason)
    elif readmitted is not None:
        result = let_in_again(name, readmitted, reason)
    else:
        result = promote_candidate(name, reason)
    _print(result.model_dump(mode="json"), as_json, lambda: print_promotion(result, OUT))
    asked_to_decide = not (rollback or rejected or readmitted)
    if asked_to_decide and not result.promoted:
        raise typer.Exit(CheckFailed.exit_code)


@app.command(epilog="Example: stsflow sync demo-1a2b3c4d-001")
def sync(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Folder name or MLflow run id.", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Complete the MLflow record of a run whose tracker was away."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    from stsflow.flows.sync import sync_run

    result = sync_run(name)
    _print(
        result,
        as_json,
        lambda: OUT.print(f"{result['run']}: {result['sent']} of {result['entries']} entries are in MLflow"),
    )


@app.command(epilog="Example: stsflow schema > recipe.schema.json")
def schema() -> None:
    """Print the JSON Schema of recipes."""
    from stsflow.tasks.recipe.sections import RunConfig

    print(json.dumps(RunConfig.model_json_schema(), indent=2, ensure_ascii=False))


Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]


@app.command(epilog="Example: stsflow up --pool cpu --worker-limit 2")
def up(
    host: Host = "127.0.0.1",
    prefect_port: Annotated[
        int | None, typer.Option("--prefect-port", min=1, max=65_535, help="Default: 4200, else a free one.")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option("--mlflow-port", min=1, max=65_535, help="Default: 5000, else a free one.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="PostgreSQL server; default: SQLite, or STSFLOW_DATABASE_URL.")
    ] = None,
    artifacts: Annotated[
        str | None, typer.Option("--artifacts", help="Artifact store, such as s3://bucket/path.")
    ] = None,
    pool: Annotated[
        list[str] | None, typer.Option("--pool", help="Work pool to start a worker for. Repeatable.")
    ] = None,
    worker_limit: Annotated[
        int, typer.Option("--worker-limit", min=1, max=1000, help="Runs that a worker takes at once.")
    ] = 4,
    allowed_host: Annotated[
        list[str] | None, typer.Option("--allowed-host", help="Further Host header. Repeatable.")
    ] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option("--allowed-origin", help="Further Origin. Repeatable.")
    ] = None,
    auth_file: Annotated[
        Path | None,
        typer.Option("--auth-file", help="File with user:password for both servers; default: one that is made."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask for no password: every user of this machine gets in.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Start Prefect, MLflow and a worker for each pool on this machine."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose, use_services=False)
    from stsflow.flows.ops import services
    from stsflow.tasks.ground.workspace import Workspace

    report = services.up(
        Workspace.here(), host=host, prefect_port=prefect_port, mlflow_port=mlflow_port, database_url=database_url,
        artifacts=artifacts, pools=tuple(pool or ("cpu",)), worker_limit=worker_limit,
        allowed_hosts=tuple(allowed_host or ()), allowed_origins=tuple(allowed_origin or ()), auth_file=auth_file,
        no_auth=no_auth,
    )  # fmt: skip
    _print(report.model_dump(mode="json"), as_json, lambda: services.print_report(report, OUT))


@app.command(epilog="Example: stsflow down")
def down(as_json: Json = False, verbose: Verbose = False) -> None:
    """Stop exactly what `stsflow up` started in this workspace."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose, use_services=False, writes=False)
    from stsflow.flows.ops import services
    from stsflow.tasks.ground.workspace import Workspace

    report = services.down(Workspace.here())
    _print(report.model_dump(mode="json"), as_json, lambda: services.print_report(report, OUT))


@app.command(epilog="Example: stsflow deploy flows/recipes/kornlu-minilm.yaml --webhook https://example.org/hook")
def deploy(
    recipe: Recipe,
    overrides: Overrides = None,
    name: Annotated[str | None, typer.Option("--name", help="Tell a second recipe's deployments apart.")] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Work pool, instead of the one in prefect.yaml.")] = None,
    gpu_slots: Annotated[int, typer.Option("--gpu-slots", min=1, max=1000, help="Trainings at once.")] = 1,
    webhook: Annotated[str | None, typer.Option("--webhook", help="Told about failed runs and new champions.")] = None,
    prefect_file: Annotated[Path | None, typer.Option("--file", help="Deployments; default: prefect.yaml.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Put deployments, schedules, pools, limits and automations on the Prefect server. Safe to repeat."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    config = _recipe(recipe, overrides)
    from stsflow.flows.ops.deploy import deploy as put
    from stsflow.flows.ops.deploy import print_deployments

    report = put(config, prefect_file=prefect_file, name=name, pool=pool, gpu_slots=gpu_slots, webhook_url=webhook)
    _print(report.model_dump(mode="json"), as_json, lambda: print_deployments(report, OUT))


@app.command(epilog="Example: stsflow doctor")
def doctor(as_json: Json = False, verbose: Verbose = False) -> None:
    """Check versions, servers, records, databases, disk, GPU and hub; say what is wrong and what to do."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose, writes=False)
    from stsflow.flows.ops.doctor import examine, print_examination

    result = examine()
    _print(result.model_dump(mode="json"), as_json, lambda: print_examination(result, OUT))
    if not result.healthy:
        raise typer.Exit(CheckFailed.exit_code)


def main() -> NoReturn:
    """Run the command; a mistake of the user is one message on standard error, never a traceback."""
    try:
        _require_utf8(sys.argv)
        code = app(standalone_mode=False)
    except StsflowError as error:
        print(f"stsflow: {error.message}", file=sys.stderr)
        code = error.exit_code
    except typer.Exit as ending:
        code = ending.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        from stsflow.flows.command.border import in_a_sentence
        from stsflow.tasks.ground.workspace import Workspace

        # Typer keeps click's UsageError under a private name: it is known by `show`, which prints usage and sentence.
        # What the machine did is a sentence. Anything else is a fault of ours and is raised again.
        if (show := getattr(error, "show", None)) is not None:
            show()
            code = getattr(error, "exit_code", 2)
        elif (known := in_a_sentence(error, Workspace.here())) is not None:
            print(f"stsflow: {known.message}", file=sys.stderr)
            code = known.exit_code
        else:
            raise
    if code == INTERRUPTED:  # the command line's library makes this number of an interrupt by itself
        print("stsflow: stopped; what was done is kept, and the same command continues it", file=sys.stderr)
    sys.exit(code or 0)


def _require_utf8(arguments: list[str]) -> None:
    for argument in arguments:
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError:
            raise PreconditionError(f"the argument {argument!a} is not UTF-8; rename what it names") from None


def _recipe(path: Path, overrides: list[str] | None) -> RunConfig:
    from stsflow.tasks.recipe.sections import RunConfig

    return RunConfig.from_recipe(path, tuple(overrides or ()))


def _print(result: dict[str, Any], as_json: bool, show: Any) -> None:
    if as_json:
        print(json.dumps(_in_json(result), ensure_ascii=False, allow_nan=False, default=str))
    else:
        show()


def _in_json(value: Any) -> Any:
    """The value with null for every number that is not finite: JSON has no number for it that all readers know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _in_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(item) for item in value]
    return value


def _end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that the trainer is ended and the record says cancelled."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


if __name__ == "__main__":
    main()
