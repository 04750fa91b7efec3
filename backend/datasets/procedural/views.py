"""Images, depths, normals and labelled points of a packed shape."""

from dataclasses import dataclass

import numpy as np

from backend.datasets.procedural import kernels
from backend.datasets.procedural.shape import PackedShape

FOCAL = 2.1875
"""K[0, 0] of ShapeNet's cameras: pixel coordinates in [-1, 1], field of view 49 degrees."""
LIGHT = (-0.35, -0.55, -1.0)
"""Direction towards the light in camera space (x right, y down, z forward): behind the left shoulder."""
AMBIENT = 0.45
"""Share of the colour that does not depend on the light."""


@dataclass(frozen=True)
class Image:
    """One view. Arrays are [row, column]."""

    rgb: np.ndarray
    """float32 [H, W, 3] in [0, 1] on white."""
    depth: np.ndarray
    """float32 [H, W], camera-space z; inf at misses."""
    normals: np.ndarray
    """float32 [H, W, 3], outward, in object space; 0 at misses."""
    world_mat: np.ndarray
    """float64 [4, 4], object to camera."""

    @property
    def mask(self) -> np.ndarray:
        """bool [H, W]."""
        return np.isfinite(self.depth)


@dataclass(frozen=True)
class Points:
    """Labelled points of one shape."""

    position: np.ndarray
    """float32 [P, 3] in the unit cube."""
    distance: np.ndarray
    """float32 [P], negative inside."""
    rgb: np.ndarray
    """float32 [P, 3], albedo of the nearest part."""
    part: np.ndarray
    """int32 [P], index of the nearest part."""


def world_matrix(azimuth_deg: float, elevation_deg: float, distance: float) -> np.ndarray:
    """Extrinsic [4, 4] of a camera looking at the origin; azimuth 0 sees the front (+z), 90 is at +x."""
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    eye = distance * np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    forward = -eye / distance
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = rotation, -rotation @ eye
    return world


def render(shape: PackedShape, world_mat: np.ndarray, size: int, *, light: tuple[float, ...] = LIGHT,
           ambient: float = AMBIENT) -> Image:  # fmt: skip
    """Sphere-traced view of size x size pixels. `light` is a direction in camera space."""
    rotation, shift = world_mat[:3, :3], world_mat[:3, 3]
    axis = np.linspace(-1.0, 1.0, size)
    x, y = np.meshgrid(axis / FOCAL, axis / FOCAL)
    directions = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ rotation
    towards = np.array(light) / np.linalg.norm(light) @ rotation
    n = size * size
    rgb, depth, normals = np.empty((n, 3), np.float32), np.empty(n, np.float32), np.empty((n, 3), np.float32)
    kernels.trace((-rotation.T @ shift).astype(np.float32), directions.astype(np.float32),
                  towards.astype(np.float32), ambient, shape.box, shape.kinds, shape.frames, shape.params,
                  shape.outlines, shape.materials, rgb, depth, normals)  # fmt: skip
    square = (size, size)
    return Image(rgb.reshape(*square, 3), depth.reshape(square), normals.reshape(*square, 3), world_mat)


def label(shape: PackedShape, position: np.ndarray) -> Points:
    """Signed distance, colour and part at given points [P, 3] (float32)."""
    n = len(position)
    distance, rgb, part = np.empty(n, np.float32), np.empty((n, 3), np.float32), np.empty(n, np.int32)
    kernels.label_points(position, shape.kinds, shape.frames, shape.params, shape.outlines, shape.materials,
                         distance, rgb, part)  # fmt: skip
    return Points(position, distance, rgb, part)


def sample_points(shape: PackedShape, rng: np.random.Generator, uniform: int, near: int) -> Points:
    """`uniform` points in the cube, then `near` points around the surface (deviation 0.02)."""
    spread = rng.uniform(-0.5, 0.5, (uniform, 3)).astype(np.float32)
    low, high = -0.47, 0.47
    seeds = rng.uniform(low, high, (near * 4, 3)).astype(np.float32)
    close = label(shape, seeds)
    order = np.argsort(np.abs(close.distance))[: near * 2]
    surface = seeds[rng.choice(order, near)].copy()
    surface += rng.normal(0, 0.03, surface.shape).astype(np.float32)
    kernels.project_points(surface, shape.kinds, shape.frames, shape.params, shape.outlines)
    surface += rng.normal(0, 0.02, surface.shape).astype(np.float32)
    return label(shape, np.clip(np.concatenate([spread, surface]), -0.5, 0.5))


def occupancy_grid(shape: PackedShape, resolution: int) -> np.ndarray:
    """bool [R, R, R] indexed [x, y, z]: inside at cell centres of the unit cube."""
    axis = ((np.arange(resolution) + 0.5) / resolution - 0.5).astype(np.float32)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return (label(shape, grid).distance < 0).reshape(resolution, resolution, resolution)
