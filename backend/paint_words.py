"""The words for colours and materials, of captions, judges and prompts; and which of them a prompt says."""

import functools
import re
from dataclasses import dataclass, field

from backend.part_words import Place

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


_TINGE = "dark"
"""Of things it means black, of materials a darker one."""
_PARTS_FOLLOW = re.compile(r"\b(with|without|having|has|whose|on|and|in an?)\b")
"""From here on a text speaks of parts."""


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
    end = 0
    matches = list(paint_pattern().finditer(text))
    for match, until in zip(matches, [*(m.start() for m in matches[1:]), len(text)], strict=False):
        name, before, after = _meanings()[match[0]], text[end : match.start()], text[match.end() : until]
        if not coats or before.strip():
            coats.append([name])
            places.append(Place(before, after))
        elif text[:end].endswith(_TINGE) and name in PATTERN_WORDS:
            coats[-1] = [name]  # dark wood is no black
        elif name not in coats[-1]:
            coats[-1].append(name)
        places[-1] = Place(places[-1].before, after)
        end = match.end()
    said: dict[tuple[str, ...], list[Place]] = {}
    for coat, place in zip(coats, places, strict=True):
        if not place.denied:
            said.setdefault(tuple(coat), []).append(place)
    parts = _PARTS_FOLLOW.search(text)
    whole = bool(said) and not places[0].denied and not places[0].behind_a_part
    whole = whole and (parts is None or matches[0].start() <= parts.start() or places[0].of_all)
    return Paintwork(tuple(said), whole, tuple(map(tuple, said.values())))


@functools.cache
def _meanings() -> dict[str, str]:
    return {word: name for table in (COLOR_WORDS, PATTERN_WORDS) for name, words in table.items()
            for word in words}  # fmt: skip


@functools.cache
def paint_pattern() -> re.Pattern[str]:
    """Any of the words for colours and materials in lower case, the longest that fits."""
    longest_first = sorted(_meanings(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")
