"""The words for colours and materials, of captions, judges and prompts; and which of them a prompt says."""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

COLOR_WORDS: dict[str, list[str]] = {
    "red": ["red", "crimson", "scarlet", "ruby", "dark red", "bright red"],
    "orange": ["orange", "tangerine", "bright orange"],
    "yellow": ["yellow", "lemon yellow", "bright yellow", "canary"],
    "green": ["green", "emerald", "dark green", "grass green", "olive"],
    "blue": ["blue", "navy", "royal blue", "cobalt", "dark blue", "azure"],
    "purple": ["purple", "violet", "lilac", "plum"],
    "pink": ["pink", "rose", "magenta", "salmon pink"],
    "brown": ["brown", "chocolate brown", "chestnut", "tan"],
    "black": ["black", "jet black", "ebony", "dark"],
    "white": ["white", "snow white", "ivory", "bright white"],
    "gray": ["gray", "grey", "dark gray", "slate", "charcoal"],
    "turquoise": ["turquoise", "teal", "cyan", "aqua"],
    "beige": ["beige", "cream", "sand colored", "light brown"],
}
"""Words for each named colour, the plain word first."""

PATTERN_WORDS: dict[str, list[str]] = {
    "wood": ["wooden", "wood", "oak", "made of wood", "timber"],
    "metal": ["metal", "metallic", "steel", "made of metal", "iron", "silver", "aluminium"],
    "gold": ["golden", "gold", "gilded", "made of gold"],
    "marble": ["marble", "made of marble", "stone"],
    "glass": ["glass", "made of glass", "transparent"],
    "leather": ["leather", "made of leather"],
    "fabric": ["fabric", "cloth", "upholstered", "textile", "woven"],
    "concrete": ["concrete", "made of concrete", "cement"],
    "brick": ["brick", "made of bricks", "brick patterned"],
    "rust": ["rusty", "rusted", "corroded"],
    "leaf": ["leafy", "covered in leaves", "leaf covered"],
    "zebra": ["zebra", "zebra striped", "zebra patterned"],
    "checker": ["checkered", "checkerboard", "chequered"],
    "stripes": ["striped", "with stripes", "stripy"],
    "dots": ["polka dot", "with polka dots", "dotted", "spotted"],
    "flame": ["flaming", "burning", "on fire", "fiery"],
    "ice": ["icy", "frozen", "made of ice"],
}
"""Adjectives and phrases for each pattern, the plain word first."""


PART_WORDS: dict[str, list[str]] = {
    "armrests": ["arms", "arm rests"],
    "back": ["backrest", "back rest"],
    "body": ["fuselage", "case", "belly"],
    "cockpit": ["canopy"],
    "cushions": ["pillows"],
    "feet": ["legs"],
    "fretboard": ["fingerboard"],
    "guard": ["crossguard"],
    "handle": ["hilt", "grip"],
    "handles": ["knobs", "pulls"],
    "headlights": ["lights", "lamps"],
    "hub": ["rims", "hubcaps"],
    "leaves": ["foliage", "crown", "needles"],
    "legs": ["feet"],
    "pillows": ["cushions"],
    "post": ["pole"],
    "propeller": ["propellor", "prop"],
    "sail": ["canvas"],
    "shade": ["lampshade", "lamp shade"],
    "stand": ["foot", "base"],
    "stem": ["pole"],
    "stems": ["stalks"],
    "top": ["tabletop", "table top"],
    "wheels": ["tires", "tyres", "castors", "casters"],
    "windows": ["panes", "window panes"],
}
"""Other words for parts, as the shape programs call them."""

_TINGE = "dark"
"""Of things it means black, of materials a darker one."""
_LINKS = re.compile(r"(\s+(in|of|made|that|which|is|are|painted|colored|coloured))+$")
"""Between a part and a paint that is said after it: "legs that are painted"."""
_STOP = re.compile(r"[,.;:!?()]|\b(?:and|with|without|on|has|having|whose|for)\b")
"""What ends the words about a paint."""
_PARTS_FOLLOW = re.compile(r"\b(with|without|having|has|whose|on|and)\b")
"""From here on a text speaks of parts."""


@dataclass(frozen=True)
class Place:
    """The words around a paint, up to the paints or stops beside it."""

    before: str
    """Without what links a part to a paint that follows it; every word in what may be its singular."""
    after: str

    def of(self, parts: Iterable[str]) -> str | None:
        """Which of some parts the paint is said of, in the singular or the plural: "black wheels", or "wheels
        in black" where nothing follows. By name, the longest that fits ("tail lights" are not the tail), else
        by another word for it."""
        named = [part for part in parts if self._fits(part)]
        meant = [part for part in parts if any(map(self._fits, PART_WORDS.get(part, ())))]
        return max(named or meant, key=len, default=None)

    def _fits(self, word: str) -> bool:
        if not self.after:
            return f" {self.before}".endswith(f" {_one(word)}")
        return f"{self.after} ".startswith(f"{_one(word)} ")


@dataclass(frozen=True)
class Paintwork:
    """What a text says of paints."""

    coats: tuple[tuple[str, ...], ...] = ()
    """In its order, each once: names of colours and materials that stand together, so of one paint."""
    whole: bool = False
    """Whether the first coat is said of the object, not of a part of it."""
    places: tuple[tuple[Place, ...], ...] = field(default=(), compare=False)
    """Where each coat is said."""


def paintwork(text: str) -> Paintwork:
    """The paints that a text names: "a grey leather sofa with oak legs" is (gray, leather), of the whole, and
    (wood). Of words that overlap the longest counts: "light brown" is beige and not brown."""
    text = text.lower()
    coats: list[list[str]] = []
    places: list[Place] = []
    end = -1
    matches = list(_pattern().finditer(text))
    ends = [match.start() for match in matches[1:]]
    for match, until in zip(matches, [*ends, len(text)], strict=False):
        name = _meanings()[match[0]]
        after = _one(_STOP.split(text[match.end() : until])[0])
        if not coats or text[end : match.start()].strip():
            coats.append([name])
            before = _STOP.split(text[max(end, 0) : match.start()])[-1]
            places.append(Place(_one(_LINKS.sub("", before.rstrip())), after))
        elif text[:end].endswith(_TINGE) and name in PATTERN_WORDS:
            coats[-1] = [name]  # dark wood is no black
        elif name not in coats[-1]:
            coats[-1].append(name)
        places[-1] = replace(places[-1], after=after)
        end = match.end()
    parts = _PARTS_FOLLOW.search(text)
    whole = bool(matches) and (parts is None or matches[0].start() <= parts.start())
    said: dict[tuple[str, ...], list[Place]] = {}
    for coat, place in zip(coats, places, strict=True):
        said.setdefault(tuple(coat), []).append(place)
    return Paintwork(tuple(said), whole, tuple(map(tuple, said.values())))


def _one(words: str) -> str:
    """Words one space apart, each in what may be its singular."""
    return " ".join(word.removesuffix("s") for word in words.split())


@functools.cache
def _meanings() -> dict[str, str]:
    return {word: name for table in (COLOR_WORDS, PATTERN_WORDS) for name, words in table.items()
            for word in words}  # fmt: skip


@functools.cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_meanings(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")
