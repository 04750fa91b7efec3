"""Arrays from the backend -> a mesh object in the scene, and later meshes into the same object.

The only place where SVR space (unit cube, y up, front +z) becomes Blender's (metres, z up, front -y). The
object's origin is the middle of its footprint, so that it stands on the floor and scales from there.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence

import bpy
import numpy as np

from .materials import color_material, is_baked
from .object_record import ObjectRecord, write_record
from .protocol import Array

COLLECTION = "ISS"
ATTRIBUTE = "Color"
"""Name of the colour attribute: what Blender itself and the glTF exporter call it."""
SMOOTH_ANGLE = math.radians(40)
"""Edges sharper than this stay sharp: chair legs keep their edges, round bodies show no facets."""
FLATTEST = 0.05
"""A shape lower than this share of its greatest extent (a rug) is scaled by that share instead of its own
height, so that a height of one metre does not make it a hundred metres wide."""
LONGEST_NAME = 48
"""Characters of an object's name; Blender allows 63 bytes and adds a number."""


class MeshImportError(Exception):
    """A mesh that cannot enter the scene. `code`: arrays, mode or linked."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code, self.message, self.remedy = code, message, remedy


def import_result(
    arrays: Mapping[str, Array],
    record: ObjectRecord,
    *,
    name: str = "",
    scene: "bpy.types.Scene | None" = None,
    location: Sequence[float] | None = None,
    collection: str = COLLECTION,
) -> "bpy.types.Object":
    """A new object from `vertices` [N, 3], `faces` [M, 3], `colors` [N, 3] (sRGB in [0, 1]).

    Its height in metres is the record's. name: default the record's prompt. location: default the 3D
    cursor's x and y on the floor z = 0. collection: made below the scene's own where it is missing. Undo is
    left to the caller, who knows what belongs into one step. MeshImportError.
    """
    scene = scene or bpy.context.scene
    title = object_name(name or record.prompt)
    vertices, faces, colors = _checked(arrays)
    mesh = bpy.data.meshes.new(title)
    _fill(mesh, vertices, faces, colors, record.height_m)
    mesh.materials.append(color_material(ATTRIBUTE))
    obj = bpy.data.objects.new(title, mesh)
    obj.location = floor_below_cursor(scene) if location is None else location
    result_collection(scene, collection).objects.link(obj)
    write_record(obj, record)
    return obj


def replace_result(obj: "bpy.types.Object", arrays: Mapping[str, Array], record: ObjectRecord) -> None:
    """Another mesh for the same object: transform, modifiers, materials, name and collections stay.

    Copies that share the mesh (Alt D) change as well. MeshImportError when the artist is editing it.
    """
    problem = why_not_replaceable(obj)
    if problem is not None:
        raise problem
    vertices, faces, colors = _checked(arrays)
    mesh = obj.data
    if mesh.shape_keys is not None:
        obj.shape_key_clear()  # they belong to the old vertices
    mesh.clear_geometry()
    _fill(mesh, vertices, faces, colors, record.height_m)
    for index, material in enumerate(mesh.materials):
        if is_baked(material):  # a picture of the old shape
            mesh.materials[index] = color_material(ATTRIBUTE)
    write_record(obj, record)


def floor_below_cursor(scene: "bpy.types.Scene") -> tuple[float, float, float]:
    """Where a result stands: the 3D cursor's x and y, on the floor z = 0."""
    return (scene.cursor.location.x, scene.cursor.location.y, 0.0)


def why_not_replaceable(obj: "bpy.types.Object") -> MeshImportError | None:
    """Why `replace_result` would refuse now, else None."""
    if obj.type != "MESH":
        return MeshImportError("mode", f"{obj.name!r} is no mesh.", "Select a result.")
    if obj.mode != "OBJECT":
        return MeshImportError(
            "mode", f"{obj.name!r} is in {obj.mode.lower().replace('_', ' ')} mode.", "Leave it with Tab."
        )
    if obj.library is not None or obj.data.library is not None:
        return MeshImportError(
            "linked", f"{obj.name!r} is linked from another file.", "Make it local, or work in that file."
        )
    return None


