"""Which pixels triangles cover, and with which weights, in numpy: for baked textures and preview pictures.

Blender's own renderers need a window or seconds; this needs neither and gives the same bytes everywhere.
"""

from collections.abc import Iterator

import numpy as np

from .protocol import Array

_MOST_FRAGMENTS = 1 << 20
"""Candidate pixels that are held at a time, about 100 MB."""


def fragments(corners: Array, height: int, width: int) -> Iterator[tuple[Array, Array, Array]]:
    """The pixels whose centres lie in triangles `corners` [T, 3, 2] (x right, y down, in pixels).

    Yields, in pieces, triangle numbers [K], flat pixel numbers [K] and barycentric weights [K, 3]. The
    centre of pixel (row, column) is (column + 0.5, row + 0.5). Triangles without an area cover nothing.
    """
    corners = np.asarray(corners, np.float64)
    low = np.floor(corners.min(axis=1) - 0.5).astype(np.int64)
    side = np.ceil(corners.max(axis=1) - 0.5).astype(np.int64) - low + 1
    reach = np.maximum(side.max(axis=1), 1)
    edge_a, edge_b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge_a[:, 0] * edge_b[:, 1] - edge_a[:, 1] * edge_b[:, 0]
    # Triangles of similar size share one grid of candidate pixels.
    sizes = 1 << np.ceil(np.log2(reach)).astype(np.int64)
    for size in np.unique(sizes):
        members = np.flatnonzero((sizes == size) & (np.abs(area) > 1e-12))
        offset = np.arange(size)
        grid = np.stack(np.meshgrid(offset, offset), axis=-1).reshape(-1, 2)  # [size², (x, y)]
        step = max(1, _MOST_FRAGMENTS // len(grid))
        for start in range(0, len(members), step):
            chosen = members[start : start + step]
            yield _piece(chosen, corners, low, edge_a, edge_b, area, grid, height, width)


def _piece(
    chosen: Array,
    corners: Array,
    low: Array,
    edge_a: Array,
    edge_b: Array,
    area: Array,
    grid: Array,
    height: int,
    width: int,
) -> tuple[Array, Array, Array]:
    pixels = low[chosen, None] + grid[None]  # [T, size², 2]
    place = pixels + 0.5 - corners[chosen, None, 0]
    a, b = edge_a[chosen, None], edge_b[chosen, None]
    second = (place[..., 0] * b[..., 1] - place[..., 1] * b[..., 0]) / area[chosen, None]
    third = (a[..., 0] * place[..., 1] - a[..., 1] * place[..., 0]) / area[chosen, None]
    first = 1.0 - second - third
    inside = (np.minimum(np.minimum(first, second), third) >= -1e-9) & (pixels >= 0).all(axis=-1)
    inside &= (pixels[..., 0] < width) & (pixels[..., 1] < height)
    rows, columns = np.nonzero(inside)
    hit = pixels[rows, columns]
    weights = np.stack([first[inside], second[inside], third[inside]], axis=-1)
    return chosen[rows], hit[:, 1] * width + hit[:, 0], weights


def spread(image: Array, filled: Array, steps: int) -> Array:
    """`image` [H, W, C] with the colours of `filled` [H, W] pixels spread outwards by `steps` pixels.

    A texture is sampled between pixels, so colours must go on beyond the edges of the islands.
    """
    image, filled = image.copy(), filled.copy()
    for _ in range(steps):
        total, count = np.zeros_like(image), np.zeros(filled.shape, image.dtype)
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            near, there = np.roll(image, shift, axis), np.roll(filled, shift, axis)
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            there[tuple(edge)] = False  # no colours from the opposite border
            total += near * there[..., None]
            count += there
        new = ~filled & (count > 0)
        image[new] = total[new] / count[new][:, None]
        filled |= new
    return image


def srgb_to_linear(colors: Array) -> Array:
    """Linear light of display values in [0, 1] (IEC 61966-2-1), any shape, float32."""
    c = np.clip(np.asarray(colors, np.float32), 0, 1)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(colors: Array) -> Array:
    """Display values in [0, 1] of linear light, any shape, float32."""
    c = np.clip(np.asarray(colors, np.float32), 0, 1)
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055).astype(np.float32)
