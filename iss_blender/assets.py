"""Results in the asset browser: tags from the words, a description, and a preview drawn at once.

Blender's own previews are rendered by a job that needs a window; this one is there also after a batch.
"""

import bpy
import numpy as np

from .object_record import ObjectRecord
from .preview_picture import draw_mesh
from .protocol import Array

PREVIEW_SIZE = 256
"""Pixels; what Blender itself keeps."""
OWN_TAG = "ISS"
LONGEST_TAG = 63
_LITTLE_WORDS = frozenset(["a", "an", "and", "at", "by", "for", "in", "of", "on", "the", "to", "with"])


def mark_as_asset(obj: "bpy.types.Object", record: ObjectRecord) -> None:
    """Make the object an asset with tags, description and preview; again on one, it renews them."""
    if obj.asset_data is None:
        obj.asset_mark()
    data = obj.asset_data
    for tag in asset_tags(record.prompt):
        data.tags.new(tag, skip_if_exists=True)
    score = "" if record.score is None else f" CLIP score {record.score:.3f}."
    data.description = f"{record.prompt}. Seed {record.recipe.get('seed', 0)}.{score}".lstrip(". ")
    set_preview(obj)


def asset_tags(prompt: str) -> list[str]:
    """The prompt's words that mean something, in lower case, after the add-on's own tag."""
    words = ("".join(c for c in word if c.isalnum() or c == "-") for word in prompt.lower().split())
    found = (word[:LONGEST_TAG] for word in words if word and word not in _LITTLE_WORDS)
    return list(dict.fromkeys([OWN_TAG, *found]))


def set_preview(obj: "bpy.types.Object") -> None:
    """Draw the object's mesh as its preview picture."""
    picture = draw_mesh(*mesh_arrays(obj.data), size=PREVIEW_SIZE)
    preview = obj.preview_ensure()
    preview.image_size = (PREVIEW_SIZE, PREVIEW_SIZE)
    pixels = picture[::-1].astype(np.float32).reshape(-1) / 255  # from the bottom row upwards
    preview.image_pixels_float.foreach_set(pixels)


def mesh_arrays(mesh: "bpy.types.Mesh") -> tuple[Array, Array, Array]:
    """Vertices [N, 3], triangles [M, 3] and active colours [N, 3] (sRGB; grey where there are none)."""
    vertices = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", vertices)
    mesh.calc_loop_triangles()
    faces = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("vertices", faces)
    colors = np.full((len(mesh.vertices), 4), 0.8, np.float32)
    attribute = mesh.color_attributes.active_color
    if attribute is not None and attribute.domain == "POINT":
        flat = np.empty(colors.size, np.float32)
        attribute.data.foreach_get("color_srgb", flat)
        colors = flat.reshape(-1, 4)
    return vertices.reshape(-1, 3), faces.reshape(-1, 3), colors[:, :3]
