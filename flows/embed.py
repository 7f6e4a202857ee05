"""`stsflow embed`: vectors of the texts in a file, or in the files of a folder, as one Parquet file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from stsflow.flows.evaluate import model_named
from stsflow.tasks.embedding.embed import Asked, Embedded, embed_file
from stsflow.tasks.embedding.request import Layout
from stsflow.tasks.evaluation.adhoc import in_options
from stsflow.tasks.ground.errors import DataError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.preflight import require_sound
from stsflow.tasks.recipe.messages import explain
from stsflow.tasks.sources import FilesSource


def embed(
    model: str, place: Path, out: Path, asked: Asked, *, revision: str | None = None, overwrite: bool = False
) -> Embedded:
    """The vectors in `out`; a message about the data speaks of the command line's options."""
    workspace = Workspace.here()
    try:
        layout = asked.layout
        FilesSource(
            paths=(str(place),), quoting=layout.quoting, delimiter=layout.delimiter, header=not layout.columns,
            columns=layout.columns, encoding=layout.encoding,
        )  # fmt: skip  # its checks are those of these options
    except ValidationError as error:
        raise DataError(explain(error, FilesSource, str(place))) from None
    found = model_named(model, revision, workspace)[1]
    require_sound(found, (), workspace)
    try:
        return embed_file(found, model, place.absolute(), asked, out.absolute(), workspace, overwrite=overwrite)
    except DataError as error:
        raise DataError(in_options(error.message).replace("`--columns` says", "`--column` and `--keep` say")) from None


def layout_of(quoting: str, delimiter: str | None, encoding: str, positional: str) -> Layout:
    """The layout that options name; raises DataError for a quoting that is none."""
    columns = tuple(positional.split(",")) if positional else ()
    try:
        return Layout.model_validate(
            {"quoting": quoting, "delimiter": delimiter, "columns": columns, "encoding": encoding}
        )
    except ValidationError:
        raise DataError(f"--quoting: found {quoting!r}; allowed: auto, none, minimal") from None


def print_embedded(result: Embedded, console: Console) -> None:
    """The file for a person."""
    about = result.about
    wanted = about.wanted
    words = f"{about.rows:,} rows, {wanted.precision}, {wanted.dimensions} dimensions"
    console.print(f"{result.out}: {words}, {result.bytes / 2**20:.1f} MiB", markup=False)
    if not result.made:
        console.print("made before, of the same model, texts and settings")
    if about.empty:
        console.print(f"{about.empty:,} rows have no text and no vector (null)")
    if about.cut:
        console.print(f"{about.cut:,} texts are longer than the {wanted.max_seq_length:,} tokens that the model reads")
    if about.ranges:
        console.print(f"int8 has its ranges from {about.ranges.source}")
