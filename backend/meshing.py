"""Field to triangle mesh: sparse sampling, marching cubes, refinement onto the iso-surface, vertex colours.

The mesh is closed for every field: samples outside the cube count as empty, and marching cubes gets values
without ties, so that no two vertices or faces coincide.
"""

from collections.abc import Callable, Generator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.bridges import Bridges, build_bridges, find_bridges
from backend.config import MeshSettings
from backend.device import is_out_of_memory
from backend.errors import EmptyShapeError, MemoryShortError, NumericalError
from backend.mesh import TriMesh
from backend.sparse_grid import SparseGrid, grid_points, relay, sample_grid
from backend.svr.base import Field

CPU_CHUNK, ACCELERATOR_CHUNK = 4096, 131072
"""Points per evaluation. On one busy CPU core a second of the paper's decoder: cancel is heard in 2 s."""
SMALLEST_CHUNK = 256
EDGE_MARGIN = 0.005
"""Vertices keep this share of their grid edge from its ends, so that no face loses its area."""
CONVERGED = 0.002
"""Refinement of a vertex ends where the field is below this share of its step along the edge."""


def extract_mesh(
    field: Field,
    settings: MeshSettings,
    iso_logit: float = 0.0,
    bound: float = 0.5,
    *,
    device: torch.device | str = "cpu",
) -> Generator[float, None, TriMesh]:
    """Yields the fraction done after every chunk of evaluations and returns the mesh.

    field: B = 1. device: where it evaluates. The mesh is watertight, faces outwards, lies in the cube
    [-bound, bound]^3 (to 0.005 of a cell) and has the field's colour at its vertices. EmptyShapeError when
    the field has no surface in the cube, NumericalError for NaN, MemoryShortError when even small chunks
    do not fit.
    """
    probe = _Probe(field, iso_logit, torch.device(device))
    grid = yield from relay(sample_grid(probe.occupancy, settings.resolution, bound), 0.0, 0.6)
    inside = grid.values > 0
    if not inside.any():
        raise EmptyShapeError(
            f"The shape is empty: the field is below {iso_logit:g} everywhere, its greatest sample "
            f"is {grid.values.max() + iso_logit:.3g}.",
            remedy="Try another seed, fewer steps or a lower iso level.",
        )
    if inside.all():
        raise EmptyShapeError(
            f"The shape has no surface: the field is above {iso_logit:g} everywhere, its least sample "
            f"is {grid.values.min() + iso_logit:.3g}.",
            remedy="Try another seed, fewer steps or a higher iso level.",
        )
    if settings.bridge_gap and (bridges := find_bridges(grid, settings.bridge_gap)):
        grid = build_bridges(grid, bridges)
        probe.bridges = bridges
    vertices, faces = yield from relay(_polygonise(probe, grid, settings.refine_steps), 0.6, 0.85)
    mesh = TriMesh(vertices, faces, np.zeros_like(vertices)).outward()
    # What could still be joined was; a long piece far away is then no part but a speck as well.
    mesh = mesh.without_specks(settings.speck_fraction, keep_long=not settings.bridge_gap)
    mesh = mesh.decimate(settings.max_faces)
    colors = yield from relay(probe.color(mesh.vertices), 0.85, 1.0)
    return TriMesh(mesh.vertices, mesh.faces, np.clip(colors, 0, 1))


