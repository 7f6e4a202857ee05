"""The project's own bilingual NLI and STS rows, generated from a grammar of scenes. For demos and tests only.

A scene is who does what to what, where and when. A pair of sentences comes from a scene and a changed scene, each
written in a frame of its own (word order, voice, register), so that overlap of words alone does not tell the score.
What was changed decides it: an STS score is 5 less the penalties of the changes, at least 0, and an NLI label follows
from the same changes (something left out: entailment; something added: neutral; another action, object, agent or place,
or a negation: contradiction).

Both sentences of a row are in one language. Rows across languages are left out on purpose: no model could learn the
translation of words that occur in dev and test alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from stsflow.tasks.scenes.lexicon import LEXICONS, Lexicon
from stsflow.tasks.scenes.wording import SOMEONE, SOMETHING, Scene, frames_of, write_sentence

MAXIMUM_SCORE = 5.0

PENALTIES = {
    "synonym": 0.2,
    "time left out": 0.6,
    "object_modifier left out": 0.6,
    "agent_modifier left out": 0.6,
    "place left out": 0.8,
    "object_modifier": 1.2,
    "agent_modifier": 1.2,
    "time": 1.4,
    "number": 1.4,
    "place": 1.8,
    "object": 2.6,
    "agent": 2.8,
    "action": 3.2,
    "negation": 3.4,
    "scene": 5.0,
}
"""What a change costs of the score, on the scale of 0 to 5."""

DETAILS = ("agent_modifier", "object_modifier", "place", "time")
SAID = 0.6
"""Chance that a scene says a detail."""
EDITS = (
    (), (), (), ("left out",), ("left out",), ("left out", "left out"), ("agent_modifier",), ("object_modifier",),
    ("time",), ("number",), ("place",), ("place", "left out"), ("object",), ("object",), ("agent",), ("agent",),
    ("action",), ("action",), ("negation",), ("place", "time"), ("object", "place"), ("agent", "object_modifier"),
    ("action", "time"), ("action", "object"), ("action", "agent"), ("scene",), ("scene",), ("scene",),
)  # fmt: skip
"""What is changed between the two sentences of an STS row; each entry is as likely as any other."""
CONTRADICTIONS = ("action", "object", "agent", "place", "negation")


def generate(task: str, split: str, rows: int, languages: tuple[str, ...], seed: int) -> list[dict[str, object]]:
    """`rows` distinct rows of `split`, the same for the same arguments; fewer rows are the beginning of more rows.

    `nli`: premise, hypothesis (str), label (`entailment`, `neutral`, `contradiction`; each premise comes with all
    three, in this order). `sts`: sentence1, sentence2 (str), score (float, 0..5). Both also have genre (the language)
    and change (what was changed, the names of PENALTIES joined by `+`; empty for a paraphrase).

    Content words of train, dev and test are disjoint, and so are the scenes. Draws come from `random.Random` alone.
    """
    rng = random.Random(f"stsflow {task} {split} {','.join(languages)} {seed}")
    lexicon = LEXICONS[split]
    draw = {"nli": _nli_rows, "sts": _sts_rows}[task]
    keys = ("premise", "hypothesis") if task == "nli" else ("sentence1", "sentence2")
    result: list[dict[str, object]] = []
    seen: set[frozenset[object]] = set()
    while len(result) < rows:
        language = (
            languages[len(result) % len(languages)] if task == "sts" else languages[len(result) // 3 % len(languages)]
        )
        drawn = list(draw(lexicon, language, rng))
        pairs = [frozenset(row[key] for key in keys) for row in drawn]
        if any(pair in seen or len(pair) < 2 for pair in pairs):
            continue
        seen.update(pairs)
        result.extend(drawn)
    return result[:rows]


def _sts_rows(lexicon: Lexicon, language: str, rng: random.Random) -> Iterator[dict[str, object]]:
    scene = _draw_scene(lexicon, rng)
    other, changes = scene, []
    for edit in rng.choice(EDITS):
        other, change = _edit(edit, other, scene, lexicon, rng)
        changes.append(change)
    pen = _Pen(lexicon, language, rng)
    first, wordings = pen.write(scene)
    synonyms = pen.other_wordings(scene, other, wordings) if rng.random() < 0.4 and "scene" not in changes else {}
    second, _ = pen.write(other, wordings | synonyms, not_like=first)
    changes += ["synonym"] * len(synonyms)
    score, change = score_of(changes), "+".join(changes)
    yield {"sentence1": first, "sentence2": second, "score": score, "genre": language, "change": change}


def score_of(changes: list[str]) -> float:
    """5 less the penalties of the changes, at least 0, to one decimal."""
    return round(max(0.0, MAXIMUM_SCORE - sum(PENALTIES[change] for change in changes)), 1)


def _nli_rows(lexicon: Lexicon, language: str, rng: random.Random) -> Iterator[dict[str, object]]:
    scene = _draw_scene(lexicon, rng)
    pen = _Pen(lexicon, language, rng)
    premise, wordings = pen.write(scene)
    for label, edit in (("entailment", _entail), ("neutral", _add), ("contradiction", _contradict)):
        other, change = edit(scene, lexicon, rng)
        synonyms = pen.other_wordings(scene, other, wordings) if rng.random() < 0.3 else {}
        hypothesis, _ = pen.write(other, wordings | synonyms, not_like=premise)
        yield {"premise": premise, "hypothesis": hypothesis, "label": label, "genre": language, "change": change}


# ------------------------------------------------------------------------------------------------------- scenes


def _draw_scene(lexicon: Lexicon, rng: random.Random) -> Scene:
    """A random scene with at least one detail said and one unsaid."""
    setting = rng.choice(lexicon.settings)
    scene = Scene(setting, rng.choice(lexicon.agents), rng.choice(setting.actions), rng.choice(setting.objects))
    if rng.random() < 0.35:
        scene = replace(scene, number=rng.choice(lexicon.numbers))
    details = [detail for detail in DETAILS if rng.random() < SAID]
    if not details or len(details) == len(DETAILS):
        details = rng.sample(DETAILS, 2)
    for detail in details:
        scene = _with(scene, detail, rng.choice(_choices(detail, scene, lexicon)))
    return scene


def _with(scene: Scene, facet: str, value: object) -> Scene:
    """The scene with `value` for `facet`."""
    changed: dict[str, Any] = {facet: value}
    return replace(scene, **changed)


def _choices(facet: str, scene: Scene, lexicon: Lexicon) -> tuple[object, ...]:
    """Every value that `facet` may take in this setting."""
    setting = scene.setting
    return {
        "agent": lexicon.agents, "action": setting.actions, "object": setting.objects, "place": setting.places,
        "agent_modifier": lexicon.agent_modifiers, "object_modifier": lexicon.object_modifiers, "time": lexicon.times,
        "number": (None, *lexicon.numbers),
    }[facet]  # fmt: skip


def _swap(facet: str, scene: Scene, lexicon: Lexicon, rng: random.Random) -> Scene:
    """The scene with another value of `facet`."""
    now = getattr(scene, facet)
    return _with(scene, facet, rng.choice([value for value in _choices(facet, scene, lexicon) if value != now]))


def _edit(edit: str, other: Scene, scene: Scene, lexicon: Lexicon, rng: random.Random) -> tuple[Scene, str]:
    """`other` with one change, and the change's name. A detail that is not said cannot change: the object does then."""
    if edit == "scene":
        return _unrelated(scene, lexicon, rng), edit
    if edit == "negation":
        return replace(other, negated=True), edit
    if edit == "left out":
        said = [
            detail for detail in DETAILS if getattr(other, detail) and getattr(other, detail) == getattr(scene, detail)
        ]
        if said:
            detail = rng.choice(said)
            return _with(other, detail, None), f"{detail} left out"
    if getattr(other, edit, None) is None and edit != "number":
        edit = "object" if other.object == scene.object else "agent"
    return _swap(edit, other, lexicon, rng), edit


