"""The plan for people: one page in a terminal, rows of a table artifact, and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.mining import MiningAudit
from stsflow.tasks.records.plan import Exposure, Forecast, PlanReport

_MARKS = {"error": ("error", "bold red"), "warning": ("warning", "yellow"), "info": ("note", "cyan")}


def print_plan(report: PlanReport, console: Console) -> None:
    """Print the page: problems first, each with its remedy, then what the model will see, the forecast, and notes."""
    problems = [finding for finding in report.findings if finding.severity != "info"]
    notes = [finding for finding in report.findings if finding.severity == "info"]
    if problems:
        console.print(_findings_grid(problems))
        console.print()
    console.print(_headline(report), highlight=False)
    console.print(_ending(report), highlight=False)
    console.print(_by_set(exposure_table(report), "What the model will see"))
    if report.mining:
        console.print(_by_set(mining_table(report), "Mined negatives"))
    if report.forecast:
        console.print(_forecast_table(report.forecast))
    if notes:
        console.print()
        console.print(_findings_grid(notes))


def exposure_table(report: PlanReport) -> list[dict[str, str]]:
    """One row for each training set, as text ready to show."""
    return [
        {
            "data set": item.name,
            "rows": f"{item.rows:,}",
            "seen in the run": f"{item.unique_rows_seen:,} ({item.seen_share:.2%})",
            "seen an epoch": f"{item.rows_seen_per_epoch:,} ({item.seen_share_per_epoch:.2%})",
            "seen again": f"{item.repeats:,}",
            "left out by the sampler": f"{item.left_out_by_sampler:,}",
            "batches": f"{item.batches:,} x {_as_fed(item, item.batch_size)}",
            "rows in a step": _as_fed(item, item.effective_batch_size),
            "negatives for an anchor": f"{item.in_batch_negatives:.1f}",
        }
        for item in report.exposure
    ]


def mining_table(report: PlanReport) -> list[dict[str, str]]:
    """One row for each training set with mined negatives, as text ready to show."""
    return [
        {
            "data set": item.set,
            "rows": f"{item.rows:,} of {item.rows_before:,}",
            "negatives mined for a row": f"{item.negatives:,}",
            "places filled at random": f"{item.filled:,}",
            "texts searched": f"{item.corpus:,} ({item.corpus_left_out.get('evaluation', 0):,} of evaluation left out)",
            "candidates": f"{item.candidates:,}",
            "rejected": ", ".join(f"{reason} {count:,}" for reason, count in item.rejected.items()) or "none",
            "scored as high as the positive": f"{item.like_positives:,} of {item.mined:,}",
            "sharing a positive with the anchor": f"{item.share_a_positive:,} of {item.mined:,}",
            "median score": f"{item.negative_scores.median:.4f} (positives {item.positive_scores.median:.4f})",
            "judged by": item.judge.name,
        }
        for item in report.mining
    ]


def _as_fed(item: Exposure, rows: int) -> str:
    """`rows` of a full batch or step; where batches are not full, the mean of what they will hold, and that."""
    mean = rows * item.rows_seen / max(1, item.batches * item.batch_size)
    return f"{rows:,}" if not item.batches or rows - mean < 0.05 * rows else f"{mean:,.1f} of {rows:,}"


def forecast_rows(forecast: Forecast) -> list[tuple[str, str]]:
    """Name and value of each line of a forecast."""
    low, high = duration(forecast.train_seconds_low), duration(forecast.train_seconds_high)
    rows = [
        ("training time", f"{duration(forecast.train_seconds)} ({low} to {high}), evaluations not counted"),
        *_beside_training(forecast),
        ("CPU time of the training", duration(forecast.cpu_seconds)),
        (
            "peak memory",
            f"{_gib(forecast.peak_memory_bytes)} of {_gib(forecast.memory_limit_bytes)}; may be a quarter more",
        ),
        ("padding", f"{forecast.padding_share:.0%} of the tokens of padded batches"),
        ("max_seq_length that suffices", _length(forecast)),
        (
            "largest batch size that fits",
            "none" if forecast.suggested_batch_size is None else f"{forecast.suggested_batch_size:,}",
        ),
    ]
    if forecast.cost is not None:
        rows.append(("cost of the training", f"{forecast.cost:.2f} {forecast.currency}"))
    return [*rows, ("measured on", f"{forecast.probe_steps} steps of the real trainer")]


def _beside_training(forecast: Forecast) -> list[tuple[str, str]]:
    if forecast.evaluation_seconds is None or forecast.whole_seconds is None:
        return []
    return [
        ("evaluations", f"about {duration(forecast.evaluation_seconds)} of encoding, base and tuned model"),
        (
            "whole run",
            f"about {duration(forecast.whole_seconds)} with the start of its processes, without downloads",
        ),
    ]


def _length(forecast: Forecast) -> str:
    cuts = f"cuts {forecast.suggested_cut_share:.2%} of the training texts"
    length = forecast.suggested_max_seq_length
    return f"{length} ({cuts})" if forecast.length_suffices else f"more than {length}, the run's own, which {cuts}"


def plan_markdown(report: PlanReport) -> str:
    """The same page as Markdown (tables of GitHub's kind)."""
    parts = ["# Plan", _headline(report), _ending(report)]
    if report.findings:
        rows = [
            [_MARKS[item.severity][0], item.subject, f"{item.message} {item.remedy}".strip()]
            for item in report.findings
        ]
        parts.append(_markdown_table(["", "about", "finding"], rows))
    table = exposure_table(report)
    if table:
        parts += [
            "## What the model will see",
            _markdown_table(list(table[0]), [list(row.values()) for row in table]),
        ]
    if report.mining:
        parts += ["## Mined negatives", _markdown_by_set(mining_table(report))]
        for item in report.mining:
            parts += [f"{item.set}, to read:", _examples(item)]
    if report.forecast:
        parts += ["## Forecast", _markdown_table(["", ""], [list(row) for row in forecast_rows(report.forecast)])]
    return "\n\n".join(parts) + "\n"


def write_plan_page(report: PlanReport, path: Path) -> None:
    """Write the Markdown page to `path`."""
    write_text_atomically(path, plan_markdown(report))


def duration(seconds: float) -> str:
    """Seconds in the two largest units that say something: `45 s`, `12 min 5 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _headline(report: PlanReport) -> str:
    return f"{report.steps:,} steps: {report.epochs:.4g} epochs of {report.steps_per_epoch:,}."


def _ending(report: PlanReport) -> str:
    return f"End of an epoch: {report.ends_with}."


def _findings_grid(findings: Sequence[Finding]) -> Table:
    """One finding below the other; whatever the width, the texts stand in a column of their own."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.severity]
        about = "" if finding.subject in finding.message else f"{finding.subject}: "
        grid.add_row(Text(f"{mark}:", style=style), Text(f"{about}{finding.message}"))
        if finding.remedy:
            grid.add_row(Text("remedy:", style="dim"), Text(finding.remedy, style="dim"))
    return grid


def _by_set(rows: list[dict[str, str]], title: str) -> Table:
    """A column for each data set, so that the page fits a narrow terminal."""
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_column(Text(row["data set"]), justify="right", overflow="fold")
    for name in list(rows[0])[1:] if rows else ():
        table.add_row(name, *(Text(row[name]) for row in rows))
    return table


def _markdown_by_set(rows: list[dict[str, str]]) -> str:
    names = ["", *(row["data set"] for row in rows)]
    return _markdown_table(names, [[name, *(row[name] for row in rows)] for name in list(rows[0])[1:]])


def _examples(mined: MiningAudit) -> str:
    """Rows whose mined negative is most like the positive, then others."""
    return _markdown_table(
        ["anchor", "positive", "mined negative", "score of the positive", "of the negative"],
        [
            [one.anchor, one.positive, one.negative, f"{one.positive_score:.4f}", f"{one.negative_score:.4f}"]
            for one in mined.examples
        ],
    )


def _forecast_table(forecast: Forecast) -> Table:
    table = Table(title="Forecast", title_justify="left", show_header=False)
    for name, value in forecast_rows(forecast):
        table.add_row(name, value)
    return table


def _markdown_table(names: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(names), line(["---"] * len(names)), *map(line, rows)])


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