class _Probe:
    """The field asked at numpy points, in chunks of bounded size that halve when memory is short."""

    def __init__(self, field: Field, iso_logit: float, device: torch.device) -> None:
        self._field = field.detach()
        self._iso = iso_logit
        self._device = device
        self._chunk = CPU_CHUNK if device.type == "cpu" else ACCELERATOR_CHUNK
        self.bridges: Bridges | None = None

    def occupancy(self, points: NDArray[np.float32]) -> Generator[float, None, NDArray[np.float32]]:
        """Logits [P] at points [P, 3], shifted so that the iso level is 0, of the field and its bridges."""
        values = yield from self._ask(self._field.occupancy, points, ())
        values = values - np.float32(self._iso)
        return np.maximum(values, self.bridges.values(points)) if self.bridges else values

    def color(self, points: NDArray[np.float32]) -> Generator[float, None, NDArray[np.float32]]:
        """Colours [P, 3] at points [P, 3]."""
        return (yield from self._ask(self._field.color, points, (3,)))

    def _ask(
        self, function: Callable[[Tensor], Tensor], points: NDArray[np.float32], width: tuple[int, ...]
    ) -> Generator[float, None, NDArray[np.float32]]:
        answers = np.empty((len(points), *width), dtype=np.float32)
        start = 0
        while start < len(points):
            chunk = torch.from_numpy(points[start : start + self._chunk])
            try:
                with torch.no_grad():
                    answer = function(chunk[None].to(self._device))[0].float().cpu()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._chunk <= SMALLEST_CHUNK:
                    raise MemoryShortError(
                        f"Evaluating {self._chunk} points needs more memory than is free.",
                        remedy="Close other programs or choose the CPU.",
                    ) from error
                self._chunk //= 2
                continue
            answers[start : start + len(chunk)] = answer.numpy()
            start += len(chunk)
            yield start / len(points)
        bad = ~np.isfinite(answers)
        if bad.any():
            raise NumericalError(
                f"The field is NaN or infinite in {int(bad.sum())} of {answers.size} values.",
                remedy="Lower the learning rate or use 32-bit precision.",
            )
        return answers


def _polygonise(
    probe: _Probe, grid: SparseGrid, refine_steps: int
) -> Generator[float, None, tuple[NDArray[np.float32], NDArray[np.int32]]]:
    """Vertices [N, 3] on the iso-surface and faces [M, 3] of the grid, closed at the cube's sides."""
    from skimage.measure import marching_cubes

    near = np.argwhere(grid.surface | _inside_border(grid))
    volume, mask, origin = _marching_volume(grid, near)
    corners, faces, _, _ = marching_cubes(volume, 0.0, mask=mask, gradient_direction="descent")
    index = corners.astype(np.float64) + origin
    fraction = np.abs(index - np.round(index))
    axis = fraction.argmax(axis=1)
    # Ambiguous cells get one vertex in their middle, all others lie on a grid edge.
    on_edge = np.sort(fraction, axis=1)[:, 1] < EDGE_MARGIN
    edge = np.flatnonzero(on_edge)
    low = np.round(index[edge]).astype(np.int64)
    low[np.arange(len(edge)), axis[edge]] = np.floor(index[edge, axis[edge]])
    along = np.eye(3, dtype=np.int64)[axis[edge]]
    position = yield from _cross_edges(probe, grid, low, along, refine_steps)
    index[edge] = low + along * position[:, None]
    if len(edge) < len(index):
        _centre_on_neighbours(index, faces, np.flatnonzero(~on_edge))
    return grid_points(index, grid.resolution, grid.bound), faces


