"""Writing a TriMesh as PLY or GLB so that both show the same colours, the right way up.

PLY holds the display-referred sRGB bytes as they are. glTF's COLOR_0 holds linear values: sixteen bits, since
eight would band in the dark. Both are y up with the front towards +z, as glTF defines, so nothing is rotated.
"""

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.errors import MeshError
from backend.mesh import TriMesh
from backend.output_file import write_file

# glTF 2.0 specification, sections 3.6.2 (accessors) and 4.4 (GLB layout)
_GLB_MAGIC, _GLB_VERSION, _CHUNK_JSON, _CHUNK_BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT, _UINT16, _UINT32 = 5126, 5123, 5125
_VERTEX_DATA, _INDEX_DATA = 34962, 34963


def save_mesh(mesh: TriMesh, path: Path) -> None:
    """Write `mesh` in the format of the file name's ending, .ply or .glb.

    MeshError for another ending or a mesh without faces, OutputError when the place cannot be written.
    """
    encoders = {".ply": encode_ply, ".glb": encode_glb}
    suffix = Path(path).suffix.lower()
    if suffix not in encoders:
        raise MeshError(f"{Path(path).name} ends in {suffix!r}.", remedy="Use a name ending in .ply or .glb.")
    write_file(path, encoders[suffix](mesh))


def encode_ply(mesh: TriMesh) -> bytes:
    """Binary PLY with the sRGB colours as unsigned bytes."""
    from trimesh import Trimesh
    from trimesh.exchange.ply import export_ply

    _require_faces(mesh)
    colors = np.round(np.clip(mesh.colors, 0, 1) * 255).astype(np.uint8)
    shape = Trimesh(mesh.vertices, mesh.faces, vertex_colors=colors, process=False)
    return export_ply(shape, encoding="binary", vertex_normal=False)


def encode_glb(mesh: TriMesh) -> bytes:
    """GLB with smooth normals, a matt material and linear 16-bit vertex colours.

    Written here because trimesh 5 stores COLOR_0 as the sRGB bytes, which glTF viewers show too light.
    """
    _require_faces(mesh)
    linear = np.ones((len(mesh.vertices), 4))
    linear[:, :3] = srgb_to_linear(mesh.colors)
    blocks = (
        ("POSITION", mesh.vertices, _FLOAT, "VEC3"),
        ("NORMAL", mesh.vertex_normals, _FLOAT, "VEC3"),
        ("COLOR_0", np.round(linear * 65535).astype(np.uint16), _UINT16, "VEC4"),
        ("indices", mesh.faces.astype(np.uint32).reshape(-1, 1), _UINT32, "SCALAR"),
    )
    views, accessors, body = [], [], b""
    for name, array, component, kind in blocks:
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        target = _INDEX_DATA if name == "indices" else _VERTEX_DATA
        views.append({"buffer": 0, "byteOffset": len(body), "byteLength": len(data), "target": target})
        accessor = {
            "bufferView": len(accessors),
            "componentType": component,
            "count": len(array),
            "type": kind,
        }
        if name == "POSITION":
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        if component == _UINT16:
            accessor["normalized"] = True
        accessors.append(accessor)
        body += data  # every block is a multiple of four bytes long, as GLB alignment asks
    primitive = {
        "attributes": {name: i for i, (name, *_) in enumerate(blocks) if name != "indices"},
        "indices": len(blocks) - 1,
        "material": 0,
    }
    surface = {"baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0, "roughnessFactor": 0.8}
    document = {
        "asset": {"version": "2.0", "generator": "ISS for Blender"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "shape"}],
        "meshes": [{"primitives": [primitive], "name": "shape"}],
        "materials": [{"name": "vertex colours", "pbrMetallicRoughness": surface}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(body)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(body)
    header = struct.pack("<III", _GLB_MAGIC, _GLB_VERSION, length)
    return b"".join(
        (
            header,
            struct.pack("<II", len(text), _CHUNK_JSON),
            text,
            struct.pack("<II", len(body), _CHUNK_BIN),
            body,
        )
    )


def srgb_to_linear(colors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Linear values of display-referred sRGB in [0, 1], any shape (IEC 61966-2-1)."""
    c = np.clip(np.asarray(colors, dtype=np.float64), 0, 1)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _require_faces(mesh: TriMesh) -> None:
    if not len(mesh.faces):
        raise MeshError("The mesh has no faces to write.", remedy="Generate or choose another shape.")
