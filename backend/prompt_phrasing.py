"""Prompts in note form, said in one phrase: "a chair, red legs" is "a chair with red legs" (our choice).

Models that learnt from captions know parts behind a "with" alone: of a list, or of "red-legged", they would
read that all is red.
"""

import re
from collections.abc import Sequence

from backend.paint_words import paint_pattern
from backend.part_words import singular, words_of

OBJECTS = frozenset({"bed", "bench", "cabinet", "cupboard", "lamp", "light", "screen", "shelf"})
"""Words for parts that are, in the singular, rather the object itself: "a modern, black screen"."""
_BREAKS = re.compile(r"\s*[,;:.()\n]+\s*|\s+[-–—/]\s+")
_JOINTS = re.compile(r"\s*(?:\band\b|&)\s*")
_BEFORE_PARTS = frozenset({
    "a", "an", "the", "its", "their", "one", "two", "three", "four", "five", "six", "eight", "big", "small",
    "large", "little", "long", "short", "high", "tall", "low", "wide", "narrow", "thin", "thick", "slim",
    "round", "square", "rounded", "curved", "straight", "slanted", "tapered", "pointed", "flat",
})  # fmt: skip
"""Words that may stand before a part and are not of it."""
_HAD_BY_ALL = frozenset({"back", "blade", "body", "handle", "leg", "roof", "seat", "top", "wheel"})
"""Parts of which a "red legged" speaks without a hyphen; a "red winged" thing may be red and have wings."""
_DENIAL = re.compile(r"\b(?:with|and|but|has|having)\s+no\b", re.IGNORECASE)
_LAST_LINK = re.compile(r".*\b(with|without)\b", re.IGNORECASE | re.DOTALL)


def phrased(prompt: str, parts: Sequence[str]) -> str:
    """A prompt with the parts that it lists, or names in compounds, behind a "with", and what it shall not
    have behind a "without"; all else stays. `parts` are all that are known by name; without any, nothing
    changes."""
    known = words_of(parts[::-1], other_words=True)  # of "handle" and "handles" the first is said
    if not known:
        return prompt
    having: list[str] = []
    prompt = _DENIAL.sub("without", prompt)
    text = _without_compounds(prompt, known, having)
    head, *clauses = _BREAKS.split(text)
    lacking = []
    for clause in clauses if re.search(r"\w", head) else []:
        denied = re.match(r"(?:no|without)\s+(.*)", clause, re.IGNORECASE)
        items = [item for item in _JOINTS.split(denied[1] if denied else clause) if item]
        if items and all(_is_part(item, known) for item in items):
            (lacking if denied else having).extend(map(_paint_first, items))
        elif clause:
            head += f", {clause}"
    if not having and not lacking:
        return prompt
    link = _LAST_LINK.match(head)
    said = [head]
    if having:
        said += ["and" if link and link[1].lower() == "with" else "with", " and ".join(having)]
    if lacking:
        said += ["without", " and ".join(lacking)]
    return " ".join(said)


def _without_compounds(text: str, known: dict[str, str], having: list[str]) -> str:
    """A text without its "red-legged" and "red legged"; adds "red legs" to what is had instead."""

    def lifted(match: re.Match[str]) -> str:
        stem = next((stem for stem in _stems(match["stem"].lower()) if stem in known), None)
        if stem is None or (match["joint"] != "-" and stem not in _HAD_BY_ALL):
            return match[0]
        having.append(f"{match['paint']} {known[stem]}")
        return ""

    compound = rf"(?P<paint>{paint_pattern().pattern})(?P<joint>-|\s+)(?P<stem>\w+)ed\b[\s,]*"
    return re.sub(compound, lifted, text, flags=re.IGNORECASE)


def _stems(word: str) -> tuple[str, ...]:
    """What "legg", "wheel", "handl" and "bodi" may come from: leg, wheel, handle, body."""
    return word, re.sub(r"(\w)\1$", r"\1", word), f"{word}e", re.sub("i$", "y", word)


def _paint_first(clause: str) -> str:
    """A clause with its paint before the part: "black legs" of "legs black"."""
    paint_last = rf"(?:(?:its|the|their)\s+)?(.+?)\s+({paint_pattern().pattern})\s*"
    match = re.fullmatch(paint_last, clause, re.IGNORECASE)
    return f"{match[2]} {match[1]}" if match else clause


def _is_part(clause: str, known: dict[str, str]) -> bool:
    """Whether a clause names one part, in any paint, number and form, and nothing else."""
    words = paint_pattern().sub(" ", clause.lower()).split()
    part = " ".join(word for word in words if word not in _BEFORE_PARTS and not word.isdigit())
    return singular(part) in known and part not in OBJECTS
