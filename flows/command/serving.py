"""`stsflow serve`: answer requests for embeddings."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from stsflow.flows.command.shared import Json, Verbose, print_result

commands = typer.Typer()


@commands.command(epilog="Example: stsflow serve models:/stsflow-demo@champion --port 8080")
def serve(
    model: Annotated[
        str, typer.Argument(help="models:/name@alias, models:/name/version or a folder.", show_default=False)
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one.")] = 8080,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the model runs.")] = "auto",
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-batch-tokens", min=1, max=10_000_000,
            help="Tokens that the model reads at once. Default: 4096 on a CPU, 32768 on a GPU.",
        ),
    ] = None,
    inputs: Annotated[int, typer.Option("--max-inputs", min=1, max=1_000_000, help="Texts of one request.")] = 2048,
    body: Annotated[int, typer.Option("--max-body", min=1, max=1024, metavar="MIB", help="Size of one request.")] = 8,
    characters: Annotated[
        int, typer.Option("--max-characters", min=1, max=100_000_000, help="Characters of one text.")
    ] = 200_000,
    waiting: Annotated[
        int, typer.Option("--max-waiting", min=1, max=10_000_000, help="Texts that wait; with more: status 429.")
    ] = 8192,
    follow_every: Annotated[
        float,
        typer.Option(
            "--follow-every", min=0, max=86_400, metavar="SECONDS",
            help="How often MLflow is asked where the alias points; 0: never.",
        ),
    ] = 30,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Answer requests for embeddings (OpenAI's /v1/embeddings) until SIGTERM or Ctrl-C.

    With STSFLOW_API_KEY in the environment, clients have to bring that key (Authorization: Bearer).
    """
    from stsflow.flows.command.terminal import ERR, prepare_process

    prepare_process(verbose=verbose)
    from stsflow.flows.serve import serve_model
    from stsflow.tasks.serving.limits import Limits

    def started(found: dict[str, Any]) -> None:
        follows = f", follows {found['follows']} every {follow_every:g} s" if found["follows"] else ""
        print_result(
            found, as_json,
            lambda: ERR.print(f"stsflow: {found['model']} on {found['device']} at {found['url']}/embeddings{follows}"),
        )  # fmt: skip
        sys.stdout.flush()  # whoever waits for that line would wait for the server's end

    serve_model(
        model, host=host, port=port, device=device,
        limits=Limits(inputs=inputs, body_bytes=body * 2**20, characters=characters, waiting=waiting),
        batch_tokens=batch_tokens, follow_every=follow_every, started=started,
    )  # fmt: skip
