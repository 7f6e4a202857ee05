"""The command `stsflow` (also `python -m stsflow.flows`): where it begins, and the exit code that it ends with."""

from __future__ import annotations

import sys
from typing import NoReturn

if __name__ == "__main__" and not sys.flags.safe_path:
    sys.path.pop(0)  # `python -m` put the current folder there: its packages would shadow those that are installed

import typer

from stsflow.flows.command import models, operations, records, runs, serving, sweeps, vectors
from stsflow.tasks.ground.errors import PreconditionError, StsflowError

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
for group in (runs, sweeps, models, serving, vectors, records, operations):
    app.add_typer(group.commands)


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


if __name__ == "__main__":
    main()
