"""Colours of named parts: where the legs are is told by the most similar true shapes.

Each visible point of a solid takes the part of the nearest visible point of a few similar procedural shapes
that have the part; the colour of the points that most of them give to the part is then judged.
"""

from dataclasses import dataclass, field

import numpy as np

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.judges.colors import color_right
from backend.judges.solid import RESOLUTION, Solid, Surface, labelled_surface, overlap, shape_solid

_SIMILAR = 3
_LEAST_POINTS = 8
_PART_STREAM = 0x50415254
_TRIES = 20
"""Shapes drawn at most per reference wanted; parts that are rarer stay with fewer references."""


@dataclass(frozen=True)
class _Labelled:
    solid: Solid
    surface: Surface
    is_part: np.ndarray
    """bool [P]"""


@dataclass
class PartJudge:
    """Judges colours of parts; keeps the shapes that it drew."""

    references: int = 12
    """True shapes drawn per category, kind and part."""
    seed: int = 0
    _known: dict[tuple[str, str, str], list[_Labelled]] = field(default_factory=dict)

    def right(
        self, solid: Solid, surface: Surface, *, category: str, kind: str, part: str, color: str
    ) -> bool | None:
        """Whether the part shows the named colour or material; None where true shapes show no such part
        either, so that nothing can be said.

        solid: with RESOLUTION voxels along the longest side. kind: "" where it is not known.
        """
        from scipy.spatial import cKDTree

        known = self._labelled(category, kind, part)
        if not known:
            return None
        if not len(surface.points):
            return False
        similar = sorted(known, key=lambda r: -overlap(r.solid.grid, solid.grid))[:_SIMILAR]
        votes = np.zeros(len(surface.points))
        for reference in similar:
            nearest = cKDTree(reference.surface.points).query(surface.points)[1]
            votes += reference.is_part[nearest]
        chosen = votes >= (len(similar) + 1) // 2
        if chosen.sum() < _LEAST_POINTS:
            chosen = votes > 0
        return bool(chosen.sum() >= _LEAST_POINTS) and color_right(surface.colors[chosen], color)

    def _labelled(self, category: str, kind: str, part: str) -> list[_Labelled]:
        key = (category, kind, part)
        if key not in self._known:
            order = list(CATEGORIES).index(category)
            rng = np.random.default_rng([_PART_STREAM, self.seed, order, len(part)])
            found: list[_Labelled] = []
            for _ in range(_TRIES * self.references):
                sample = make(category, rng, kind=kind)
                if part in sample.shape.names and part in sample.draw.paints:
                    surface, names = labelled_surface(sample.shape)
                    is_part = np.array([name == part for name in names])
                    if is_part.any():
                        solid = shape_solid(sample.shape, resolution=RESOLUTION)
                        found.append(_Labelled(solid, surface, is_part))
                if len(found) == self.references:
                    break
            self._known[key] = found
        return self._known[key]
