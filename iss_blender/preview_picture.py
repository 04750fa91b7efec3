"""Small pictures of meshes without a renderer: asset previews, batch previews, contact sheets.

A headlight, parallel projection, a white or transparent ground. Positions are Blender's: z up, front -y.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .protocol import Array
from .triangle_raster import fragments, linear_to_srgb, srgb_to_linear

AZIMUTH_DEG, ELEVATION_DEG = 30.0, 20.0
"""Three-quarter view: the front, the right side and the top are seen."""
MARGIN = 0.06
"""Free border as a share of the picture."""
AMBIENT = 0.45
"""Light on faces seen edge-on; faces towards the eye get 1."""
_FINER = 2
"""Pixels are averaged from this many squared."""


def draw_mesh(
    vertices: Array,
    faces: Array,
    colors: Array,
    *,
    size: int = 256,
    azimuth_deg: float = AZIMUTH_DEG,
    elevation_deg: float = ELEVATION_DEG,
) -> Array:
    """Picture [size, size, 4] uint8, sRGB with straight alpha; `colors` [N, 3] are sRGB in [0, 1].

    The mesh fills the picture. Azimuth 0 looks at the front, 90 at its right-hand side as it faces us (+x).
    """
    fine = size * _FINER
    screen, depth, facing = _project(vertices, faces, azimuth_deg, elevation_deg, fine)
    linear = srgb_to_linear(colors)
    image, nearest = np.zeros((fine * fine, 3), np.float32), np.full(fine * fine, np.inf)
    for triangles, pixels, weights in fragments(screen[faces], fine, fine):
        corners = faces[triangles]
        far = np.einsum("kc,kc->k", weights, depth[corners])
        order = np.argsort(-far, kind="stable")  # of several on one pixel the last, nearest one stays
        order = order[far[order] < nearest[pixels[order]]]
        corners, weights, pixels = corners[order], weights[order], pixels[order]
        nearest[pixels] = far[order]
        light = AMBIENT + (1 - AMBIENT) * np.abs(np.einsum("kc,kc->k", weights, facing[corners]))
        image[pixels] = np.einsum("kc,kcd->kd", weights, linear[corners]) * light[:, None]
    shape = (size, _FINER, size, _FINER)
    seen = np.isfinite(nearest).reshape(shape).astype(np.float32)
    cover = seen.mean(axis=(1, 3))
    total = image.reshape(*shape, 3).mean(axis=(1, 3))
    shown = linear_to_srgb(total / np.maximum(cover, 1e-6)[..., None])
    return _bytes(np.concatenate([shown, cover[..., None]], axis=-1))


def on_ground(picture: Array, ground: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Array:
    """The picture [H, W, 4] on one colour: [H, W, 3] uint8."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    return _bytes((picture[..., :3] / 255.0) * alpha + np.float32(ground) * (1 - alpha))


def contact_sheet(rows: Sequence[tuple[Array | None, Sequence[Array | None]]], *, cell: int) -> Array:
    """Pictures [cell, cell, 3] in rows, each below its caption strip [h, w, 3]: one picture [H, W, 3] uint8.

    None leaves a cell grey (a result that failed). Captions are cut at the sheet's width.
    """
    columns = max((len(pictures) for _, pictures in rows), default=1) or 1
    strips = []
    for caption, pictures in rows:
        if caption is not None:
            strip = np.full((caption.shape[0], columns * cell, 3), 255, np.uint8)
            wide = min(caption.shape[1], strip.shape[1])
            strip[:, :wide] = caption[:, :wide]
            strips.append(strip)
        line = np.full((cell, columns * cell, 3), 255, np.uint8)
        for index, picture in enumerate(pictures):
            place = line[:, index * cell : (index + 1) * cell]
            if picture is None:
                place[4:-4, 4:-4] = 208
            else:
                place[:] = picture
        strips.append(line)
    return np.concatenate(strips) if strips else np.full((cell, cell, 3), 255, np.uint8)


def encode_png(picture: Array) -> bytes:
    """A PNG file of [H, W, 3 or 4] uint8, rows from the top; the same bytes for the same picture."""
    height, width, channels = picture.shape
    kind = {3: 2, 4: 6}[channels]
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # filter type 0 before each row
    rows[:, 1:] = picture.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), 6)
    chunks = ((b"IHDR", header), (b"sRGB", b"\0"), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def save_png(picture: Array, path: Path) -> None:
    """Write a picture; OSError where the place refuses."""
    path.write_bytes(encode_png(picture))


def _project(
    vertices: Array, faces: Array, azimuth_deg: float, elevation_deg: float, size: int
) -> tuple[Array, Array, Array]:
    """Pixel places [N, 2], depths [N] (greater is farther) and how much normals face the eye [N]."""
    az, el = math.radians(azimuth_deg), math.radians(elevation_deg)
    ahead = np.array([-math.sin(az) * math.cos(el), math.cos(az) * math.cos(el), -math.sin(el)])
    right = np.array([math.cos(az), math.sin(az), 0.0])
    up = np.cross(right, ahead)
    points = np.asarray(vertices, np.float64)
    flat = np.stack([points @ right, -(points @ up)], axis=-1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    scale = size * (1 - 2 * MARGIN) / max(float((high - low).max()), 1e-9)
    screen = (flat - (low + high) / 2) * scale + size / 2
    normals = np.cross(*(points[faces[:, i]] - points[faces[:, 0]] for i in (1, 2)))
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(normals[:, axis], 3), len(points)) for axis in range(3)], -1
    )
    length = np.maximum(np.linalg.norm(total, axis=1), 1e-12)
    return screen, points @ ahead, (total @ ahead) / length


def _bytes(values: Array) -> Array:
    result: Array = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return result
