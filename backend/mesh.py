"""A coloured triangle mesh in numpy, with the questions and clean-up that results need.

Every producer (marching cubes, explicit SVR models) hands out this type and every consumer (export, raster,
evaluation, the pipe to Blender) takes it. SVR space: unit cube, y up, front towards +z. No torch here.
"""

import dataclasses
import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.errors import MeshError

_log = logging.getLogger(__name__)

SUBSTANTIAL_EXTENT = 0.25
"""A component this long, as a share of the largest one's diagonal, is a part (rod, sheet), not a speck."""


@dataclass(frozen=True, eq=False)
class TriMesh:
    """Vertices [N, 3] float32, faces [M, 3] int32, colours [N, 3] float32 display-referred sRGB in [0, 1].

    Faces are counter-clockwise seen from outside. MeshError when shapes or indices do not fit together.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    colors: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, dtype in (("vertices", np.float32), ("faces", np.int32), ("colors", np.float32)):
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            if array.ndim != 2 or array.shape[1] != 3:
                raise MeshError(
                    f"The mesh's {name} have shape {array.shape}, not [count, 3].",
                    remedy="Give triangles and one position and colour per vertex.",
                )
            object.__setattr__(self, name, array)
        if len(self.colors) != len(self.vertices):
            raise MeshError(
                f"The mesh has {len(self.colors)} colours for {len(self.vertices)} vertices.",
                remedy="Give one colour per vertex.",
            )
        if len(self.faces) and not 0 <= self.faces.min() <= self.faces.max() < len(self.vertices):
            raise MeshError(
                f"A face names vertex {self.faces.max()} or {self.faces.min()} of {len(self.vertices)}.",
                remedy="Number the vertices from 0.",
            )
        if not (np.isfinite(self.vertices).all() and np.isfinite(self.colors).all()):
            raise MeshError("The mesh holds NaN or infinity.", remedy="Repair or export the mesh again.")

    @cached_property
    def face_normals(self) -> NDArray[np.float32]:
        """Unit normals [M, 3], pointing out of a closed mesh; zero for faces without area."""
        return _unit(self._area_vectors()).astype(np.float32)

    @cached_property
    def vertex_normals(self) -> NDArray[np.float32]:
        """Unit normals [N, 3]: mean of the adjacent faces, weighted by area."""
        area = self._area_vectors()
        total = np.zeros((len(self.vertices), 3))
        for axis in range(3):
            weights = np.repeat(area[:, axis], 3)
            total[:, axis] = np.bincount(self.faces.ravel(), weights, minlength=len(self.vertices))
        return _unit(total).astype(np.float32)

    @property
    def bounds(self) -> NDArray[np.float32]:
        """Lowest and highest corner [2, 3] of the bounding box; MeshError when there is no vertex."""
        if not len(self.vertices):
            raise MeshError("The mesh has no vertices.", remedy="Generate or choose another shape.")
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])

    def volume(self) -> float:
        """Signed volume in cubic units by the divergence theorem; positive when the faces look outwards."""
        return float(self._signed_volumes().sum())

    def area(self) -> float:
        """Surface area in square units."""
        return float(np.linalg.norm(self._area_vectors(), axis=1).sum() / 2)

    def is_watertight(self) -> bool:
        """True when every edge belongs to exactly two faces that run through it in opposite directions."""
        if not len(self.faces):
            return False
        start, end = self.faces.astype(np.int64), np.roll(self.faces, -1, axis=1).astype(np.int64)
        forward = np.sort((start * len(self.vertices) + end).ravel())
        backward = np.sort((end * len(self.vertices) + start).ravel())
        return bool((start != end).all() and (np.diff(forward) > 0).all() and (forward == backward).all())

    def euler_number(self) -> int:
        """Vertices in use - edges + faces: 2 per sphere, 0 per torus."""
        pairs = np.sort(
            np.stack([self.faces, np.roll(self.faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1
        )
        edges = np.unique(pairs[:, 0].astype(np.int64) * len(self.vertices) + pairs[:, 1])
        return len(np.unique(self.faces)) - len(edges) + len(self.faces)

    def face_components(self) -> NDArray[np.int32]:
        """Component number [M] of each face, counted from 0; faces that share a vertex are connected."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        start, end = self.faces[:, [0, 1]].ravel(), self.faces[:, [1, 2]].ravel()
        size = len(self.vertices)
        graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(size, size))
        labels = connected_components(graph, directed=False)[1][self.faces[:, 0]]
        return np.unique(labels, return_inverse=True)[1].astype(np.int32)

    def component_count(self) -> int:
        """Number of connected pieces."""
        return int(self.face_components().max() + 1) if len(self.faces) else 0

    def select_faces(self, keep: NDArray[np.bool_]) -> "TriMesh":
        """The faces where keep [M] is true, with the vertices that they use."""
        faces = self.faces[keep]
        used, numbers = np.unique(faces, return_inverse=True)
        return TriMesh(self.vertices[used], numbers.reshape(-1, 3), self.colors[used])

    def outward(self) -> "TriMesh":
        """The same mesh with faces flipped if it is inside out as a whole (negative volume)."""
        return dataclasses.replace(self, faces=self.faces[:, ::-1]) if self.volume() < 0 else self

    def without_specks(self, fraction: float, *, keep_long: bool = True) -> "TriMesh":
        """The mesh without components (or enclosed voids) that are specks; the largest always stays.

        A speck has less than `fraction` of the largest component's volume and is short as well: a thin leg
        that came loose has little volume, yet its length (SUBSTANTIAL_EXTENT) shows that it is a part, which
        counts with `keep_long`.
        """
        if fraction <= 0 or not len(self.faces):
            return self
        labels = self.face_components()
        count = int(labels.max()) + 1
        if count == 1:
            return self
        volumes = np.abs(np.bincount(labels, self._signed_volumes(), minlength=count))
        low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
        np.minimum.at(low, labels, self.vertices[self.faces].min(axis=1))
        np.maximum.at(high, labels, self.vertices[self.faces].max(axis=1))
        extents = np.linalg.norm(high - low, axis=1)
        largest = int(np.argmax(volumes))
        keep = volumes >= fraction * volumes[largest]
        keep |= keep_long & (extents >= SUBSTANTIAL_EXTENT * extents[largest])
        return self if keep.all() else self.select_faces(keep[labels])

    def decimate(self, max_faces: int) -> "TriMesh":
        """At most `max_faces` faces (0: no limit) by quadric edge collapse; colours of the nearest old
        vertex.

        A closed mesh stays closed. Where that is impossible within the budget (thin parts and handles need a
        few faces each), the smallest closed result of a series of rising budgets is returned and logged; it
        may exceed the budget.
        """
        if max_faces <= 0 or len(self.faces) <= max_faces:
            return self
        import fast_simplification
        from scipy.spatial import cKDTree

        closed, budget = self.is_watertight(), max_faces
        while budget < len(self.faces):
            points, faces = fast_simplification.simplify(self.vertices, self.faces, target_count=budget)
            nearest = cKDTree(self.vertices).query(points)[1]
            result = TriMesh(points, faces, self.colors[nearest])
            if len(faces) >= 4 and (not closed or result.is_watertight()):
                if len(faces) > max_faces:
                    _log.warning(
                        "%d faces instead of at most %d: fewer would leave holes.", len(faces), max_faces
                    )
                return result
            budget = budget * 3 // 2 + 4
        _log.warning("The mesh keeps its %d faces: fewer would leave holes.", len(self.faces))
        return self

    def _area_vectors(self) -> NDArray[np.float64]:
        """Normals [M, 3] of length twice the area."""
        a, b, c = self._corners()
        return np.cross(b - a, c - a)

    def _signed_volumes(self) -> NDArray[np.float64]:
        """Volumes [M] of the tetrahedra between each face and the centre of the bounding box."""
        a, b, c = self._corners()
        return np.einsum("ij,ij->i", a, np.cross(b, c)) / 6

    def _corners(self) -> tuple[NDArray[np.float64], ...]:
        origin = self.bounds.astype(np.float64).mean(axis=0)
        triangles = self.vertices.astype(np.float64)[self.faces] - origin  # [M, corner, 3]
        return triangles[:, 0], triangles[:, 1], triangles[:, 2]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
