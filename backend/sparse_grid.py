"""Occupancy sampled on a fine grid only where the surface is.

A coarse grid is sampled whole; each finer level starts from interpolated values, samples the corners of
every cell that seems to hold the surface, and follows the surface wherever a sampled sign differs from the
interpolated one. In the end every cell with a sign change has sampled corners, so marching cubes sees what
a dense grid would show it.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

COARSEST = 32
"""Fewest cells per axis of the first level: a part 0.03 thick is at most half a cell from a sample."""
MOST_LEVELS = 2
"""Doublings after the first level; more would start too coarse for thin parts."""
SUSPICION = 0.75
"""A sample whose value is below this share of the steepest step nearby may have a thin part beside it: a
sheet or rod between samples is at most 0.71 cells away from one."""

T = TypeVar("T")

Sampler = Callable[[NDArray[np.float32]], Generator[float, None, NDArray[np.float32]]]
"""Points [P, 3] -> values [P], greater than 0 inside; yields the fraction done after each chunk."""


@dataclass(frozen=True, eq=False)
class SparseGrid:
    """Field values at the corners of a cubic grid, iso level 0, greater than 0 inside."""

    values: NDArray[np.float32]
    """[n + 1, n + 1, n + 1], index order x, y, z; sampled where `surface`, elsewhere only the sign counts."""
    surface: NDArray[np.bool_]
    """[n + 1, n + 1, n + 1], true at the corners of cells with a sign change."""
    bound: float
    """Half side of the cube that the grid spans."""

    @property
    def resolution(self) -> int:
        """Cells per axis."""
        return self.values.shape[0] - 1


def sample_grid(
    sample: Sampler, resolution: int, bound: float, *, levels: int | None = None
) -> Generator[float, None, SparseGrid]:
    """Yields the fraction done after every chunk of samples and returns the grid.

    resolution: cells per axis, rounded up to a multiple of 2^levels. levels: doublings after the first, whole
    level; 0 is a dense grid, None chooses by the resolution.
    """
    if levels is None:
        levels = max(0, min(MOST_LEVELS, int(np.log2(resolution / COARSEST)))) if resolution > COARSEST else 0
    cells = -(-resolution // 2**levels)
    everywhere = np.indices((cells + 1,) * 3, dtype=np.int32).reshape(3, -1).T
    share = 0.5 if levels else 1.0
    taken = yield from relay(sample(grid_points(everywhere, cells, bound)), 0.0, share)
    values = taken.reshape((cells + 1,) * 3)
    known = np.ones(values.shape, dtype=bool)
    for level in range(levels):
        wanted = _doubled_cells(_suspicious(values)) if level == 0 else None
        values, known = _upsample(values, known)
        start = share + (1 - share) * level / levels
        yield from relay(
            _follow_surface(sample, values, known, bound, wanted), start, start + (1 - share) / levels
        )
    return SparseGrid(values, _corners_of(_mixed_cells(values > 0)), bound)


def with_values(grid: SparseGrid, values: NDArray[np.float32]) -> SparseGrid:
    """A grid in the same place with other values [n + 1, n + 1, n + 1]."""
    return SparseGrid(values, _corners_of(_mixed_cells(values > 0)), grid.bound)


def grid_points(index: NDArray[np.int32], resolution: int, bound: float) -> NDArray[np.float32]:
    """Positions [P, 3] of grid indices [P, 3], fractions allowed."""
    return (index * (2.0 * bound / resolution) - bound).astype(np.float32)


def relay(inner: Generator[float, None, T], start: float, end: float) -> Generator[float, None, T]:
    """The inner generator with its fractions 0..1 mapped to start..end."""
    while True:
        try:
            fraction = next(inner)
        except StopIteration as stop:
            return stop.value
        yield start + (end - start) * fraction


def _follow_surface(
    sample: Sampler,
    values: NDArray[np.float32],
    known: NDArray[np.bool_],
    bound: float,
    wanted: NDArray[np.bool_] | None,
) -> Generator[float, None, None]:
    """Samples, in place, every corner of every cell with a sign change, and the `wanted` points."""
    corners = _corners_of(_mixed_cells(values > 0))
    if wanted is not None:
        corners |= wanted
    pending = np.argwhere(corners & ~known).astype(np.int32)
    done = 0.0
    while len(pending):
        at = tuple(pending.T)
        before = values[at] > 0
        # How many rounds follow is unknown; the first is by far the largest.
        fresh = yield from relay(sample(grid_points(pending, len(values) - 1, bound)), done, (1 + done) / 2)
        done = (1 + done) / 2
        values[at], known[at] = fresh, True
        pending = _unknown_corners_around(pending[(fresh > 0) != before], values, known)


def _unknown_corners_around(
    flipped: NDArray[np.int32], values: NDArray[np.float32], known: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Unsampled corners [P, 3] of the cells with a sign change that touch the points `flipped`."""
    if not len(flipped):
        return flipped
    cube = np.indices((2, 2, 2), dtype=np.int32).reshape(3, 8).T
    cells = (flipped[:, None] - cube).reshape(-1, 3)
    cells = np.unique(cells[((cells >= 0) & (cells < len(values) - 1)).all(axis=1)], axis=0)
    corners = cells[:, None] + cube  # [cell, corner, 3]
    inside = values[tuple(np.moveaxis(corners, -1, 0))] > 0
    mixed = corners[inside.any(axis=1) & ~inside.all(axis=1)].reshape(-1, 3)
    return np.unique(mixed[~known[tuple(mixed.T)]], axis=0)


def _suspicious(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells [n, n, n] around samples that are nearly on the surface but in no cell with a sign change."""
    from scipy.ndimage import maximum_filter

    steepest = np.zeros_like(values)
    for axis in range(3):
        step = np.abs(np.diff(values, axis=axis))
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        for part in (tuple(low), tuple(high)):
            np.maximum(steepest[part], step, out=steepest[part])
    near = np.abs(values) < SUSPICION * maximum_filter(steepest, size=3)
    return _touched_cells(near & ~_corners_of(_mixed_cells(values > 0)))


def _mixed_cells(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells [n, n, n] with corners on both sides, of points [n + 1, n + 1, n + 1]."""
    return _touched_cells(inside) & _touched_cells(~inside)


def _touched_cells(points: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells [n, n, n] with at least one marked corner."""
    some = points[:-1] | points[1:]
    some = some[:, :-1] | some[:, 1:]
    return some[:, :, :-1] | some[:, :, 1:]


def _corners_of(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Points [n + 1, n + 1, n + 1] that are corners of marked cells."""
    points = cells
    for axis in range(3):
        edge = np.zeros_like(np.take(points, [0], axis=axis))
        points = np.concatenate([points, edge], axis=axis) | np.concatenate([edge, points], axis=axis)
    return points


def _doubled_cells(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All points of the next finer grid that lie in the marked cells."""
    return _corners_of(cells.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2))


def _upsample(
    values: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values of the doubled grid by trilinear interpolation, and which of them are samples."""
    fine_known = np.zeros((2 * len(known) - 1,) * 3, dtype=bool)
    fine_known[::2, ::2, ::2] = known
    for axis in range(3):
        moved = np.moveaxis(values, axis, 0)
        fine = np.empty((2 * len(moved) - 1, *moved.shape[1:]), dtype=np.float32)
        fine[::2] = moved
        np.add(moved[:-1], moved[1:], out=fine[1::2])
        fine[1::2] *= 0.5
        values = np.moveaxis(fine, 0, axis)
    return np.ascontiguousarray(values), fine_known
