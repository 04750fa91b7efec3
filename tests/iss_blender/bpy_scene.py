"""An empty scene and small coloured shapes for the tests that use the bpy module."""

from typing import Any

import numpy as np

from iss_blender.protocol import Array


def empty_scene(bpy: Any) -> Any:
    """Blender as it comes from the factory, without objects; the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def box_arrays(
    low: tuple[float, float, float] = (-0.1, -0.4, -0.3),
    high: tuple[float, float, float] = (0.3, 0.4, 0.2),
    color: tuple[float, float, float] | None = None,
) -> dict[str, Array]:
    """A closed box in SVR space, faces outwards; each corner has a colour of its own, or all have one."""
    steps = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    vertices = np.float32(low) + steps * (np.float32(high) - np.float32(low))
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)
    colors = steps * np.float32([0.8, 0.5, 0.3]) + np.float32(0.02)
    if color is not None:
        colors = np.tile(np.float32(color), (8, 1))
    return {"vertices": vertices, "faces": faces, "colors": colors.astype(np.float32)}


def srgb_to_linear(colors: Array) -> Array:
    """IEC 61966-2-1."""
    c = np.asarray(colors, np.float64)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def read(collection: Any, name: str, width: int) -> Array:
    """A property of every element as [count, width] float32."""
    values = np.empty(len(collection) * width, np.float32)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)
