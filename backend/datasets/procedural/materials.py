"""What shapes are made of: colours, and patterns that are functions of the point in space.

A material is one of the patterns below with two colours. Patterns are coarse on purpose: the starter's
images are 64 pixels wide, and a pattern finer than a few pixels is noise to every model that sees it.
"""

from dataclasses import dataclass, field

import numpy as np

from backend.named_colors import COLORS, TINTS, partner
from backend.svr.parts_layout import PATTERNS as PATTERNS  # The index is what the compiled kernels see.

_TWO_COLORED = ("checker", "stripes", "dots")
_SCALES = {"checker": 0.13, "stripes": 0.14, "dots": 0.16, "zebra": 0.16, "brick": 0.14, "fabric": 0.07}


@dataclass(frozen=True)
class Material:
    """A pattern with its colours. Words for it are what captions and judges go by."""

    pattern: str
    """One of PATTERNS."""
    color_a: tuple[float, float, float]
    """Main colour, display-referred sRGB in [0, 1]."""
    color_b: tuple[float, float, float]
    """Second colour of the pattern."""
    scale: float = 0.15
    """Size of the pattern in units of the cube."""
    phase: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))
    """Shift of the pattern, so that no two look alike."""
    color: str = ""
    """Name of the colour, or "" where the pattern names the look (wood, marble, ...)."""

    @property
    def named(self) -> str:
        """The colour's name, or the pattern's where the pattern has its own colours."""
        return self.color or self.pattern


def plain(color: str, rng: np.random.Generator, jitter: float = 0.05) -> Material:
    """One flat colour by name, strayed a little."""
    rgb = _jittered(COLORS[color], rng, jitter)
    return Material("plain", rgb, rgb, color=color)


def patterned(pattern: str, rng: np.random.Generator, color: str = "") -> Material:
    """A pattern in its own colours, or in a named colour where the pattern takes one."""
    phase = tuple(float(v) for v in rng.uniform(-1, 1, 3))
    scale = _SCALES.get(pattern, 0.15) * float(rng.uniform(0.85, 1.2))
    if pattern in _TWO_COLORED or (pattern in ("fabric", "leather") and color):
        base = color or str(rng.choice(list(COLORS)))
        first = _jittered(COLORS[base], rng, 0.04)
        second = partner(base) if pattern in _TWO_COLORED else tuple(0.8 * v for v in first)
        return Material(pattern, first, second, scale, phase, color=base)
    if pattern not in TINTS:
        base = color or "beige"
        first = _jittered(COLORS[base], rng, 0.04)
        return Material(pattern, first, tuple(0.8 * v for v in first), scale, phase, color=base)
    mains, seconds = TINTS[pattern]
    first = _jittered(mains[int(rng.integers(len(mains)))], rng, 0.03)
    return Material(pattern, first, seconds[int(rng.integers(len(seconds)))], scale, phase)


def _jittered(rgb: tuple[float, ...], rng: np.random.Generator, amount: float) -> tuple[float, float, float]:
    brightness = rng.uniform(1 - 2 * amount, 1 + 2 * amount)
    values = np.clip(np.array(rgb) * brightness + rng.uniform(-amount, amount, 3) * 0.6, 0.02, 0.98)
    return float(values[0]), float(values[1]), float(values[2])
