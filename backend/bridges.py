"""Rods that join the loose parts of a sampled shape to the rest of it.

A field that is unsure of a thin leg or pole leaves a gap in it. Where the gap between two parts is short,
a rod closes it at its shortest place; the method and the reference code have nothing like it (our choice).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.sparse_grid import SparseGrid, grid_points, with_values

RADIUS = 0.015
"""Radius of a rod in a cube of side 1: a little below the thinnest parts that the starter was shown."""
_FEWEST_CELLS = 1.5
"""A rod has at least this radius in cells, or a coarse grid would lose it."""
_SPECK = 0.002
"""Pieces below this share of the largest one's samples are no parts."""


@dataclass(frozen=True)
class Bridges:
    """Rods of one radius; as a field, greater than 0 inside."""

    ends: NDArray[np.float64]
    """[S, 2, 3]"""
    radius: float
    slope: float
    """Change of the field per unit of distance, like that of the shape's own field."""

    def values(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the nearest rod at points [P, 3]; -inf without rods."""
        best = np.full(len(points), -np.inf, dtype=np.float32)
        for start, end in self.ends:
            along = end - start
            share = ((points - start) @ along) / max(float(along @ along), 1e-12)
            nearest = start + np.clip(share, 0, 1)[:, None] * along
            distance = np.linalg.norm(points - nearest, axis=1)
            np.maximum(best, self.slope * (self.radius - distance), out=best, casting="same_kind")
        return best


def find_bridges(grid: SparseGrid, greatest_gap: float) -> Bridges | None:
    """The fewest, shortest rods that join the parts of a shape over gaps of at most `greatest_gap`; None
    where there is nothing to join."""
    from scipy.ndimage import label
    from scipy.sparse.csgraph import minimum_spanning_tree

    labels, _ = label(grid.values > 0)
    sizes = np.bincount(labels.ravel())[1:]
    parts = np.flatnonzero(sizes >= _SPECK * sizes.max(initial=0)) + 1
    if len(parts) < 2:
        return None
    outer = [np.argwhere((labels == part) & grid.surface).astype(np.int32) for part in parts]
    clouds = [grid_points(index, grid.resolution, grid.bound).astype(np.float64) for index in outer]
    gaps = np.zeros((len(parts), len(parts)))
    ends: dict[tuple[int, int], NDArray[np.float64]] = {}
    for i, j in zip(*np.triu_indices(len(parts), 1), strict=True):
        ends[i, j] = _closest(clouds[i], clouds[j])
        gap = float(np.linalg.norm(ends[i, j][1] - ends[i, j][0]))
        gaps[i, j] = gap if gap <= greatest_gap else 0.0  # 0 is no edge
    tree = minimum_spanning_tree(gaps).tocoo()
    if not tree.nnz:
        return None
    cell = 2 * grid.bound / grid.resolution
    magnitude = np.median(np.abs(grid.values[grid.surface]))
    joined = np.stack([ends[i, j] for i, j in zip(tree.row, tree.col, strict=True)])
    return Bridges(joined, max(RADIUS, _FEWEST_CELLS * cell), float(magnitude) / (cell / 2))


def build_bridges(grid: SparseGrid, bridges: Bridges) -> SparseGrid:
    """The grid of the shape and the rods together."""
    values = grid.values.copy()
    cell = 2 * grid.bound / grid.resolution
    margin = bridges.radius + 2 * cell
    for start, end in bridges.ends:
        low = np.floor((np.minimum(start, end) - margin + grid.bound) / cell).astype(int).clip(0)
        high = np.ceil((np.maximum(start, end) + margin + grid.bound) / cell).astype(int)
        high = high.clip(max=grid.resolution)
        index = np.indices(high - low + 1, dtype=np.int32).reshape(3, -1).T + low.astype(np.int32)
        at = tuple(index.T)
        values[at] = np.maximum(values[at], bridges.values(grid_points(index, grid.resolution, grid.bound)))
    return with_values(grid, values)


def _closest(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The closest two points [2, 3] of point sets [N, 3] and [M, 3]."""
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(b).query(a)
    best = int(distance.argmin())
    return np.stack([a[best], b[nearest[best]]])
