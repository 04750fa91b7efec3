"""Whether a shape holds together: pieces of the mesh, standing on the ground, both wings, a whole pole."""

import numpy as np
from numpy.typing import NDArray

from backend.judges.solid import Grid, Solid
from backend.mesh import TriMesh

_MAIN_SHARE = 0.99
"""Of the volume that must belong to the largest piece: the rest would float."""
_BALANCE = 0.6
"""Least volume of one wing over the other's."""


def piece_count(mesh: TriMesh) -> int:
    """Connected pieces with an outside; enclosed voids, which nobody sees, are not counted."""
    if not len(mesh.faces):
        return 0
    labels = mesh.face_components()
    pieces = (mesh.select_faces(labels == number) for number in range(int(labels.max()) + 1))
    return sum(piece.volume() > 0 for piece in pieces)


def connected_share(grid: Grid) -> float:
    """Share of the solid voxels in the largest connected piece, corners counting as contact."""
    main = _largest_piece(grid)
    return float(main.sum() / grid.sum()) if grid.any() else 0.0


def stands(solid: Solid) -> bool:
    """Whether the shape is one piece that would stand: its centre of mass lies above what touches the
    ground, and there is something in every layer from the ground up. A table without legs on one side, with
    floating legs or with legs that end in the air does not."""
    grid = solid.cropped
    main = _largest_piece(grid)
    if not main.any() or main.sum() < _MAIN_SHARE * grid.sum() or not main.any(axis=(0, 2)).all():
        return False
    ground = np.argwhere(main[:, : max(2, grid.shape[1] // 20)].any(axis=1)).astype(float)
    center = np.argwhere(main).mean(axis=0)[[0, 2]]
    return _inside_hull(center, ground)


def has_both_wings(solid: Solid) -> bool:
    """Whether an airplane has solid wings on both sides, joined to it and about the same."""
    grid = solid.cropped
    main = _largest_piece(grid)
    if not main.any() or main.sum() < _MAIN_SHARE * grid.sum():
        return False
    outer = max(main.shape[0] * 3 // 10, 1)
    left, right = int(main[:outer].sum()), int(main[-outer:].sum())
    return min(left, right) > 0 and min(left, right) >= _BALANCE * max(left, right)


def has_unbroken_pole(solid: Solid) -> bool:
    """Whether one connected piece reaches from the ground to the top: the stem of a lamp did not vanish."""
    main = _largest_piece(solid.cropped)
    return bool(main.any(axis=(0, 2)).all()) and connected_share(solid.cropped) >= _MAIN_SHARE


def _largest_piece(grid: Grid) -> Grid:
    from scipy import ndimage

    labels, count = ndimage.label(grid, structure=np.ones((3, 3, 3)))
    if not count:
        return np.zeros_like(grid)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def _inside_hull(point: NDArray[np.float64], places: NDArray[np.float64]) -> bool:
    """Whether a point [2] lies in the convex hull of cells [N, 2], each a unit square.

    It does unless some direction separates them; 72 directions suffice for cells of this size.
    """
    angles = np.arange(72) * np.pi / 36
    directions = np.stack([np.cos(angles), np.sin(angles)])
    reach = (places @ directions).max(axis=0) + 0.5 * np.abs(directions).sum(axis=0)
    return bool((point @ directions <= reach + 1e-9).all())
