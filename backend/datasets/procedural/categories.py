"""The table of all categories, merged from the families, and the one way to make a shape."""

from dataclasses import dataclass

import numpy as np

from backend.datasets.procedural import (
    aircraft,
    beds,
    benches,
    buildings,
    cars,
    electronics,
    instruments,
    lighting,
    lounging,
    plants,
    rockets,
    seating,
    storage,
    tables,
    vessels,
    watercraft,
    weapons,
)
from backend.datasets.procedural.draw import Category, Draw
from backend.datasets.procedural.shape import PackedShape, Shape

CATEGORIES: dict[str, Category] = {
    **seating.CATEGORIES,
    **benches.CATEGORIES,
    **lounging.CATEGORIES,
    **beds.CATEGORIES,
    **tables.CATEGORIES,
    **storage.CATEGORIES,
    **vessels.CATEGORIES,
    **buildings.CATEGORIES,
    **electronics.CATEGORIES,
    **lighting.CATEGORIES,
    **plants.CATEGORIES,
    **aircraft.CATEGORIES,
    **rockets.CATEGORIES,
    **cars.CATEGORIES,
    **instruments.CATEGORIES,
    **watercraft.CATEGORIES,
    **weapons.CATEGORIES,
}


@dataclass(frozen=True)
class Sample:
    """A made shape with everything known about it."""

    category: Category
    draw: Draw
    shape: PackedShape


def make(
    category: str, rng: np.random.Generator, *, kind: str = "", color: str = "", style: str = ""
) -> Sample:
    """A random shape of a category; kind, colour and style may be forced."""
    entry = CATEGORIES[category]
    draw = Draw(entry, rng, kind=kind, color=color, style=style)
    shape = Shape()
    entry.build(shape, draw)
    return Sample(entry, draw, shape.pack())
