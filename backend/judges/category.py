"""Category by geometry: a vote of the nearest fresh procedural shapes by volumetric IoU. No CLIP involved."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.errors import DatasetError
from backend.judges.solid import RESOLUTION, Grid, Solid, shape_solid

LEAST_REFERENCES = 30
"""Per category (issue 2); more make the judge surer, mostly on boxes such as cabinets and loudspeakers."""
_NEIGHBOURS = 5
_SHARPNESS = 8
"""Votes count by IoU to this power: a neighbour that fits beats four that do not. On true shapes 96 % were
placed right by 5 neighbours of 60 per category, 90 % with equal votes."""
_LEAST_FILLED = 0.01
"""A shape that fills less of its own box is near empty; true gliders and bare trees fill 3 % and more."""
_REFERENCE_STREAM = 0x4A554447
"""Sets the judges' random shapes apart from every corpus and from the prompts."""


@dataclass(frozen=True)
class References:
    """Voxels of N fresh procedural shapes."""

    packed: NDArray[np.uint8]
    """[N, RESOLUTION^3 / 8]"""
    categories: NDArray[np.str_]
    """[N]"""

    def overlaps(self, grid: Grid, category: str = "") -> NDArray[np.float64]:
        """IoU of a grid with every reference, or with those of one category."""
        rows = self.packed if not category else self.packed[self.categories == category]
        packed = np.packbits(grid)
        both = np.bitwise_count(rows & packed).sum(axis=1, dtype=np.int64)
        either = np.bitwise_count(rows | packed).sum(axis=1, dtype=np.int64)
        return both / np.maximum(either, 1)

    def vote(self, solid: Solid) -> dict[str, float]:
        """Share of the vote of each category, largest first; empty for a near-empty shape."""
        if solid.filled < _LEAST_FILLED:
            return {}
        overlaps = self.overlaps(solid.grid)
        nearest = np.argsort(-overlaps, kind="stable")[:_NEIGHBOURS]
        weights = overlaps[nearest] ** _SHARPNESS
        votes: dict[str, float] = {}
        for name, weight in zip(self.categories[nearest], weights, strict=True):
            votes[str(name)] = votes.get(str(name), 0.0) + float(weight)
        total = sum(votes.values())
        return {k: v / total for k, v in sorted(votes.items(), key=lambda item: -item[1])} if total else {}

    def category_of(self, solid: Solid) -> str:
        """The category with most votes; "" for a near-empty shape."""
        return next(iter(self.vote(solid)), "")

    def similarity(self, solid: Solid, category: str) -> float:
        """IoU with the most similar reference of a category."""
        return float(self.overlaps(solid.grid, category).max(initial=0.0))


def build_references(
    count: int = LEAST_REFERENCES, *, seed: int = 0, categories: tuple[str, ...] = tuple(CATEGORIES)
) -> References:
    """`count` fresh shapes of every category, its kinds in turn."""
    rows = list(_reference_rows(count, seed, categories))
    return References(np.stack([row[0] for row in rows]), np.array([row[1] for row in rows]))


def _reference_rows(
    count: int, seed: int, categories: tuple[str, ...]
) -> Iterator[tuple[NDArray[np.uint8], str]]:
    for name in categories:
        rng = np.random.default_rng([_REFERENCE_STREAM, seed, list(CATEGORIES).index(name)])
        kinds = list(CATEGORIES[name].kinds)
        for i in range(count):
            shape = make(name, rng, kind=kinds[i % len(kinds)]).shape
            yield np.packbits(shape_solid(shape, resolution=RESOLUTION).grid), name


def resolve_category(word: str) -> str:
    """The category of a word ("couch" -> "sofa", "office chair" -> "chair"); DatasetError if unknown."""
    wanted = " ".join(word.lower().split())
    for candidate in (wanted, wanted.removesuffix("s")):
        if candidate in _category_words():
            return _category_words()[candidate]
    raise DatasetError(
        f"There is no category {word!r}.", remedy=f"Use one of: {', '.join(CATEGORIES)}; or a word for one."
    )


@functools.cache
def _category_words() -> dict[str, str]:
    """Every noun -> category; names come before nouns, nouns before those of kinds."""
    words = {name: name for name in CATEGORIES}
    for name, category in CATEGORIES.items():
        for noun in category.nouns:
            words.setdefault(noun.lower(), name)
    for name, category in CATEGORIES.items():
        for kind, entry in category.kinds.items():
            for noun in (kind, *entry.nouns):
                words.setdefault(noun.lower(), name)
    return words
