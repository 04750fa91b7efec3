"""Which parts a text says a paint of: "black wheels", "legs and top are red", "a seat in blue"."""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PART_WORDS: dict[str, list[str]] = {
    "armrests": ["arms", "arm rests"],
    "back": ["backrest", "back rest"],
    "body": ["fuselage", "case", "belly"],
    "cockpit": ["canopy"],
    "cushions": ["pillows"],
    "feet": ["legs"],
    "fretboard": ["fingerboard"],
    "guard": ["crossguard"],
    "grip": ["handle"],
    "handle": ["hilt", "grip"],
    "handles": ["knobs", "pulls"],
    "headlights": ["lights", "lamps"],
    "hub": ["rims", "hubcaps"],
    "leaves": ["foliage", "crown", "needles"],
    "legs": ["feet"],
    "pillows": ["cushions"],
    "post": ["pole"],
    "propeller": ["propellor", "prop"],
    "sail": ["sailcloth"],
    "seams": [],
    "shade": ["lampshade", "lamp shade"],
    "shell": [],
    "spout": [],
    "stand": ["foot", "base"],
    "stem": ["pole"],
    "stems": ["stalks"],
    "top": ["tabletop", "table top"],
    "tyres": ["tires", "wheels"],
    "walls": ["sides"],
    "wheels": ["tires", "tyres", "castors", "casters"],
    "windows": ["panes", "window panes"],
}
"""Other words for parts; the keys are the shape programs' names. Those without any are here because they look
like misspelt other words."""

_NOUNS_END = re.compile(
    r"[.;:!?()]|\b(?:with|without|on|has|having|whose|for|in|of|at|over|under|from|to|like|that|which|is|are)\b"
)
"""What ends the nouns behind a paint."""
_NOUNS_BEGIN = re.compile(r"[.;:!?()]|\b(?:with|without|on|has|having|whose|for)\b")
"""What the nouns before a paint stand behind."""
_LISTED = re.compile(r",|&|\band\b")
_LINKS = re.compile(
    r"(?:\s+(?:in|of|made|that|which|is|are|being|all|from|painted|colored|coloured|a|an|the))+$"
)
"""Between a part and a paint that is said after it: "legs that are painted"."""
_DENIED = re.compile(r"\b(?:without|no|not)(?:\s+(?:a|an|any|the))?$")
_SURFACE = (["surface"], ["finish"], ["paint"], ["color"], ["colour"], ["look"], ["texture"], ["material"])
"""Of the whole, and no part: "with metal surface"."""
_ARTICLE = re.compile(r"^(?:the|its|their) ")
_ENDINGS = ((r"ves$", "f"), (r"(ch|sh|ss|x)es$", r"\1"), (r"s$", ""))
"""Endings of words in the plural."""


def is_part_word(word: str) -> bool:
    """Whether a word, in the singular or the plural, is one of PART_WORDS."""
    return any(singular(word) in map(singular, (part, *others)) for part, others in PART_WORDS.items())


def synonyms(word: str) -> list[str]:
    """Other words for the parts that a word, in the singular or the plural, is for; their names first."""
    alike = [[part, *words] for part, words in PART_WORDS.items()
             if singular(word) in map(singular, (part, *words))]  # fmt: skip
    names, rest = [words[0] for words in alike], [other for words in alike for other in words[1:]]
    return [other for other in dict.fromkeys(names + rest) if singular(other) != singular(word)]


@dataclass(frozen=True)
class Place:
    """What stands around a paint, up to the paints beside it."""

    before: str
    after: str

    @property
    def denied(self) -> bool:
        """Whether there shall be none of it: "without red legs"."""
        return bool(_DENIED.search(self.before.rstrip()))

    @property
    def behind_a_part(self) -> bool:
        """Whether it is said after another noun than the object: "a sword, blade black"."""
        nouns, _ = self._nouns_before()
        return len(nouns) > 1 and bool(nouns[0]) and not self._nouns_after()[0]

    @property
    def of_all(self) -> bool:
        """Whether it is said of the whole although parts are spoken of: of the surface as such ("with metal
        surface"), or behind a part that shall not be ("without a handle, in red")."""
        noun = self._nouns_after()[0]
        return noun.split()[-1:] in _SURFACE or (not noun and self._behind()[0] == "without")

    def of(self, parts: Iterable[str], *, other_words: bool = True) -> list[str]:
        """Which of some parts the paint is said of, in the singular or the plural, by name or else by other
        words for them: the noun behind it and others that are listed bare ("red wings and tail"), or the
        nouns before, where none is behind ("wheels in black")."""
        known = words_of(list(parts), other_words=other_words)
        nouns = self._nouns_after()
        found = _last_of(nouns[0], known)
        if found is None:
            before, linked = self._nouns_before()
            if nouns[0] and not linked:
                return []
            nouns, found = before, _last_of(before[0], known)
        if found is None:
            return []
        listed = itertools.takewhile(known.__contains__, nouns[1:])
        return [found, *(known[noun] for noun in listed)]

    def _nouns_after(self) -> list[str]:
        """Phrases that are listed behind the paint, the first "" where none is."""
        return _phrases(_NOUNS_END.split(self.after)[0])

    def _nouns_before(self) -> tuple[list[str], bool]:
        """Phrases that are listed before the paint, the last first, and whether a word links them to it."""
        word, nouns, linked = self._behind()
        return ([""] if word == "without" else _phrases(nouns)[::-1]), linked

    def _behind(self) -> tuple[str, str, bool]:
        """The word that the nouns before the paint stand behind, those, and whether they are linked to it."""
        text = f" {self.before}".rstrip()
        unlinked = _LINKS.sub("", text)
        word, start = "", 0
        for match in _NOUNS_BEGIN.finditer(unlinked):
            word, start = match[0], match.end()
        return word, unlinked[start:], unlinked != text


def _phrases(text: str) -> list[str]:
    return [singular(_ARTICLE.sub("", phrase.strip())) for phrase in _LISTED.split(text)]


def words_of(parts: Sequence[str], *, other_words: bool) -> dict[str, str]:
    """Words, in what may be their singular, for parts; a part's name is no other word for another."""
    words = {singular(part): part for part in parts}
    for part in parts if other_words else ():
        for word in PART_WORDS.get(part, ()):
            words.setdefault(singular(word), part)
    return words


def _last_of(phrase: str, known: dict[str, str]) -> str | None:
    """The part that stands last in a phrase ("seat cushions" are cushions), of two that end alike the one
    with the longer word ("tail lights")."""
    phrase = f" {phrase} "
    ends = {word: phrase.rfind(f" {word} ") + len(word) for word in known if f" {word} " in phrase}
    return known[max(ends, key=lambda word: (ends[word], len(word)))] if ends else None


def singular(words: str) -> str:
    """Words one space apart, each in what may be its singular."""
    return " ".join(map(_one, words.split()))


def _one(word: str) -> str:
    for ending, other in _ENDINGS:
        if re.search(ending, word):
            return re.sub(ending, other, word)
    return word
