"""What the judges look at: a shape as voxels in its own box, and the coloured points that can be seen of it.

Generated meshes and procedural shapes come to the same form, so that a judge cannot tell which it is given:
the tight box is centred and its longest side fills the cube. Meshes are voxelised themselves (not the field
that they came from), because the mesh is what the user gets; a closed mesh has a winding number everywhere.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from backend.cameras import look_at
from backend.datasets.procedural.shape import FIT, PackedShape
from backend.datasets.procedural.views import FOCAL, label, render, world_matrix
from backend.errors import MeshError
from backend.mesh import TriMesh
from backend.rendering.raster import interpolate, rasterize_views

Grid = NDArray[np.bool_]

RESOLUTION = 32
"""Voxels along the longest side."""
_AZIMUTHS_DEG, _ELEVATION_DEG, _DISTANCE, _PIXELS = (35.0, 125.0, 215.0, 305.0), 25.0, 1.7, 56
"""Of the views that see a surface: all four corners, from above."""
_BOX_CELLS = 32
"""Grid on which a procedural shape's tight box is found, to a part of a cell."""


@dataclass(frozen=True)
class Surface:
    """What four views see: P points, one per pixel, so that larger visible areas have more points."""

    points: NDArray[np.float32]
    """[P, 3] in [-0.5, 0.5], the box's longest side filling the cube."""
    colors: NDArray[np.float32]
    """[P, 3] display-referred sRGB without shading."""


@dataclass(frozen=True)
class Solid:
    """Voxels of a shape in its own box."""

    grid: Grid
    """[R, R, R] indexed [x, y, z]; y up, front towards +z; the longest side of the box fills it."""
    extent: NDArray[np.float32]
    """Sides of the box [3] over the longest."""

    @property
    def cropped(self) -> Grid:
        """The voxels of the box alone [X, Y, Z]."""
        size = self.grid.shape[0]
        half = np.maximum(np.round(self.extent * size / 2), 1).astype(int)
        low, high = size // 2 - half, size // 2 + half
        return self.grid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]

    @property
    def filled(self) -> float:
        """Share of the box that is solid."""
        return float(self.grid.mean() / max(float(np.prod(self.extent)), 1e-6))


def mesh_solid(mesh: TriMesh, *, resolution: int = RESOLUTION) -> Solid:
    """Voxels of a closed mesh; MeshError where it has no extent."""
    center, longest, extent = _mesh_box(mesh)
    triangles = ((mesh.vertices - center) / longest)[mesh.faces]
    return Solid(_winding(triangles.astype(np.float64), resolution) != 0, extent)


def shape_solid(shape: PackedShape, *, resolution: int = RESOLUTION) -> Solid:
    """Voxels of a procedural shape."""
    low, high = _shape_box(shape)
    longest = float((high - low).max())
    cells = _centers(resolution) * longest + (low + high) / 2
    grid = label(shape, cells.reshape(-1, 3).astype(np.float32)).distance < 0
    extent = ((high - low) / longest).astype(np.float32)
    return Solid(grid.reshape(resolution, resolution, resolution), extent)


def mesh_surface(mesh: TriMesh, *, pixels: int = _PIXELS) -> Surface:
    """What is seen of a mesh."""
    center, longest, _ = _mesh_box(mesh)
    scaled = torch.from_numpy((mesh.vertices - center) / longest * FIT)
    faces = torch.from_numpy(mesh.faces).long()
    cameras = look_at(_AZIMUTHS_DEG, _ELEVATION_DEG, _DISTANCE)
    fragments = rasterize_views(scaled, faces, cameras, pixels)
    both = torch.cat([scaled / FIT, torch.from_numpy(mesh.colors)], dim=1)
    seen = interpolate(fragments, faces, both)[fragments.mask].numpy()
    return Surface(seen[:, :3], np.clip(seen[:, 3:], 0.0, 1.0))


def shape_surface(shape: PackedShape, *, pixels: int = _PIXELS) -> Surface:
    """What is seen of a procedural shape."""
    return labelled_surface(shape, pixels=pixels)[0]


