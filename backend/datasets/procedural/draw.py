"""Random choices of a shape program, each remembered as a fact that captions and judges can use."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.datasets.procedural.materials import COLORS, Material, patterned, plain

_COLOR_WEIGHTS = {"beige": 0.6, "turquoise": 0.8, "purple": 0.9, "pink": 0.8}
_STYLE_PATTERNS = (
    "gold", "brick", "rust", "leaf", "zebra", "checker", "stripes", "dots", "flame", "ice", "concrete",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A sub-type of a category."""

    nouns: tuple[str, ...]
    """Noun phrases for it, the plainest first: ("office chair", "desk chair")."""
    weight: float = 1.0


@dataclass(frozen=True)
class Category:
    """A category of objects: its words and its program."""

    name: str
    nouns: tuple[str, ...]
    """Noun phrases that fit every kind: ("chair", "seat")."""
    kinds: dict[str, Kind]
    build: Any
    """Callable (Shape, Draw) -> None: the shape program."""
    phrases: dict[tuple[str, Any], tuple[str, ...]] = field(default_factory=dict)
    """Words for facts: {("back", "high"): ("with a high back", "high backed"),
    ("arms", False): ("without armrests",)}. A phrase that starts with "with", "without", "on", "that", "and"
    or "in" stands after the noun, any other before it."""
    materials: dict[str, float] = field(default_factory=dict)
    """Extra weights of natural materials: {"wood": 3, "metal": 1}; plain colours have weight 6 together."""
    size: float = 1.0
    """Typical real-world height in metres."""


class Draw:
    """Draws with memory: `facts` holds every named choice, `paints` the material of each named part.

    `style` forces a pattern on the main material (used for style images); `color` forces its colour.
    """

    def __init__(self, category: Category, rng: np.random.Generator, *, kind: str = "", color: str = "",
                 style: str = "") -> None:  # fmt: skip
        self.rng = rng
        self.category = category
        self.facts: dict[str, Any] = {}
        self.paints: dict[str, Material] = {}
        names = list(category.kinds)
        weights = np.array([category.kinds[n].weight for n in names])
        self.kind: str = kind or str(rng.choice(names, p=weights / weights.sum()))
        self._main = self._draw_main(color, style)

    def pick(self, fact: str, **options: float) -> str:
        """One of the options by weight, remembered under `fact`; underscores stand for spaces."""
        names = list(options)
        weights = np.array([options[n] for n in names], float)
        value = str(self.rng.choice(names, p=weights / weights.sum())).replace("_", " ")
        self.facts[fact] = value
        return value

    def flag(self, fact: str, probability: float) -> bool:
        """True with the given probability, remembered."""
        value = bool(self.rng.random() < probability)
        self.facts[fact] = value
        return value

    def count(self, fact: str, low: int, high: int) -> int:
        """A whole number in [low, high], remembered."""
        value = int(self.rng.integers(low, high + 1))
        self.facts[fact] = value
        return value

    def between(self, low: float, high: float) -> float:
        """A number in [low, high]; not remembered."""
        return float(self.rng.uniform(low, high))

    def note(self, fact: str, value: Any) -> None:
        """Remember a fact that follows from others."""
        self.facts[fact] = value

    def main(self, part: str = "body") -> Material:
        """The object's main material, the one a caption's colour names. `part` is the part it paints."""
        self.paints[part] = self._main
        return self._main

    def other(self, part: str, *, same: float = 0.4, colors: tuple[str, ...] = (),
              patterns: tuple[str, ...] = ()) -> Material:  # fmt: skip
        """Material of a second part: the main one with probability `same`, else a colour or pattern of its
        own (from `colors` and `patterns` where given, else any plain colour)."""
        if part in self.paints:
            return self.paints[part]
        choices = [c for c in (*colors, *patterns) if c != self._main.named]
        if self.rng.random() < same:
            material = self._main
        elif choices:
            name = str(self.rng.choice(choices))
            material = patterned(name, self.rng) if name in patterns else plain(name, self.rng)
        else:
            material = plain(str(self.rng.choice([c for c in COLORS if c != self._main.color])), self.rng)
        self.paints[part] = material
        return material

    def fixed(self, part: str, color: str) -> Material:
        """Material of a part that is always of one colour (tyres black): no caption names it."""
        return plain(color, self.rng, jitter=0.02)

    def _draw_main(self, color: str, style: str) -> Material:
        if style:
            return patterned(style, self.rng, color)
        if color:
            return plain(color, self.rng)
        natural = self.category.materials
        roll = self.rng.random() * (6.0 + sum(natural.values()) + 0.8)
        if roll < 6.0:
            weights = np.array([_COLOR_WEIGHTS.get(c, 1.0) for c in COLORS])
            return plain(str(self.rng.choice(list(COLORS), p=weights / weights.sum())), self.rng)
        roll -= 6.0
        for pattern, weight in natural.items():
            if roll < weight:
                return patterned(pattern, self.rng)
            roll -= weight
        return patterned(str(self.rng.choice(_STYLE_PATTERNS)), self.rng)
