"""Colours of a result as a texture, for game engines that ignore colour attributes.

Blender's Smart UV Project unwraps; the colours are then drawn into the picture triangle by triangle. That
needs no Cycles, takes about a second and gives the same pixels every time.
"""

import math

import bpy
import numpy as np

from .materials import is_ours, texture_material
from .protocol import Array
from .triangle_raster import fragments, linear_to_srgb, spread

UV_MAP = "ISS UV"
ANGLE_LIMIT = math.radians(66)
"""Blender's own default: islands end where faces turn more than this."""
MARGIN_PX = 4
"""Pixels of colour beyond the islands' edges."""
SIZES = (512, 1024, 2048, 4096)


class BakeError(Exception):
    """Colours that cannot be baked."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


def bake_colors(obj: "bpy.types.Object", *, size: int = 1024) -> "bpy.types.Image":
    """Unwrap the object, draw its active colours into a packed picture and show that in its material.

    A material of the artist stays; the picture then only lies in the file. The colour attribute stays too.
    BakeError.
    """
    if obj.type != "MESH" or obj.data.color_attributes.active_color is None:
        raise BakeError(f"{obj.name!r} has no colour attribute.", "Select a result.")
    if obj.mode != "OBJECT":
        raise BakeError(f"{obj.name!r} is being edited.", "Leave the mode with Tab.")
    if obj.library is not None or obj.data.library is not None:
        raise BakeError(f"{obj.name!r} is linked from another file.", "Make it local first.")
    if size not in SIZES:
        raise BakeError(f"The texture size is {size}.", f"Choose one of {', '.join(map(str, SIZES))}.")
    unwrap(obj, margin=(MARGIN_PX + 1) / size)
    pixels = draw_texture(obj.data, size)
    image = picture_of(f"{obj.name} colors", pixels)
    if not len(obj.material_slots):
        obj.data.materials.append(None)
    for slot in obj.material_slots:
        if is_ours(slot.material):
            slot.material = texture_material(f"{obj.name} texture", image, UV_MAP)
    return image


def picture_of(name: str, pixels: Array) -> "bpy.types.Image":
    """A packed picture of display values [H, W, 4], rows downwards."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False)
    image.colorspace_settings.name = "sRGB"
    # Blender's rows begin at the bottom; a byte image takes display values as they are.
    image.pixels.foreach_set(np.ascontiguousarray(pixels[::-1]).reshape(-1))
    image.pack()
    return image


def unwrap(obj: "bpy.types.Object", *, margin: float) -> None:
    """Smart UV Project into the UV map UV_MAP, made where it is missing; `margin` in UV units.

    Selection and active object are as before afterwards. BakeError where it is not in the view layer.
    """
    layer = bpy.context.view_layer
    layer.update()  # an object that has just come is not visible before
    if obj.name not in layer.objects or not obj.visible_get():
        raise BakeError(f"{obj.name!r} is hidden or in another scene.", "Show it first.")
    mesh = obj.data
    uv_map = mesh.uv_layers.get(UV_MAP) or mesh.uv_layers.new(name=UV_MAP)
    if uv_map is None:
        raise BakeError(f"{obj.name!r} has the greatest number of UV maps.", "Remove one.")
    mesh.uv_layers.active = uv_map
    uv_map.active_render = True
    selected, active = [other for other in layer.objects if other.select_get()], layer.objects.active
    for other in selected:
        other.select_set(False)
    obj.select_set(True)
    layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    try:
        bpy.ops.mesh.select_all(action="SELECT")
        bpy.ops.uv.smart_project(angle_limit=ANGLE_LIMIT, island_margin=margin, margin_method="FRACTION")
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")
        obj.select_set(False)
        for other in selected:
            other.select_set(True)
        layer.objects.active = active


def draw_texture(mesh: "bpy.types.Mesh", size: int) -> Array:
    """The active colours through the active UV map: [size, size, 4] float32 display values, rows downwards.

    Between the vertices colours run as linear light, as in the viewport.
    """
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    loops, points = np.empty(count * 3, np.int32), np.empty(count * 3, np.int32)
    mesh.loop_triangles.foreach_get("loops", loops)
    mesh.loop_triangles.foreach_get("vertices", points)
    uv = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers.active.data.foreach_get("uv", uv)
    attribute = mesh.color_attributes.active_color
    colors = np.empty(len(attribute.data) * 4, np.float32)
    attribute.data.foreach_get("color", colors)
    linear = colors.reshape(-1, 4)[points if attribute.domain == "POINT" else loops, :3].reshape(-1, 3, 3)
    places = uv.reshape(-1, 2)[loops].reshape(-1, 3, 2) * np.float32([size, -size]) + np.float32([0, size])
    image, filled = np.zeros((size * size, 3), np.float32), np.zeros(size * size, bool)
    for triangles, pixels, weights in fragments(places, size, size):
        image[pixels] = np.einsum("kc,kcd->kd", weights, linear[triangles])
        filled[pixels] = True
    shape = (size, size)
    shown = spread(image.reshape(*shape, 3), filled.reshape(shape), MARGIN_PX)
    result = np.ones((*shape, 4), np.float32)
    result[..., :3] = linear_to_srgb(shown)
    return result
