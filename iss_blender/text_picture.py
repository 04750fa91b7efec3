"""Captions for contact sheets, drawn with Blender's own font, which knows more scripts than ASCII."""

import bpy
import numpy as np

from .protocol import Array
from .triangle_raster import fragments

_FINER = 3
_BASELINE = 0.3
"""Of the strip's height, from below: room for descenders."""
_LETTER = 0.75
"""Height of the font as a share of the strip's."""


def draw_caption(text: str, *, width: int, height: int) -> Array:
    """Dark text on white, [height, width, 3] uint8; what is too long is cut."""
    corners = _triangles(text) * np.float32([1, -1]) * height * _LETTER
    places = (corners + np.float32([height * 0.25, height * (1 - _BASELINE)])) * _FINER
    ink = np.zeros(height * _FINER * width * _FINER, np.float32)
    for _, pixels, _ in fragments(places, height * _FINER, width * _FINER):
        ink[pixels] = 1
    cover = ink.reshape(height, _FINER, width, _FINER).mean(axis=(1, 3))
    strip: Array = np.round(255 - 225 * cover).astype(np.uint8)
    return np.repeat(strip[..., None], 3, axis=-1)


def _triangles(text: str) -> Array:
    """The letters as triangles [T, 3, (x, y)]; one unit is the font's size."""
    curve = bpy.data.curves.new("ISS caption", "FONT")
    curve.body = " ".join(text.split())
    obj = bpy.data.objects.new("ISS caption", curve)
    bpy.context.scene.collection.objects.link(obj)
    try:
        evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
        mesh = evaluated.to_mesh()
        mesh.calc_loop_triangles()
        points = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", points)
        corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        evaluated.to_mesh_clear()
    finally:
        bpy.data.objects.remove(obj)
        bpy.data.curves.remove(curve)
    return points.reshape(-1, 3)[corners.reshape(-1, 3), :2]
