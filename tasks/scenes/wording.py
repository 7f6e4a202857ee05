"""Korean and English sentences of a scene. Every frame says the same: only word order, voice and register differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stsflow.tasks.scenes.lexicon import Setting, Verb, Word

SOMEONE = Word(("누군가",), ("someone",))
SOMETHING = Word(("무언가",), ("something",))

FRAMES = {
    "ko": ("plain", "topic", "fronted", "polite", "scrambled", "agent cleft", "object cleft"),
    "en": ("active", "fronted", "passive", "existential", "agent cleft", "object cleft"),
}
# A cleft moves the focus of a negation, and it cannot single out "someone".
SIMPLE_FRAMES = {"ko": ("plain", "fronted", "polite", "scrambled"), "en": ("active", "fronted", "passive")}


@dataclass(frozen=True)
class Scene:
    """Who does what to what, where and when; None for what is left unsaid."""

    setting: Setting
    agent: Word
    action: Verb
    object: Word
    agent_modifier: Word | None = None
    object_modifier: Word | None = None
    number: Word | None = None
    """How many agents; None for one."""
    place: Word | None = None
    time: Word | None = None
    negated: bool = False


def frames_of(scene: Scene, language: str) -> tuple[str, ...]:
    """Names of the frames in which `scene` reads well."""
    plain = scene.negated or scene.agent is SOMEONE or scene.object is SOMETHING
    frames = SIMPLE_FRAMES[language] if plain else FRAMES[language]
    return frames if scene.place or scene.time else tuple(frame for frame in frames if frame != "fronted")


def write_sentence(
    scene: Scene, language: str, frame: str, wordings: Mapping[str, int], plurals: Mapping[str, str]
) -> str:
    """The sentence of `scene` in one frame; `wordings` numbers the synonym to use, by facet (default 0)."""
    if language == "ko":
        return _korean(scene, frame, wordings)
    return _english(scene, frame, wordings, plurals)


# -------------------------------------------------------------------------------------------------------- Korean


def has_final_consonant(text: str) -> bool:
    """Whether the last Hangul syllable of `text` ends in a consonant (Unicode: 28 finals for each syllable block)."""
    return (ord(text[-1]) - 0xAC00) % 28 != 0


def with_particle(noun: str, after_consonant: str, after_vowel: str) -> str:
    """The noun with the form of a particle that its last sound asks for."""
    return noun + (after_consonant if has_final_consonant(noun) else after_vowel)


def adnominal(stem: str) -> str:
    """Stem + -는, with the final ㄹ of a stem dropped as the rule says (만들- → 만드는)."""
    code = ord(stem[-1]) - 0xAC00
    rieul = 8
    return (stem[:-1] + chr(ord(stem[-1]) - rieul) if code % 28 == rieul else stem) + "는"


def _korean(scene: Scene, frame: str, wordings: Mapping[str, int]) -> str:
    def said(facet: str) -> str:
        value = getattr(scene, facet)
        return value.ko[wordings.get(facet, 0) % len(value.ko)] if value else ""

    agent = _joined(said("agent_modifier"), said("agent"), said("number") and f"{said('number')} 명")
    item = _joined(said("object_modifier"), said("object"))
    place, time, stem = said("place") and f"{said('place')}에서", said("time"), said("action")
    subject, accusative = with_particle(agent, "이", "가"), with_particle(item, "을", "를")
    doing = f"{stem}고 있지 않" if scene.negated else f"{stem}고 있"
    parts: tuple[str, ...]
    match frame:
        case "plain":
            parts = (subject, time, place, accusative, f"{doing}다")
        case "topic":
            parts = (with_particle(agent, "은", "는"), time, place, accusative, f"{doing}다")
        case "fronted":
            parts = (time, place, subject, accusative, f"{doing}다")
        case "polite":
            parts = (time, subject, place, accusative, f"{doing}습니다")
        case "scrambled":
            ending = "중이 아니다" if scene.negated else "중이다"
            parts = (accusative, subject, time, place, adnominal(stem), ending)
        case "agent cleft":
            parts = (time, place, accusative, f"{doing}는 사람은", with_particle(agent, "이다", "다"))
        case _:
            parts = (subject, time, place, f"{doing}는 것은", with_particle(item, "이다", "다"))
    return _joined(*parts) + "."


# ------------------------------------------------------------------------------------------------------- English


def with_article(noun_phrase: str) -> str:
    """The noun phrase with `a`, or with `an` before a vowel letter (`unusual` and its like begin with a vowel too)."""
    return ("an " if noun_phrase[0] in "aeiou" else "a ") + noun_phrase


def _english(scene: Scene, frame: str, wordings: Mapping[str, int], plurals: Mapping[str, str]) -> str:
    def said(facet: str) -> str:
        value = getattr(scene, facet)
        return value.en[wordings.get(facet, 0) % len(value.en)] if value else ""

    agent = said("agent")
    if scene.number:
        agent = _joined(said("number"), said("agent_modifier"), plurals.get(agent, f"{agent}s"))
    elif scene.agent is not SOMEONE:
        agent = with_article(_joined(said("agent_modifier"), agent))
    item = said("object")
    if scene.object is not SOMETHING:
        item = with_article(_joined(said("object_modifier"), item))
    doing, done = scene.action.en[wordings.get("action", 0) % len(scene.action.en)]
    place, time = said("place"), said("time")
    negation = "not" if scene.negated else ""
    be = _joined("are" if scene.number else "is", negation)
    match frame:
        case "active":
            text = _joined(agent, be, doing, item, place, time)
        case "fronted":
            first, rest = (time, place) if time else (place, "")
            text = _joined(f"{first},", agent, be, doing, item, rest)
        case "passive":
            text = _joined(item, "is", negation, "being", done, "by", agent, place, time)
        case "existential":
            text = _joined("there", be, agent, doing, item, place, time)
        case "agent cleft":
            text = _joined("it is", agent, "who", be, doing, item, place, time)
        case _:
            text = _joined("what", agent, be, doing, place, time, "is", item)
    return text[0].upper() + text[1:] + "."


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
