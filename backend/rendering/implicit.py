"""Differentiable rendering of a field's surface: first crossings, implicit gradients, whole views (stage 2).

Rays find the surface without gradients, through a grid or by dense marching; only the surface points then
carry a graph (moving_surface.py).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.cameras import Cameras
from backend.config import RenderSettings
from backend.rendering.grid_search import search_with_grid
from backend.rendering.moving_surface import colored_surface, surface_points
from backend.rendering.occupancy_grid import OccupancyGrid, build_grid
from backend.rendering.shading import head_lights, lambert, surface_normals
from backend.rendering.surface import Crossings, march_densely
from backend.svr.base import Field

MISS_DEPTH = 1.0
"""Depth of the point that stands for a ray without a hit: where ISS decodes the background's colour."""


@dataclass(frozen=True)
class Views:
    """Rendered views, [row, column]."""

    rgb: Tensor
    """[V, H, W, 3] in [0, 1], misses show the background."""
    mask: Tensor
    """[V, H, W] bool, True at hits."""
    depth: Tensor
    """[V, H, W] camera-space depth, infinity at misses."""
    background_rgb: Tensor | None
    """[V, h, w, 3] the field's own colour at misses of every n-th row and column, 1 at hits; if asked for."""
    background_mask: Tensor | None
    """[V, h, w] the mask at those rows and columns."""
    grid: OccupancyGrid | None
    """The grid that found the surface, for the next call."""
    evaluations: int
    """Points at which the field was asked; occupancy and colour of a surface point count once."""
    grid_drift: float
    """Median distance from the grid's surface to the true one, in cells: rebuild the grid when it grows."""


def render_views(
    field: Field,
    cameras: Cameras,
    size: int,
    settings: RenderSettings,
    *,
    background: float | Tensor = 1.0,
    background_stride: int = 0,
    grid: OccupancyGrid | None = None,
) -> Views:
    """Views of size x size pixels of a one-shape field, differentiable in its code and parameters.

    background: colour behind the object, a number or a tensor that broadcasts to [V, H, W, 3] (white).
    background_stride: n > 0 also decodes the colour at missed rays of every n-th row and column, at
    MISS_DEPTH, for the background loss; 1 takes every ray as the paper does.
    grid: one from an earlier call on nearly the same shape; without it one is built, unless
    settings.grid_resolution is 0.
    """
    views = len(cameras)
    device = cameras.world_mat.device
    origins, directions = (r.reshape(-1, 3) for r in cameras.rays(size, size))
    evaluations = 0
    if not settings.grid_resolution:
        crossings = march_densely(field, origins[None], directions[None], settings)
    else:
        if grid is None:
            grid = build_grid(field, settings.grid_resolution, settings.iso_logit, device=device)
            evaluations += grid.evaluations
        crossings = search_with_grid(field, grid, origins, directions, settings)
    evaluations += crossings.evaluations

    hits = crossings.hit.reshape(-1).nonzero()[:, 0]
    points, depths, colors = colored_surface(
        field,
        origins[hits][None],
        directions[hits][None],
        crossings.depth.reshape(-1)[hits][None],
        crossings.entered.reshape(-1)[hits][None],
    )
    evaluations += len(hits)
    if settings.shading == "lambert":
        lights = head_lights(cameras.world_mat)[hits // (size * size)][None]
        colors = lambert(colors, surface_normals(field, points, settings.normal_step), lights)
        evaluations += 6 * len(hits)

    behind = torch.as_tensor(background, dtype=colors.dtype, device=device)
    rgb = behind.expand(views, size, size, 3).reshape(-1, 3).index_put((hits,), colors[0])
    depth = crossings.depth.reshape(-1).index_put((hits,), depths[0])
    mask = crossings.hit.reshape(views, size, size)
    beyond_rgb = beyond_mask = None
    if background_stride:
        beyond_mask = mask[:, ::background_stride, ::background_stride]
        beyond_rgb = _background_colors(field, origins, directions, mask, background_stride)
        evaluations += int((~beyond_mask).sum())
    return Views(
        rgb.reshape(views, size, size, 3),
        mask,
        depth.reshape(views, size, size),
        beyond_rgb,
        beyond_mask,
        grid,
        evaluations,
        crossings.drift,
    )


def _background_colors(
    field: Field, origins: Tensor, directions: Tensor, mask: Tensor, stride: int
) -> Tensor:
    views, height, width = mask.shape
    points = (origins + MISS_DEPTH * directions).reshape(views, height, width, 3)[:, ::stride, ::stride]
    missed = ~mask[:, ::stride, ::stride]
    colors = field.color(points[missed][None])[0]
    return torch.ones_like(points).index_put((missed,), colors)


def trace(
    field: Field, origins: Tensor, directions: Tensor, settings: RenderSettings
) -> tuple[Tensor, Tensor, Crossings]:
    """Surface points [B, P, 3], depths [B, P] and crossings of any rays [B, P, 3], one shape per batch
    element.

    Every ray is marched densely (stage 1 draws few rays of many shapes). Rays without a hit stand at
    MISS_DEPTH.
    """
    crossings = march_densely(field, origins, directions, settings)
    depth = torch.where(crossings.hit, crossings.depth, torch.full_like(crossings.depth, MISS_DEPTH))
    points, depths = surface_points(field, origins, directions, depth, crossings.entered)
    return points, depths, crossings
