"""Distances between point sets, and point sets from meshes.

Both shapes are first brought into their own tight box, its longest side 1, as the judges do: a result is
asked for its shape, not for its size or place.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import MeshError
from backend.mesh import TriMesh

Points = NDArray[np.float32]


def sample_surface(mesh: TriMesh, count: int, rng: np.random.Generator) -> Points:
    """`count` points [P, 3], uniform by area, of the surface in its own box; MeshError without any area."""
    low, high = mesh.bounds
    longest = float((high - low).max())
    corners = ((mesh.vertices - (low + high) / 2) / max(longest, 1e-12))[mesh.faces].astype(np.float64)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    if not areas.sum() > 0:
        raise MeshError("The mesh has no surface.", remedy="Generate or choose another shape.")
    face = rng.choice(len(areas), count, p=areas / areas.sum())
    # Uniform barycentric coordinates: the root spreads points evenly over the triangle (Turk 1990).
    root, along = np.sqrt(rng.random(count))[:, None], rng.random(count)[:, None]
    points = (1 - root) * a[face] + root * (1 - along) * b[face] + root * along * c[face]
    return points.astype(np.float32)


def nearest_distances(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each point of a [P, 3] to the nearest of b [Q, 3], and the other way round."""
    from scipy.spatial import cKDTree

    if not len(a) or not len(b):
        raise MeshError("A point set is empty.", remedy="Give shapes with a surface.")
    return cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]


def chamfer_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Mean of accuracy and completeness: the mean nearest distances both ways (not squared), halved sum."""
    there, back = nearest_distances(a, b)
    return float((there.mean() + back.mean()) / 2)


def f_score(a: NDArray[Any], b: NDArray[Any], threshold: float) -> float:
    """Harmonic mean of the shares of points that lie within `threshold` of the other set, 0 to 1."""
    there, back = nearest_distances(a, b)
    precision, recall = float((there <= threshold).mean()), float((back <= threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
