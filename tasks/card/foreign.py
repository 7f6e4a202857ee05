"""What an ordinary sentence-transformers card fails to say, and what its own numbers give away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import yaml

from stsflow.tasks.card.card_text import Problem
from stsflow.tasks.ground.yaml_text import load_yaml

_HEADER = re.compile(r"\A\s*---\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_REFERENCES = re.compile(r"^## (Additional Resources|Citation)$.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
"""What the template says of other models: pages on truncation are listed there, say."""
_LOG_ROW = re.compile(r"^\|\s*\**(\d+\.\d+)\**\s*\|\s*\**(\d+)\**\s*\|", re.MULTILINE)


def check_foreign_card(card: Path) -> list[Problem]:
    """One problem for each thing that the card at `card` leaves unsaid or that cannot be checked."""
    if not card.is_file():
        return [Problem("README.md", "The model has no card.")]
    text = card.read_text(encoding="utf-8", errors="replace")
    found = _HEADER.match(text)
    header = _parsed(found.group(1)) if found else None
    # Empty lines in place of the header keep the line numbers those of the file.
    body = "\n" * text[: found.end()].count("\n") + text[found.end() :] if found else text
    said = _REFERENCES.sub("", _COMMENT.sub("", body))
    return [
        *_header_problems(header),
        *_placeholders(body, said),
        *_evaluation_problems(header or {}, said),
        *_training_problems(header or {}, said),
        Problem("facts.json", "No number has a source: there is no digest of weights or data to check against."),
    ]


def _parsed(header: str) -> Mapping[str, object] | None:
    try:
        loaded = load_yaml(header)
    except yaml.YAMLError:
        return None
    return loaded if isinstance(loaded, dict) else None


def _header_problems(header: Mapping[str, object] | None) -> Iterator[Problem]:
    if header is None:
        yield Problem("YAML header", "There is no readable YAML header, so the hub knows nothing of the model.")
        return
    missing = {
        "license": "No licence is stated.",
        "language": "No language is stated.",
        "datasets": "No training data set is named.",
        "base_model": "No base model is named.",
        "model-index": "There is no model-index, so no score can be read by machine.",
    }
    for key, message in missing.items():
        if not header.get(key):
            yield Problem(f"YAML header, {key}", message)


def _placeholders(body: str, said: str) -> Iterator[Problem]:
    for word, message in (
        ("Unnamed Dataset", "A training data set has no name."),
        ("Unknown", "Something is given as Unknown."),
        ("sentence_transformers_model_id", "The usage code names no model."),
        ("[More Information Needed]", "A section still waits for its text."),
    ):
        count = body.count(word)
        if count:
            yield Problem(_line_of(body, word), f"{message} ({count} times)" if count > 1 else message)
    hidden = [match.group(1) for match in _COMMENT.finditer(body)]
    sections = [title for text in hidden for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    if sections:
        yield Problem("text", f"Sections left as comments of the template: {', '.join(sections)}.")
    if hidden and re.search(r"at revision ([0-9a-f]{7,})", "".join(hidden)) and "at revision" not in said:
        yield Problem("Model Description", "The base model's revision stands in a comment only.")


def _evaluation_problems(header: Mapping[str, object], said: str) -> Iterator[Problem]:
    names = list(_suite_names(header))
    if names and not any("test" in name.lower() for name in names):
        yield Problem(
            "Evaluation", f"No test split: scores are on {', '.join(names)} only, which may have chosen the checkpoint."
        )
    for pattern, message in (
        (r"\bbase\b[^\n]*\|", "There is no score of the base model to compare with."),
        (r"confidence|interval|±", "Scores carry no interval."),
        (r"\bsplit\b.*\bchose|checkpoint.*\b(chosen|kept|saved)\b", "It does not say how the checkpoint was chosen."),
        (
            r"share nothing|contamination|leak|overlap",
            "It does not say whether training and evaluation data share texts.",
        ),
    ):
        if not re.search(pattern, said, re.IGNORECASE):
            yield Problem("Evaluation", message)
    if names and not re.search(r"rows|n\s*=\s*\d|pairs", said, re.IGNORECASE):
        yield Problem("Evaluation", "It does not say on how many rows a score rests.")


def _suite_names(header: Mapping[str, object]) -> Iterator[str]:
    index = header.get("model-index")
    for model in index if isinstance(index, list) else []:
        for result in (model.get("results") or []) if isinstance(model, dict) else []:
            data = result.get("dataset") if isinstance(result, dict) else None
            if isinstance(data, dict):
                yield f"{data.get('name', data.get('type', ''))}"


def _training_problems(header: Mapping[str, object], said: str) -> Iterator[Problem]:
    if not re.search(r"what the model saw|rows seen|share seen", said, re.IGNORECASE):
        yield Problem("Training Details", "It does not say how much of the training data the model saw.")
    yield from _implied_exposure(header, said)
    if "approximate statistics" in said.lower():
        yield Problem("Training Details", "Token statistics are approximate: they rest on the first rows only.")
    if not re.search(r"truncat|\bcut\b", said, re.IGNORECASE):
        yield Problem("Training Details", "It does not say how many texts are cut at the maximum length.")
    if not re.search(r"^#+ .*limitation", said, re.IGNORECASE | re.MULTILINE):
        yield Problem("text", "No limits or risks are stated.")
    if not re.search(r"duration|training time|wall time|\*\*Training\*\*:", said, re.IGNORECASE):
        yield Problem("Training Details", "Neither duration nor hardware of the training is stated.")


def _implied_exposure(header: Mapping[str, object], said: str) -> Iterator[Problem]:
    """What the log, the batch size and the data set's size say together about the rows that were seen."""
    log = [(float(epoch), int(step)) for epoch, step in _LOG_ROW.findall(said)]
    tags = header.get("tags")
    texts = map(str, tags if isinstance(tags, list) else ())
    sizes = [text.partition(":")[2] for text in texts if text.startswith("dataset_size:")]
    batch, epochs = _argument(said, "per_device_train_batch_size"), _argument(said, "num_train_epochs")
    accumulation = _argument(said, "gradient_accumulation_steps") or 1.0
    if not log or batch is None or not sizes or not sizes[0].isdigit():
        return
    epoch, step = log[-1]
    rows_fed, rows = step * batch * accumulation, int(sizes[0])
    if epoch >= 1 and rows_fed < 0.9 * rows * min(epoch, 1.0):
        yield Problem(
            "Training Logs",
            f"By its own log, {step:,} steps of {batch * accumulation:.0f} rows passed for {epoch:.2f} epochs: "
            f"at most {rows_fed:,.0f} of {rows:,} rows ({rows_fed / rows:.1%}) were seen on one device.",
        )
    budget = _argument(said, "max_steps") or -1.0  # steps, where they are given, end a training and not its epochs
    column, ended, whole = (1, f"step {step:,}", budget) if budget > 0 else (0, f"epoch {epoch:.2f}", epochs or 0.0)
    reached = [0.0, *(row[column] for row in log)]
    # The last steps are not logged unless they fill an interval of logging.
    if reached[-1] + max(after - before for before, after in pairwise(reached)) < whole:
        yield Problem(
            "Training Logs", f"The log ends at {ended} of {whole:,g}: an unfinished run, or an early checkpoint."
        )


def _argument(said: str, name: str) -> float | None:
    found = re.search(rf"^- `{name}`: ([\d.e+-]+)$", said, re.MULTILINE)
    try:
        return float(found.group(1)) if found else None
    except ValueError:
        return None


def _line_of(text: str, word: str) -> str:
    return f"text, line {text[: text.index(word)].count(chr(10)) + 1}"