def _unrelated(scene: Scene, lexicon: Lexicon, rng: random.Random) -> Scene:
    """A scene of another setting, with nobody and nothing in common with `scene`."""
    while True:
        other = _draw_scene(lexicon, rng)
        facets = ("agent", *DETAILS)
        if other.setting != scene.setting and not any(
            getattr(other, facet) == getattr(scene, facet) for facet in facets if getattr(scene, facet)
        ):
            return other


# ------------------------------------------------------------------------------------------------------- labels


def _entail(scene: Scene, lexicon: Lexicon, rng: random.Random) -> tuple[Scene, str]:
    """What `scene` entails: itself in other words, with a detail left out, or with someone doing something."""
    kind = rng.choice(("", "left out", "left out", "someone", "something"))
    if kind == "left out":
        return _edit(kind, scene, scene, lexicon, rng)
    if kind == "someone":
        return replace(scene, agent=SOMEONE, agent_modifier=None, number=None), kind
    if kind == "something":
        return replace(scene, object=SOMETHING, object_modifier=None), kind
    return scene, kind


def _add(scene: Scene, lexicon: Lexicon, rng: random.Random) -> tuple[Scene, str]:
    """What `scene` leaves open: a detail that it does not say."""
    detail = rng.choice([detail for detail in DETAILS if not getattr(scene, detail)])
    return _swap(detail, scene, lexicon, rng), f"{detail} added"


def _contradict(scene: Scene, lexicon: Lexicon, rng: random.Random) -> tuple[Scene, str]:
    """What cannot be true of the same moment."""
    return _edit(rng.choice([c for c in CONTRADICTIONS if c != "place" or scene.place]), scene, scene, lexicon, rng)


# ------------------------------------------------------------------------------------------------------- wording


class _Pen:
    """Writes scenes in one language, with random frames and wordings."""

    def __init__(self, lexicon: Lexicon, language: str, rng: random.Random) -> None:
        self.lexicon, self.language, self.rng = lexicon, language, rng

    def write(
        self, scene: Scene, wordings: dict[str, int] | None = None, not_like: str = ""
    ) -> tuple[str, dict[str, int]]:
        """A sentence of `scene` that is not `not_like`, and the wording of each facet; random where not given."""
        frames = self.rng.sample(frames_of(scene, self.language), len(frames_of(scene, self.language)))
        if wordings is None:
            wordings = {facet: self.rng.randrange(len(forms)) for facet, forms in self._forms(scene).items()}
        text = ""
        for frame in frames:
            text = write_sentence(scene, self.language, frame, wordings, self.lexicon.plurals)
            if text != not_like:
                break
        return text, wordings

    def other_wordings(self, scene: Scene, other: Scene, wordings: dict[str, int]) -> dict[str, int]:
        """Synonyms for one or two facets that both scenes have in common; empty where no word has one."""
        shared = [
            facet for facet, forms in self._forms(scene).items()
            if len(forms) > 1 and getattr(scene, facet) == getattr(other, facet)
        ]  # fmt: skip
        chosen = self.rng.sample(shared, min(len(shared), self.rng.choice((1, 1, 2))))
        return {facet: wordings[facet] + 1 for facet in chosen}

    def _forms(self, scene: Scene) -> dict[str, tuple[object, ...]]:
        facets: tuple[str, ...] = ("agent", "action", "object", "number", *DETAILS)
        return {facet: getattr(getattr(scene, facet), self.language) for facet in facets if getattr(scene, facet)}
