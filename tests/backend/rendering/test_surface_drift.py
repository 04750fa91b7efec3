"""How far a surface moved: closed forms for walls, and the penalty of stage 2 that uses it."""

import pytest
import torch
from torch import Tensor

from backend.rendering.occupancy_grid import build_grid
from backend.rendering.surface_drift import SurfaceDrift
from backend.svr.base import Field


class Wall(Field):
    """Inside where x is less than `at`; logit 20 per unit."""

    def __init__(self, at: Tensor) -> None:
        self.at = at

    def occupancy(self, points: Tensor) -> Tensor:
        return 20 * (self.at - points[..., 0])

    def color(self, points: Tensor) -> Tensor:
        return torch.ones_like(points)

    def __getitem__(self, index: int) -> "Wall":
        return self

    def detach(self) -> "Wall":
        return Wall(self.at.detach())


def _drift(at: float) -> tuple[SurfaceDrift, float]:
    """The drift from a wall, and the grid's cell."""
    start = Wall(torch.tensor(at))
    grid = build_grid(start, 32)
    return SurfaceDrift(start, grid, torch.Generator().manual_seed(0)), grid.cell


def test_a_wall_moves_by_cells() -> None:
    drift, cell = _drift(0.013)
    assert float(drift(Wall(torch.tensor(0.013)))) == 0
    for cells in (0.5, -2.0):
        moved = Wall(torch.tensor(0.013 + cells * cell))
        assert float(drift(moved)) == pytest.approx(cells**2, rel=1e-4)


def test_its_gradient_pulls_back() -> None:
    drift, cell = _drift(0.013)
    at = torch.tensor(0.013 + 0.5 * cell, requires_grad=True)
    drift(Wall(at)).backward()
    assert float(at.grad) == pytest.approx(2 * 0.5 / cell, rel=1e-4)


def test_nothing_holds_a_shape_without_a_surface() -> None:
    assert len(_drift(0.013)[0]) > 0
    assert not _drift(-5.0)[0]
