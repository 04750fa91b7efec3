"""Captions made false: one colour, material or attribute exchanged for a rival.

"a red chair with black legs" becomes "a red chair with blue legs". A text tower that has to tell the two
apart cannot get by with a bag of words (our choice; hard negatives are an old idea of the field).
"""

import functools

import numpy as np

from backend.datasets.procedural.captions import articled, stands_after
from backend.datasets.procedural.categories import CATEGORIES
from backend.paint_words import COLOR_WORDS, PATTERN_WORDS

_LONGEST = 6
"""Words of the longest phrase that is looked for."""


def altered(caption: str, category: str, rng: np.random.Generator) -> str:
    """The caption of a shape of a category with one phrase exchanged, so that it is no longer true; the
    caption itself where it says nothing but the noun."""
    known, words = _rivals(category), caption.split()
    spans, i = [], 0
    while i < len(words):
        for size in range(min(_LONGEST, len(words) - i), 0, -1):
            if " ".join(words[i : i + size]) in known:
                spans.append((i, i + size))
                i += size - 1
                break
        i += 1
    if not spans:
        return caption
    start, stop = spans[int(rng.integers(len(spans)))]
    rivals = known[" ".join(words[start:stop])]
    # "an orange" would tell that a "lemon yellow" was put there.
    before = ["a" if word == "an" else word for word in words[:start]]
    return articled(" ".join([*before, rivals[int(rng.integers(len(rivals)))], *words[stop:]]))


@functools.cache
def _rivals(category: str) -> dict[str, tuple[str, ...]]:
    """Phrase -> phrases that cannot be true of the same thing and stand at the same place."""
    tables: list[dict[object, tuple[str, ...]]] = [
        {name: tuple(words) for table in (COLOR_WORDS, PATTERN_WORDS) for name, words in table.items()}
    ]
    by_fact: dict[str, dict[object, tuple[str, ...]]] = {}
    for (fact, value), phrases in CATEGORIES[category].phrases.items():
        by_fact.setdefault(fact, {})[value] = tuple(phrases)
    tables += [values for values in by_fact.values() if len(values) > 1]
    found = {
        phrase: tuple(
            other
            for rival, others in table.items()
            for other in others
            if rival != value and stands_after(other) == stands_after(phrase)
        )
        for table in tables
        for value, phrases in table.items()
        for phrase in phrases
    }
    return {phrase: rivals for phrase, rivals in found.items() if rivals}
