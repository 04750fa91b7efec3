"""An artist's own mesh as arrays for the backend, and the points on it that a picture's pixels stand for."""

from dataclasses import dataclass

import bpy
import numpy as np

from .addon_scene import ORIGINAL
from .assets import mesh_arrays
from .bake import MARGIN_PX, UV_MAP, BakeError, unwrap
from .mesh_import import to_svr
from .protocol import Array, Fields
from .triangle_raster import fragments

MOST_FACES = 2_000_000
"""As the backend's own limit; asked here so that nothing larger crosses the pipe."""
FEW_VERTICES = 2000
"""A mesh with fewer shows a texture better as a picture than as colours of vertices."""


class OwnMeshError(Exception):
    """An object whose mesh cannot be styled; the text says what to do."""


@dataclass(frozen=True)
class OwnMesh:
    """What goes to the backend, and what the scene needs to use the answer."""

    arrays: dict[str, Array]
    """vertices [N, 3] as the object stands in the scene (y up), faces [M, 3], colors [N, 3]; with a picture
    also samples [K, 3] like vertices, texels [K] (pixel numbers, rows downwards) and uv [loops, 2]."""
    look: Fields
    """The picture's size and UV map; empty without."""


def read_own_mesh(obj: "bpy.types.Object", *, picture_size: int = 0) -> OwnMesh:
    """The mesh of an object before its modifiers; a picture of 0 pixels is none. OwnMeshError.

    A mesh without a UV map is unwrapped for the picture, on a copy.
    """
    _check(obj)
    mesh = obj.get(ORIGINAL) or obj.data  # not the preview of a style that is still being made
    vertices, faces, colors = mesh_arrays(mesh)
    if len(faces) > MOST_FACES:
        raise OwnMeshError(
            f"{obj.name!r} has {len(faces):,} triangles; at most {MOST_FACES:,} are stylized. Add a Decimate "
            "modifier and apply it, or stylize a simpler copy and transfer the colours."
        )
    if not np.isfinite(vertices).all():
        raise OwnMeshError(f"{obj.name!r} has vertices at no place (NaN). Clean the mesh up first.")
    frame = np.array(obj.matrix_world, np.float32)[:3, :3]
    placed = to_svr(vertices @ frame.T)
    if not np.ptp(placed[np.unique(faces)], axis=0).max() > 0:
        raise OwnMeshError(f"All of {obj.name!r} is in one place. Check its scale.")
    arrays = {"vertices": placed, "faces": faces, "colors": colors}
    if not picture_size:
        return OwnMesh(arrays, {})
    uv, name = _uv_of(mesh, picture_size)
    texels, points = texel_points(mesh, uv, placed, picture_size)
    if not len(texels):
        raise OwnMeshError(
            f"The UV map of {obj.name!r} covers no pixel. Unwrap it, or use a colour attribute."
        )
    arrays |= {"samples": points, "texels": texels, "uv": uv}
    return OwnMesh(arrays, {"size": picture_size, "uv_map": name})


def texel_points(mesh: "bpy.types.Mesh", uv: Array, vertices: Array, size: int) -> tuple[Array, Array]:
    """Pixels [K] int32 that UVs [loops, 2] cover in a picture of size x size, and their points [K, 3]."""
    count = len(mesh.loop_triangles)
    loops, corners = np.empty(count * 3, np.int32), np.empty(count * 3, np.int32)
    mesh.loop_triangles.foreach_get("loops", loops)
    mesh.loop_triangles.foreach_get("vertices", corners)
    places = uv[loops].reshape(-1, 3, 2) * np.float32([size, -size]) + np.float32([0, size])
    positions = vertices[corners].reshape(-1, 3, 3)
    points, filled = np.zeros((size * size, 3), np.float32), np.zeros(size * size, bool)
    for triangles, pixels, weights in fragments(places, size, size):
        points[pixels] = np.einsum("kc,kcd->kd", weights, positions[triangles])
        filled[pixels] = True
    texels = np.flatnonzero(filled).astype(np.int32)
    return texels, points[texels]


def _check(obj: "bpy.types.Object") -> None:
    if obj.type != "MESH":
        raise OwnMeshError(f"{obj.name!r} is no mesh. Convert it to one first (Object, Convert).")
    if obj.library is not None or obj.data.library is not None:
        raise OwnMeshError(
            f"{obj.name!r} is linked from another file. Make it local first (Object, Relations, Make Local)."
        )
    if obj.mode != "OBJECT":
        raise OwnMeshError(f"{obj.name!r} is being edited. Leave the mode with Tab first.")
    if not len(obj.data.polygons):
        raise OwnMeshError(f"{obj.name!r} has no faces. Choose an object with faces.")


def _uv_of(mesh: "bpy.types.Mesh", size: int) -> tuple[Array, str]:
    """UVs [loops, 2] of the active UV map and its name, or of a fresh unwrapping."""
    layer = mesh.uv_layers.active
    if layer is not None:
        return _read_uv(layer), layer.name
    copy = bpy.data.objects.new("ISS unwrap", mesh.copy())
    bpy.context.scene.collection.objects.link(copy)
    try:
        unwrap(copy, margin=(MARGIN_PX + 1) / size)
        return _read_uv(copy.data.uv_layers.active), UV_MAP
    except BakeError as problem:
        raise OwnMeshError(f"{problem.message} {problem.remedy}") from problem
    finally:
        unwrapped = copy.data
        bpy.data.objects.remove(copy)
        bpy.data.meshes.remove(unwrapped)


def _read_uv(layer: "bpy.types.MeshUVLoopLayer") -> Array:
    uv = np.empty(len(layer.data) * 2, np.float32)
    layer.data.foreach_get("uv", uv)
    return uv.reshape(-1, 2)
