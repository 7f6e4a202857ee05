"""`stsflow embed`: what a finished model makes of texts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stsflow.flows.command.shared import Json, Verbose, print_result

commands = typer.Typer()


class Precision(StrEnum):
    """How the numbers of a vector are written."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    BINARY = "binary"


class InputType(StrEnum):
    """Which side of a search a text is on."""

    QUERY = "query"
    DOCUMENT = "document"


@commands.command(
    epilog="Example: stsflow embed models:/search@champion passages.jsonl.zst --keep id --input-type document "
    "--out vectors.parquet"
)
def embed(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder, a run's folder, a hub id (with --revision) or models:/name@alias.", show_default=False
        ),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="csv, tsv, jsonl, txt (also .gz, .zst) or parquet, or a folder of such files.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.", show_default=False)],
    column: Annotated[str, typer.Option("--column", help="The column of texts.")] = "text",
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="A column to keep beside the vectors, such as an id. Repeatable.")
    ] = None,
    prompt_name: Annotated[
        str | None, typer.Option("--prompt-name", help="The model's prompt of that name goes before every text.")
    ] = None,
    input_type: Annotated[
        InputType | None, typer.Option("--input-type", help="The model's prompt of that side goes before every text.")
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option("--dimensions", min=1, help="Keep the first so many numbers; default: all.")
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Bring every vector to length one, after the cut to --dimensions.")
    ] = False,
    precision: Annotated[
        Precision, typer.Option("--precision", help="How numbers are written; binary: eight signs in a byte.")
    ] = Precision.FLOAT32,
    ranges_of: Annotated[
        Path | None, typer.Option("--ranges-of", help="int8: take the ranges of this file of vectors.")
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", min=1, help="Tokens that the model reads at a time.")
    ] = 4096,
    quoting: Annotated[
        str, typer.Option("--quoting", help="tsv and csv: auto, none (quotes are text) or minimal (RFC 4180).")
    ] = "auto",
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="tsv and csv: the character between fields.")
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", help="Text encoding of the files.")] = "utf-8",
    positional: Annotated[
        str, typer.Option("--positional", metavar="NAME,NAME,…", help="No header: the columns, left to right.")
    ] = "",
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of a hub model.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Embed the texts of a file into a Parquet file; the same command goes on after whatever ended it."""
    from stsflow.flows.command.terminal import OUT, prepare_process

    prepare_process(verbose=verbose)
    if prompt_name is not None and input_type is not None:
        raise typer.BadParameter("give one of --prompt-name and --input-type")
    from stsflow.flows.embed import embed, layout_of, print_embedded
    from stsflow.tasks.embedding.embed import Asked

    asked = Asked(
        column=column, keep=tuple(keep or ()), layout=layout_of(quoting, delimiter, encoding, positional),
        prompt_name=prompt_name, input_type=input_type.value if input_type else None, dimensions=dimensions,
        normalized=normalize, precision=precision.value, ranges_of=ranges_of, batch_tokens=batch_tokens,
    )  # fmt: skip
    result = embed(model, file, out, asked, revision=revision, overwrite=overwrite)
    print_result(result, as_json, lambda: print_embedded(result, OUT))
