"""Views of a surface that does not move: where each pixel meets it is found once, colours as often as needed.

Texture stylization changes colours only, so its iterations need no ray marching and no rasterising. The
surface comes from a field or from a mesh.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.cameras import Cameras
from backend.config import RenderSettings
from backend.mesh import TriMesh
from backend.rendering.grid_search import search_with_grid
from backend.rendering.implicit import MISS_DEPTH
from backend.rendering.occupancy_grid import build_grid
from backend.rendering.raster import interpolate, rasterize_views
from backend.rendering.shading import head_lights, lambert, surface_normals
from backend.rendering.surface import march_densely
from backend.svr.base import Field

_BACKGROUND_STRIDE = 3
"""Every how manieth row and column of the missed rays stands for the background."""


@dataclass(frozen=True)
class SurfaceViews:
    """What V views of S x S pixels see of a fixed surface."""

    points: Tensor
    """[P, 3] surface points, view by view."""
    pixels: Tensor
    """[P] index of each point's pixel in V * S * S."""
    shade: Tensor
    """[P, 1] factor by which the light darkens the colour."""
    old: Tensor
    """[P, 3] colours of the surface before."""
    beyond: Tensor
    """[Q, 3] points of some missed rays, where a field's colour stands for the background."""
    count: int
    size: int

    def __getitem__(self, chosen: Tensor) -> "SurfaceViews":
        """The views of the given numbers [W], in that order."""
        area = self.size**2
        starts = torch.searchsorted(
            self.pixels, torch.arange(self.count + 1, device=self.pixels.device) * area
        )
        bounds = starts.tolist()
        taken = [torch.arange(bounds[v], bounds[v + 1], device=self.pixels.device) for v in chosen.tolist()]
        index = torch.cat(taken)
        place = torch.repeat_interleave(
            torch.arange(len(taken)), torch.tensor([len(part) for part in taken])
        ).to(self.pixels)
        return SurfaceViews(
            self.points[index], self.pixels[index] % area + place * area, self.shade[index], self.old[index],
            self.beyond, len(taken), self.size,
        )  # fmt: skip

    def images(self, colors: Tensor, background: float | Tensor = 1.0) -> Tensor:
        """Images [V, S, S, 3] of the surface in colours [P, 3], lit, before a colour (broadcast to it)."""
        shape = (self.count, self.size, self.size, 3)
        behind = torch.as_tensor(background, dtype=colors.dtype, device=colors.device).expand(shape)
        return behind.reshape(-1, 3).index_put((self.pixels,), colors * self.shade).reshape(shape)


def field_views(field: Field, cameras: Cameras, size: int, settings: RenderSettings) -> SurfaceViews:
    """Views of a one-shape field's surface, found as `render_views` finds it."""
    field = field.detach()
    origins, directions = (r.reshape(-1, 3) for r in cameras.rays(size, size))
    if settings.grid_resolution:
        grid = build_grid(field, settings.grid_resolution, settings.iso_logit, device=origins.device)
        crossings = search_with_grid(field, grid, origins, directions, settings)
    else:
        crossings = march_densely(field, origins[None], directions[None], settings)
    hit, depth = crossings.hit.reshape(-1), crossings.depth.reshape(-1)
    pixels = hit.nonzero()[:, 0]
    points = origins[pixels] + depth[pixels, None] * directions[pixels]
    shade = points.new_ones(len(points), 1)
    with torch.no_grad():
        if settings.shading == "lambert":
            lights = head_lights(cameras.world_mat)[pixels // size**2]
            normals = surface_normals(field, points[None], settings.normal_step)[0]
            shade = lambert(shade, normals, lights)
        old = field.color(points[None])[0]
    missed = ~hit.reshape(-1, size, size)[:, ::_BACKGROUND_STRIDE, ::_BACKGROUND_STRIDE]
    beyond = (origins + MISS_DEPTH * directions).reshape(-1, size, size, 3)
    beyond = beyond[:, ::_BACKGROUND_STRIDE, ::_BACKGROUND_STRIDE][missed]
    return SurfaceViews(points, pixels, shade, old, beyond, len(cameras), size)


def mesh_views(mesh: TriMesh, cameras: Cameras, size: int, *, lit: bool = True) -> SurfaceViews:
    """Views of a mesh by the rasteriser; thin open sheets are lit alike from both sides."""
    device = cameras.world_mat.device
    vertices, colors, normals = (
        torch.from_numpy(np.array(a)).to(device) for a in (mesh.vertices, mesh.colors, mesh.vertex_normals)
    )
    faces = torch.from_numpy(mesh.faces.astype(np.int64)).to(device)
    fragments = rasterize_views(vertices, faces, cameras, size)
    pixels = fragments.mask.reshape(-1).nonzero()[:, 0]
    seen = interpolate(fragments, faces, torch.cat([vertices, normals, colors], dim=1)).reshape(-1, 9)[pixels]
    points, normals, old = seen.split(3, dim=1)
    shade = points.new_ones(len(points), 1)
    if lit:
        lights = head_lights(cameras.world_mat)[pixels // size**2]
        normals = functional.normalize(normals, dim=-1)
        facing = torch.where((normals * lights).sum(-1, keepdim=True) < 0, -normals, normals)
        shade = lambert(shade, facing, lights)
    return SurfaceViews(
        points.contiguous(), pixels, shade, old.contiguous(), points[:0].clone(), len(cameras), size
    )
