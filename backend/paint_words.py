"""The words for colours and materials, of captions, judges and prompts; and which of them a prompt says."""

import functools
import re

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


def paints_named(text: str) -> tuple[str, ...]:
    """Colours and materials that a text names, in its order, each once: "a grey sofa with oak legs" names
    gray and wood. Of words that overlap the longest counts: "light brown" is beige and not brown."""
    found = (_meanings()[match] for match in _pattern().findall(text.lower()))
    return tuple(dict.fromkeys(found))


@functools.cache
def _meanings() -> dict[str, str]:
    return {word: name for table in (COLOR_WORDS, PATTERN_WORDS) for name, words in table.items()
            for word in words}  # fmt: skip


@functools.cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_meanings(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")