def _cross_edges(
    probe: _Probe,
    grid: SparseGrid,
    low: NDArray[np.int64],
    along: NDArray[np.int64],
    refine_steps: int,
) -> Generator[float, None, NDArray[np.float64]]:
    """Where in 0..1 the field crosses zero between grid points low [E, 3] and low + along.

    Regula falsi with the Illinois rule (halve the value of an end that stays), which keeps the bracket.
    Edges that leave the cube cross just beyond its side: exactly on it, vertices would coincide along the
    cube's edges.
    """
    size = grid.resolution
    before, behind = (low < 0).any(axis=1), ((low + along) > size).any(axis=1)
    position = np.where(before, 1.0 - EDGE_MARGIN, EDGE_MARGIN)
    open_ = np.flatnonzero(~before & ~behind)
    start, direction = low[open_], along[open_]
    left, right = np.zeros(len(open_)), np.ones(len(open_))
    at_left = grid.values[tuple(start.T)].astype(np.float64)
    at_right = grid.values[tuple((start + direction).T)].astype(np.float64)
    limit = CONVERGED * np.abs(at_right - at_left)
    guess = left + (right - left) * at_left / (at_left - at_right)
    active = np.arange(len(open_))
    kept_side = np.zeros(len(open_), dtype=np.int8)
    for step in range(refine_steps):
        where = start[active] + direction[active] * guess[active, None]
        sampled = yield from relay(
            probe.occupancy(grid_points(where, size, grid.bound)),
            step / refine_steps,
            (step + 1) / refine_steps,
        )
        value = sampled.astype(np.float64)
        to_left = (value > 0) == (at_left[active] > 0)
        moved, other = active[to_left], active[~to_left]
        at_right[moved] *= np.where(kept_side[moved] == 1, 0.5, 1.0)
        at_left[other] *= np.where(kept_side[other] == -1, 0.5, 1.0)
        left[moved], at_left[moved] = guess[moved], value[to_left]
        right[other], at_right[other] = guess[other], value[~to_left]
        kept_side[moved], kept_side[other] = 1, -1
        # An exact hit has no bracket left to interpolate in; it stays.
        unsolved = active[value != 0]
        gap = at_left[unsolved] - at_right[unsolved]
        guess[unsolved] = left[unsolved] + (right - left)[unsolved] * at_left[unsolved] / gap
        active = active[np.abs(value) > limit[active]]
        if not len(active):
            break
    position[open_] = np.clip(guess, EDGE_MARGIN, 1 - EDGE_MARGIN)
    return position


def _marching_volume(
    grid: SparseGrid, near: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Volume and mask for marching cubes, and the grid index of their first element.

    Cropped to the points `near` [P, 3], the only ones around which there is surface, with one layer of
    empty samples around, which closes shapes that the cube cuts. Signs are the grid's; magnitudes are
    squeezed to 0.02 .. 1.02, so that vertices stay off the corners. Ambiguous cells are decided by products
    of corner values: symmetric shapes give ties, resolved to edges with four faces, hence a fixed pattern
    of one per mille. Positions come from the true values later.
    """
    low, high = near.min(axis=0), near.max(axis=0) + 1
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    volume = np.full(high - low + 2, -1, dtype=np.float32)
    np.copyto(volume[1:-1, 1:-1, 1:-1], 1, where=grid.values[crop] > 0)
    at = tuple((near - low + 1).T)
    magnitude = np.abs(grid.values[tuple(near.T)]).astype(np.float64)
    scale = max(float(np.median(magnitude)), np.finfo(np.float32).tiny)
    number = np.ravel_multi_index(tuple(near.T), grid.values.shape).astype(np.uint64)
    scattered = (number * np.uint64(2654435761)) % np.uint64(2**32)  # Knuth's multiplicative hash
    pattern = 1 + 1e-3 * (scattered.astype(np.float64) / 2**32 - 0.5)
    volume[at] *= (0.02 + magnitude / (magnitude + scale) * pattern).astype(np.float32)
    mask = np.zeros(volume.shape, dtype=bool)
    mask[at] = True
    return volume, _grown(mask), low - 1


def _inside_border(grid: SparseGrid) -> NDArray[np.bool_]:
    """Inside samples on the cube's sides [n + 1, n + 1, n + 1], where the padding makes a surface."""
    border = np.ones(grid.values.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    return border & (grid.values > 0)


def _grown(points: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The points and their 26 neighbours."""
    for axis in range(3):
        grown = points.copy()
        here, there = np.moveaxis(grown, axis, 0), np.moveaxis(points, axis, 0)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
        points = grown
    return points


def _centre_on_neighbours(
    index: NDArray[np.float64], faces: NDArray[np.int32], middle: NDArray[np.int64]
) -> None:
    """Moves, in place, the vertices `middle` to the mean of those that they share an edge with."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    number = np.full(len(index), -1)
    number[middle] = np.arange(len(middle))
    pairs = pairs[(number[pairs[:, 0]] >= 0) & (number[pairs[:, 1]] < 0)]
    total = np.zeros((len(middle), 3))
    np.add.at(total, number[pairs[:, 0]], index[pairs[:, 1]])
    count = np.bincount(number[pairs[:, 0]], minlength=len(middle))
    reached = count > 0
    index[middle[reached]] = total[reached] / count[reached, None]
