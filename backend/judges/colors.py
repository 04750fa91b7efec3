"""Colour of what is seen: the named colour that covers most of a surface, and whether it looks like mud.

Named colours are those of the procedural materials; a material with a look of its own (wood, marble) is known
by the colours that it is drawn in. Nearest means nearest in CIELAB, as the eye sees it.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from backend.datasets.procedural.materials import COLORS, PATTERNS, patterned
from backend.errors import DatasetError
from backend.paint_words import COLOR_WORDS, PATTERN_WORDS

NAMES = tuple(COLORS)
NEARLY = 0.7
"""A second colour with at least this share of the largest area counts as dominant too: a car that is half
red and half white by a few pixels is rightly called either."""
MAIN_PART = 0.4
"""The same where the colour is known to be the main part's, which other parts may outsize: a purple biplane
with yellow wings shows more yellow. True shapes: 98 % pass (94 % with NEARLY)."""
_CLOSE = 14.0
"""CIELAB distance within which two pixels are one paint."""
_PAINTS = 5
"""Paints that an object may show: body, legs, wheels, window, one more."""
_PAINT_SHARE = 0.85
"""Share of the visible surface that these must explain; a blotchy surface runs through many colours."""


def resolve_color(word: str) -> str:
    """The named colour or material of a word ("grey" -> "gray", "oak" -> "wood"); DatasetError if unknown."""
    wanted = " ".join(word.lower().split())
    for table in (COLOR_WORDS, PATTERN_WORDS):
        for name, words in table.items():
            if wanted == name or wanted in words:
                return name
    raise DatasetError(
        f"There is no colour or material {word!r}.",
        remedy=f"Use one of: {', '.join((*COLORS, *PATTERN_WORDS))}.",
    )


def color_shares(colors: NDArray[np.float32]) -> dict[str, float]:
    """Share of each named colour among visible points [P, 3], largest first."""
    if not len(colors):
        return {}
    counts = np.bincount(nearest_names(colors), minlength=len(NAMES)) / len(colors)
    return {NAMES[i]: float(counts[i]) for i in np.argsort(-counts) if counts[i] > 0}


def nearest_names(colors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index into NAMES [P] of the nearest named colour of each sRGB colour [P, 3]."""
    palette = _lab(np.array([COLORS[name] for name in NAMES]))
    return np.linalg.norm(_lab(colors)[:, None] - palette, axis=-1).argmin(axis=1)


def color_right(colors: NDArray[np.float32], wanted: str, *, nearly: float = NEARLY) -> bool:
    """Whether the dominant colour of visible points [P, 3] is the wanted named colour or material."""
    shares = color_shares(colors)
    if not shares:
        return False
    most = max(shares.values())
    return any(shares.get(name, 0.0) >= nearly * most for name in colors_of(wanted))


@functools.cache
def colors_of(name: str) -> frozenset[str]:
    """Named colours that a named colour or material may show: {"red"}; for wood {"brown", "beige", ...}."""
    if name in COLORS:
        return frozenset({name})
    if name not in PATTERNS:
        raise DatasetError(f"There is no material {name!r}.", remedy=f"Use one of: {', '.join(PATTERNS)}.")
    rng = np.random.default_rng(0)
    drawn = [patterned(name, rng) for _ in range(40)]
    shown = np.array([[m.color_a, np.add(m.color_a, m.color_b) / 2] for m in drawn]).reshape(-1, 3)
    return frozenset(NAMES[i] for i in nearest_names(shown))


def looks_painted(colors: NDArray[np.float32]) -> bool:
    """Whether visible points [P, 3] show a few clear paints, the first near a named colour or a material:
    uniform per part, not mud."""
    if not len(colors):
        return False
    lab = _lab(colors)
    rest, found = np.ones(len(lab), dtype=bool), []
    for _ in range(_PAINTS):
        if not rest.any():
            break
        center = _mode(lab[rest])
        near = rest & (np.linalg.norm(lab - center, axis=1) < _CLOSE)
        found.append((int(near.sum()), center))
        rest &= ~near
    palette = np.concatenate([_lab(np.array([COLORS[name] for name in NAMES])), _material_tints()])
    clear = np.linalg.norm(palette - found[0][1], axis=1).min() < _CLOSE
    return bool(clear and sum(count for count, _ in found) >= _PAINT_SHARE * len(lab))


def _mode(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """The densest place among colours [P, 3]: the mean of the fullest cell's neighbourhood."""
    cells = np.floor(lab / _CLOSE).astype(int)
    _, numbers, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    first = lab[numbers.reshape(-1) == counts.argmax()].mean(axis=0)
    return lab[np.linalg.norm(lab - first, axis=1) < _CLOSE].mean(axis=0)


@functools.cache
def _material_tints() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    drawn = [patterned(name, rng) for name in PATTERN_WORDS for _ in range(8)]
    return _lab(np.array([color for m in drawn for color in (m.color_a, m.color_b)]))


def _lab(colors: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(np.asarray(colors, dtype=np.float64)))
