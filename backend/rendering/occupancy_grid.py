"""A coarse grid of occupancy logits over the cube, from which rays learn where to ask the decoder.

The grid is built once for all views, and serves again while the shape moves little (stage 2). Its trilinear
values are only a first guess: every surface point found with it is verified by the decoder.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.rendering.chunks import ask
from backend.svr.base import Field

HALF_SIDE = 0.55
"""Half side of the cube that holds shapes, padded by a tenth as in DVR."""
BASE_CELLS = 32
"""Cells per axis up to which every corner is evaluated; beyond, only corners near the surface."""
NEARNESS = 0.25
"""Logits within this share of the usual step per cell of the surface count as near it."""
FOLLOWED = 4
"""Cells that a refreshed grid follows a moving surface."""
BLOCK = 2
"""Cells per side of the blocks that rays look at first."""


@dataclass(frozen=True)
class OccupancyGrid:
    """Logits at the corners of an even grid over the padded cube."""

    logits: Tensor
    """[R + 1, R + 1, R + 1], indexed [x, y, z], relative to the iso level: above 0 is inside."""
    margin: float
    """Logits above -margin may hide a surface that the grid missed."""
    low: Tensor
    """Lowest corner [3] of the box outside which nothing is near the surface."""
    high: Tensor
    """Highest corner [3] of that box; not above `low` where the field is empty."""
    blocks: Tensor
    """[B, B, B] bool, cubes of BLOCK cells: whether a corner above -margin is in it or in one beside it."""
    evaluations: int
    """Decoder evaluations that building took."""

    @property
    def cell(self) -> float:
        """Side of a cell in units of the cube."""
        return 2 * HALF_SIDE / (self.logits.shape[0] - 1)

    def interpolate(self, points: Tensor) -> Tensor:
        """Trilinear logits [...] at points [..., 3]."""
        return self._look_up(points / HALF_SIDE)

    def along_rays(self, origins: Tensor, directions: Tensor, depths: Tensor) -> Tensor:
        """Trilinear logits [P, N] at depths [P, N] of rays [P, 3]."""
        origins, directions = origins / HALF_SIDE, directions / HALF_SIDE
        return self._look_up(torch.addcmul(origins[:, None], depths[..., None], directions[:, None]))

    def near_rays(self, origins: Tensor, directions: Tensor, depths: Tensor) -> Tensor:
        """Whether rays [P, 3] are in a marked block at depths [P, N]."""
        origins, directions = (origins + HALF_SIDE) / (BLOCK * self.cell), directions / (BLOCK * self.cell)
        places = torch.addcmul(origins[:, None], depths[..., None], directions[:, None])
        x, y, z = places.long().clamp_(0, len(self.blocks) - 1).unbind(-1)
        return self.blocks[x, y, z]

    def _look_up(self, places: Tensor) -> Tensor:
        """At places [..., 3] in units of HALF_SIDE. The grid is [x, y, z], `grid_sample` wants [z, y, x]."""
        values = functional.grid_sample(
            self.logits.permute(2, 1, 0)[None, None], places.reshape(1, 1, 1, -1, 3),
            mode="bilinear", padding_mode="border", align_corners=True,
        )  # fmt: skip
        return values.reshape(places.shape[:-1])


def build_grid(
    field: Field, resolution: int, iso_logit: float = 0.0, *, device: torch.device | str = "cpu"
) -> OccupancyGrid:
    """The grid of a field of one shape, with `resolution` cells per axis.

    Up to BASE_CELLS every corner is evaluated. A finer grid is refined level by level, only in cells that
    may hold the surface and their neighbours; elsewhere it carries the coarser values on.
    """
    field = field.detach()
    levels = max(0, math.ceil(math.log2(resolution / BASE_CELLS)))
    cells = math.ceil(resolution / 2**levels)
    with torch.no_grad():
        corners = _corners(cells + 1, device)
        logits = ask(field.occupancy, corners) - iso_logit
        count = logits.numel()
        logits = logits.reshape(cells + 1, cells + 1, cells + 1)
        for _ in range(levels):
            cells *= 2
            near = _grown(_near_cells(logits, _margin(logits)))
            wanted = _touched_corners(
                near.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
            )
            logits = functional.interpolate(
                logits[None, None], size=(cells + 1,) * 3, mode="trilinear", align_corners=True
            )[0, 0]
            count += _evaluate_corners(field, logits, wanted, iso_logit)
    return _finished(logits, count)


def refresh_grid(field: Field, grid: OccupancyGrid, iso_logit: float = 0.0) -> OccupancyGrid:
    """The grid of a field that moved little: only corners near the surface are asked again.

    The surface is followed wherever it went from there; a piece that appears elsewhere is not seen.
    """
    field = field.detach()
    with torch.no_grad():
        logits, count = grid.logits.clone(), 0
        asked = torch.zeros_like(logits, dtype=torch.bool)
        for _ in range(FOLLOWED):
            wanted = _touched_corners(_near_cells(logits, grid.margin)) & ~asked
            fresh = _evaluate_corners(field, logits, wanted, iso_logit)
            if not fresh:
                break
            asked |= wanted
            count += fresh
    return _finished(logits, count)


def _finished(logits: Tensor, evaluations: int) -> OccupancyGrid:
    margin = _margin(logits)
    near = logits > -margin
    low, high = _bounds(near)
    return OccupancyGrid(logits, margin, low, high, _blocks(near), evaluations)


def _evaluate_corners(field: Field, logits: Tensor, wanted: Tensor, iso_logit: float) -> int:
    """Fill the wanted corners of logits [N, N, N] in place; says how many."""
    places = wanted.nonzero()
    cell = 2 * HALF_SIDE / (logits.shape[0] - 1)
    logits[wanted] = ask(field.occupancy, places * cell - HALF_SIDE) - iso_logit
    return len(places)


def _corners(count: int, device: torch.device | str) -> Tensor:
    axis = torch.linspace(-HALF_SIDE, HALF_SIDE, count, device=device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


def _edges(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Steps along all cell edges, and the higher logit of each edge's ends."""
    steps, tops = [], []
    for axis in range(3):
        first = logits.narrow(axis, 0, logits.shape[axis] - 1)
        second = logits.narrow(axis, 1, logits.shape[axis] - 1)
        steps.append((second - first).abs().flatten())
        tops.append(torch.maximum(first, second).flatten())
    return torch.cat(steps), torch.cat(tops)


