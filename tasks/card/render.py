"""The card as Markdown, and the folder that holds it with its figures and facts."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from stsflow.tasks.card.content import HISTOGRAM, CardContent, gold_picture
from stsflow.tasks.card.escape import escape_prose, escape_text, fenced, inline_code, is_plain_url
from stsflow.tasks.card.evidence import CardFacts, PlacedFact
from stsflow.tasks.card.facts import Fact, Sentence, facts_in
from stsflow.tasks.card.figures import draw_comparison, draw_merge_curve, draw_slices, draw_training_curve, has_curve
from stsflow.tasks.card.slices_section import moved_table, slices_picture, write_moved
from stsflow.tasks.ground.files import write_bytes_atomically, write_text_atomically
from stsflow.tasks.ground.fingerprint import fingerprint, sha256_of_file
from stsflow.tasks.records.card import CardRef

COMPARISON, CURVE, MERGE = "base-vs-tuned.png", "training-curve.png", "merge-curve.png"
"""Names in figures/ of the pictures that the card draws itself."""

_OPEN, _MIDDLE, _CLOSE = "\ue000", "\ue001", "\ue002"
_MARKED = re.compile(f"{_OPEN}([^{_MIDDLE}]*){_MIDDLE}([^{_CLOSE}]*){_CLOSE}")


def render_card(content: CardContent) -> str:
    """The whole card, YAML header included."""
    return render_placed(content)[0]


def render_placed(content: CardContent) -> tuple[str, dict[str, list[tuple[int, int, str]]]]:
    """The card, and where each fact stands in it: line from 1, column from 0, and the text there.

    The template shows facts between marks from the private-use area, which no text from data can hold; they are taken
    out again here, and where they stood is what `verify-card` looks at.
    """
    header = yaml.safe_dump(content.header, allow_unicode=True, sort_keys=False, width=10_000).rstrip("\n")
    marked = _template().render(content=content, header=Markup(header), curve=has_curve(content.training))
    places: dict[str, list[tuple[int, int, str]]] = {}
    lines = []
    for number, line in enumerate(_tidy(marked).split("\n"), start=1):
        plain, end = "", 0
        for match in _MARKED.finditer(line):
            plain += line[end : match.start()]
            places.setdefault(match.group(1), []).append((number, len(plain), match.group(2)))
            plain += match.group(2)
            end = match.end()
        lines.append(plain + line[end:])
    return "\n".join(lines), places


def write_card(content: CardContent, folder: Path, model_folder: Path) -> CardRef:
    """Write README.md, facts.json and figures/ into `folder`, and copies of all three into `model_folder`.

    Each file appears whole or not at all, README.md last: a card never shows figures or facts of another one. Raises
    FileNotFoundError when a picture that the content names is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = _write_figures(content, folder / "figures")
    text, places = render_placed(content)
    facts = CardFacts(
        code=code_of_cards(),
        card_sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        figures={figure.name: sha256_of_file(figure) for figure in figures},
        facts=facts_of(content, places),
        evidence=content.evidence,
    )
    for target in (folder, model_folder):
        if target != folder:
            _copy_figures(figures, target / "figures")
        facts.write(target / "facts.json")
        write_text_atomically(target / "README.md", text)
    return CardRef(
        path=folder / "README.md", facts=folder / "facts.json", figures=tuple(figures), sha256=facts.card_sha256
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # With automatic escaping on, whatever is not yet Markup goes through `_shown`; nothing can be forgotten.
        autoescape=True,
        finalize=_shown,
    )
    environment.filters |= {
        "inline": lambda text: Markup(inline_code(text)),
        "prose": lambda text: Markup(escape_prose(text)),
        "fence": lambda *text: Markup(fenced(*text)),
        "url": lambda text: Markup(text if is_plain_url(text) else ""),
        "contact": lambda text: Markup(f"<{text}>" if is_plain_url(text) else escape_text(text)),
    }
    return environment.get_template("template.md")


def _shown(value: Any) -> Markup:
    if isinstance(value, Markup):
        return value
    if isinstance(value, Fact):
        return Markup(f"{_OPEN}{value.id}{_MIDDLE}{escape_text(value.text, may_start_line=False)}{_CLOSE}")
    if isinstance(value, Sentence):
        return Markup("".join(_part(part, is_first=number == 0) for number, part in enumerate(value.parts)))
    return Markup(_part(str(value), is_first=True))


def _part(part: Fact | str, *, is_first: bool) -> str:
    if isinstance(part, Fact):
        return str(_shown(part))
    # Outer spaces join the parts of a sentence; escape_text would drop them.
    inner = part.strip()
    if not inner:
        return part
    before, _, after = part.partition(inner)
    return f"{before}{escape_text(inner, may_start_line=is_first and not before)}{after}"


def _tidy(text: str) -> str:
    """No trailing spaces, at most one empty line in a row, one newline at the end."""
    stripped = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", stripped).strip("\n") + "\n"


def draw_own_figures(content: CardContent, folder: Path) -> list[Path]:
    """Draw into `folder` the pictures that follow from the content alone; the same bytes whoever draws them."""
    figures = [draw_comparison(content.evaluation, folder / COMPARISON)]
    for block in content.evaluation.suites:
        if block.slices is not None and block.slices.rows:
            figures.append(draw_slices(block.slices, folder / slices_picture(block.name)))
        if moved := content.evidence.moved.get(block.name):
            figures.append(write_moved(moved, folder / moved_table(block.name)))
    if has_curve(content.training):
        figures.append(draw_training_curve(content.training, folder / CURVE))
    if content.merge is not None:
        figures.append(draw_merge_curve(content.merge, folder / MERGE))
    return figures


def _write_figures(content: CardContent, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    figures = draw_own_figures(content, folder)
    for name, origin in content.pictures.items():
        target = folder / name
        write_bytes_atomically(target, origin.read_bytes())
        figures.append(target)
    return figures


def figure_names(content: CardContent) -> set[str]:
    """Names in figures/ of the pictures that the card shows."""
    names = {gold_picture(block.name) for block in content.evaluation.suites if block.has_plot}
    names |= {slices_picture(block.name) for block in content.evaluation.suites if block.slices and block.slices.rows}
    names |= {moved_table(block.name) for block in content.evaluation.suites if block.name in content.evidence.moved}
    names |= {COMPARISON} | ({CURVE} if has_curve(content.training) else set())
    names |= {MERGE} if content.merge is not None else set()
    return names | ({HISTOGRAM} if content.evidence.histogram else set())


def _copy_figures(figures: list[Path], target: Path) -> None:
    for figure in figures:
        write_bytes_atomically(target / figure.name, figure.read_bytes())


def facts_of(content: CardContent, places: dict[str, list[tuple[int, int, str]]]) -> tuple[PlacedFact, ...]:
    """Every fact of the card, with the places where `render_placed` put it."""
    return tuple(PlacedFact(fact=fact, places=tuple(places.get(name, ()))) for name, fact in facts_in(content).items())


def code_of_cards() -> str:
    """Fingerprint of the code and the template that a card is written with: other code writes other words."""
    here = Path(__file__).resolve().parent
    return fingerprint({path.name: path.read_text(encoding="utf-8") for path in sorted(here.glob("*.*"))})