def labelled_surface(shape: PackedShape, *, pixels: int = _PIXELS) -> tuple[Surface, list[str]]:
    """What is seen of a procedural shape, and the part's name at every point."""
    low, high = _shape_box(shape)
    points, colors = [], []
    axis = np.linspace(-1.0, 1.0, pixels) / FOCAL
    x, y = np.meshgrid(axis, axis)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    for azimuth in _AZIMUTHS_DEG:
        world = world_matrix(azimuth, _ELEVATION_DEG, _DISTANCE)
        image = render(shape, world, pixels, ambient=1.0)
        seen = rays[image.mask] * image.depth[image.mask][:, None]
        points.append((seen - world[:3, 3]) @ world[:3, :3])
        colors.append(image.rgb[image.mask])
    position = np.concatenate(points).astype(np.float32)
    parts = label(shape, position).part
    names = [shape.names[i] for i in parts]
    scaled = (position - (low + high) / 2) / float((high - low).max())
    return Surface(scaled.astype(np.float32), np.concatenate(colors)), names


def overlap(a: Grid, b: Grid) -> float:
    """Volumetric intersection over union of two grids of one size; 0 where both are empty."""
    union = int(np.count_nonzero(a | b))
    return float(np.count_nonzero(a & b)) / union if union else 0.0


def _mesh_box(mesh: TriMesh) -> tuple[NDArray[np.float32], float, NDArray[np.float32]]:
    low, high = mesh.bounds
    longest = float((high - low).max())
    if longest <= 0:
        raise MeshError("The mesh is a single point.", remedy="Generate or choose another shape.")
    return (low + high) / 2, longest, (high - low) / longest


def _centers(resolution: int) -> NDArray[np.float64]:
    """Cell centres [R, R, R, 3] of the cube."""
    axis = (np.arange(resolution) + 0.5) / resolution - 0.5
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def _shape_box(shape: PackedShape) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tight box: where the least distance over each slice changes its sign, linearly between slices.

    The packed box is that of the parts' frames, which is wider where parts are turned or cut.
    """
    distance = label(shape, _centers(_BOX_CELLS).reshape(-1, 3).astype(np.float32)).distance
    distance = distance.reshape(_BOX_CELLS, _BOX_CELLS, _BOX_CELLS)
    low, high = np.empty(3), np.empty(3)
    for axis in range(3):
        least = distance.min(axis=tuple(a for a in range(3) if a != axis))
        inside = np.flatnonzero(least < 0)
        for end, place, step in ((low, inside[0], -1), (high, inside[-1], 1)):
            beyond = min(max(place + step, 0), _BOX_CELLS - 1)
            share = least[place] / (least[place] - least[beyond]) if least[beyond] > 0 else 0.5
            end[axis] = (place + 0.5 + step * share) / _BOX_CELLS - 0.5
    return low, high


def _winding(triangles: NDArray[np.float64], resolution: int) -> NDArray[np.int64]:
    """Winding number at the cell centres of triangles [M, corner, 3] in the unit cube.

    A ray runs up +z through every column of cells; each face crossed changes the number below it by one.
    Columns are shifted by less than a thousandth of a cell, so that none runs through an edge of the grid's
    own making.
    """
    shift = np.array([3.1e-4, 7.3e-4])
    grid = (triangles[:, :, :2] + 0.5) * resolution - 0.5 - shift  # in cells, relative to the first centre
    first = np.clip(np.ceil(grid.min(axis=1)).astype(int), 0, resolution)
    last = np.clip(np.floor(grid.max(axis=1)).astype(int), -1, resolution - 1)
    span = np.maximum(last - first + 1, 0)
    counts = span[:, 0] * span[:, 1]
    face = np.repeat(np.arange(len(triangles)), counts)
    within = np.arange(len(face)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = first[face] + np.stack(np.divmod(within, np.maximum(span[face, 1], 1)), axis=1)
    a, b, c = (grid[face, k] for k in range(3))
    area = _cross(b - a, c - a)
    edges = (_cross(c - b, column - b), _cross(a - c, column - c), _cross(b - a, column - a))
    weights = np.stack(edges, axis=1)  # barycentric coordinates times twice the area
    inside = (np.sign(weights) == np.sign(area)[:, None]).all(axis=1) & (area != 0)
    face, column, weights, area = face[inside], column[inside], weights[inside], area[inside]
    height = (weights / area[:, None] * triangles[face, :, 2]).sum(axis=1)
    below = np.clip(np.floor((height + 0.5) * resolution + 0.5).astype(int), 0, resolution)
    steps = np.zeros((resolution, resolution, resolution + 1), dtype=np.int64)
    np.add.at(steps, (column[:, 0], column[:, 1], below), np.sign(area).astype(np.int64))
    return np.cumsum(steps[:, :, ::-1], axis=2)[:, :, -2::-1]


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