def _margin(logits: Tensor) -> float:
    """NEARNESS of the median step of the edges that cross the surface.

    A shape thinner than a cell may cross no edge; then the edges with the highest logits speak for it.
    """
    steps, tops = _edges(logits)
    crossing = (tops > 0) & (tops - steps < 0)
    if int(crossing.sum()) < 8:
        crossing = tops >= tops.sort().values[int(0.99 * len(tops))]
    return NEARNESS * float(steps[crossing].median())


def _near_cells(logits: Tensor, margin: float) -> Tensor:
    """Cells [R, R, R] that may hold the surface."""
    return _either_side(logits > -margin) & _either_side(logits < margin)


def _touched_corners(cells: Tensor) -> Tensor:
    """Corners [R + 1, R + 1, R + 1] of the marked cells [R, R, R]."""
    return _either_side(functional.pad(cells, (1,) * 6))


def _grown(marks: Tensor) -> Tensor:
    """The marked places [N, N, N] and their 26 neighbours."""
    return _either_side(_either_side(functional.pad(marks, (1,) * 6)))


def _either_side(marks: Tensor) -> Tensor:
    """Between places [N, N, N], along all axes: whether a neighbour is marked, [N - 1, N - 1, N - 1]."""
    for axis in range(3):
        last = marks.shape[axis] - 1
        marks = marks.narrow(axis, 0, last) | marks.narrow(axis, 1, last)
    return marks


def _bounds(near: Tensor) -> tuple[Tensor, Tensor]:
    """Box around the marked corners, one cell wider, within the padded cube."""
    places = near.nonzero()
    cell = 2 * HALF_SIDE / (near.shape[0] - 1)
    if not len(places):
        middle = torch.zeros(3, device=near.device)
        return middle, middle
    low = (places.amin(0) - 1) * cell - HALF_SIDE
    high = (places.amax(0) + 1) * cell - HALF_SIDE
    return low.clamp(min=-HALF_SIDE), high.clamp(max=HALF_SIDE)


def _blocks(near: Tensor) -> Tensor:
    """Blocks [B, B, B] with a marked corner of [R + 1, R + 1, R + 1] in them or in a neighbour."""
    count = math.ceil((near.shape[0] - 1) / BLOCK)
    beyond = count * BLOCK + 1 - near.shape[0]
    marked = functional.pad(near.float(), (0, beyond) * 3)[None]
    return _grown(functional.max_pool3d(marked, BLOCK + 1, stride=BLOCK)[0] > 0)