def to_blender(vertices: Array, height: float) -> Array:
    """SVR positions [N, 3] -> metres [N, 3] float32: (x, y, z) -> (x, -z, y), on the floor, scaled."""
    low, high = vertices.min(axis=0).astype(np.float64), vertices.max(axis=0).astype(np.float64)
    extent = high - low
    scale = height / max(extent[1], FLATTEST * extent.max(), 1e-9)
    middle = (low + high) / 2
    placed = np.empty((len(vertices), 3), np.float32)
    placed[:, 0] = (vertices[:, 0] - middle[0]) * scale
    placed[:, 1] = (middle[2] - vertices[:, 2]) * scale
    placed[:, 2] = (vertices[:, 1] - low[1]) * scale
    return placed


def to_svr(vertices: Array) -> Array:
    """Blender's positions [N, 3] in SVR's axes, neither moved nor scaled: (x, y, z) -> (x, z, -y)."""
    turned = np.asarray(vertices, np.float32)[:, [0, 2, 1]]
    turned[:, 2] *= -1
    return np.ascontiguousarray(turned)


def object_name(words: str) -> str:
    """A name for object and data: the words on one line, cut between words, never empty."""
    text = " ".join("".join(c if unicodedata.category(c)[0] != "C" else " " for c in words).split())
    while len(text) > LONGEST_NAME or len(text.encode("utf-8")) > 58:
        head = text[: min(LONGEST_NAME, len(text) - 1)]
        text = head.rpartition(" ")[0] or head
    return text or "ISS result"


def result_collection(scene: "bpy.types.Scene", name: str = COLLECTION) -> "bpy.types.Collection":
    """The scene's collection for results, made where it is missing."""
    for candidate in scene.collection.children_recursive:
        if candidate.name.partition(".")[0] == name and candidate.library is None:
            return candidate
    made = bpy.data.collections.new(name)
    scene.collection.children.link(made)
    return made


def _checked(arrays: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    remedy = "Run the job again; report it if it comes back."
    missing = [name for name in ("vertices", "faces", "colors") if name not in arrays]
    if missing:
        raise MeshImportError("arrays", f"The result lacks {', '.join(missing)}.", remedy)
    vertices = np.ascontiguousarray(arrays["vertices"], np.float32)
    faces = np.ascontiguousarray(arrays["faces"], np.int32)
    colors = np.ascontiguousarray(arrays["colors"], np.float32)
    shapes = f"vertices {vertices.shape}, faces {faces.shape}, colors {colors.shape}"
    if not all(a.ndim == 2 and a.shape[1] == 3 and len(a) for a in (vertices, faces, colors)):
        raise MeshImportError("arrays", f"The result's arrays are empty or misshapen: {shapes}.", remedy)
    if len(colors) != len(vertices) or faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshImportError("arrays", f"The result's arrays do not belong together: {shapes}.", remedy)
    if not (np.isfinite(vertices).all() and np.isfinite(colors).all()):
        raise MeshImportError("arrays", "The result holds NaN or infinity.", remedy)
    # Blender cannot hold a face that names a vertex twice.
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces if whole.all() else np.ascontiguousarray(faces[whole])
    if not len(faces):
        raise MeshImportError("arrays", "The result has no face with an area.", remedy)
    return vertices, faces, colors


def _fill(mesh: "bpy.types.Mesh", vertices: Array, faces: Array, colors: Array, height: float) -> None:
    """Bulk writes only, straight into the attributes: 200,000 faces take well under half a second."""
    mesh.vertices.add(len(vertices))
    mesh.attributes["position"].data.foreach_set("vector", to_blender(vertices, height).reshape(-1))
    mesh.loops.add(faces.size)
    # (x, y, z) -> (x, -z, y) is a rotation, so faces keep their winding.
    mesh.attributes[".corner_vert"].data.foreach_set("value", faces.reshape(-1))
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    _color(mesh, colors)
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=SMOOTH_ANGLE)


def _color(mesh: "bpy.types.Mesh", colors: Array) -> None:
    """Floats rather than bytes: the attribute holds what the backend sent, without rounding or banding.

    `color_srgb` takes display values and stores linear ones.
    """
    attribute = mesh.color_attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
    rgba = np.ones((len(colors), 4), np.float32)
    rgba[:, :3] = colors
    attribute.data.foreach_set("color_srgb", rgba.reshape(-1))
    mesh.color_attributes.active_color = attribute
    mesh.color_attributes.render_color_index = mesh.color_attributes.find(ATTRIBUTE)
