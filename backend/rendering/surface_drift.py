"""How far a surface has moved from where it was: text guidance may be asked to leave the shape alone."""

import torch
from torch import Tensor

from backend.rendering.chunks import ask
from backend.rendering.occupancy_grid import HALF_SIDE, NEARNESS, OccupancyGrid
from backend.svr.base import Field

POINTS = 2048
"""Points near the surface that are looked at."""


class SurfaceDrift:
    """Mean squared motion of a field's surface, in cells of a grid (our choice)."""

    def __init__(self, field: Field, grid: OccupancyGrid, generator: torch.Generator) -> None:
        """Remembers a field of one shape at corners of its grid that are within about a cell of the
        surface."""
        self._step = grid.margin / NEARNESS
        near = (grid.logits.abs() < self._step).nonzero()
        order = torch.randperm(len(near), generator=generator)[:POINTS].to(near.device)
        self._points = near[order] * grid.cell - HALF_SIDE  # [P, 3]
        with torch.no_grad():
            self._before = ask(field.detach().occupancy, self._points)

    def __len__(self) -> int:
        """Points that are looked at; none where there was no surface."""
        return len(self._points)

    def __call__(self, field: Field) -> Tensor:
        """Of another field of one shape, differentiable; needs points."""
        moved = field.occupancy(self._points[None])[0] - self._before
        return (moved / self._step).square().mean()
