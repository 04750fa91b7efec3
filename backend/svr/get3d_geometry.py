"""Marching tetrahedra for GET3D: a grid of tetrahedra, signs at its corners, and the surface between them.

"Deep Marching Tetrahedra" (NeurIPS 2021), section 3. The surface's vertices lie on edges whose ends differ in
sign and are differentiable in the distances and positions of those ends. No library of tetrahedra or tables
is needed: the grid cuts every cube into six, and the table of triangles is derived here.
"""

import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

EDGES = tuple(itertools.combinations(range(4), 2))
"""Corner pairs of a tetrahedron's six edges, numbered as in the table of triangles."""
_CORNERS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
"""A tetrahedron of positive volume."""


@dataclass(frozen=True)
class TetrahedronGrid:
    """Tetrahedra that fill the cube [-0.5, 0.5]^3."""

    vertices: Tensor
    """[N, 3]"""
    tetrahedra: Tensor
    """[T, 4] int64, all of positive volume."""

    def to(self, device: torch.device) -> "TetrahedronGrid":
        return TetrahedronGrid(self.vertices.to(device), self.tetrahedra.to(device))


@dataclass(frozen=True)
class Topology:
    """Which edges a surface crosses and how its faces connect those crossings."""

    edges: Tensor
    """[E, 2] int64: grid vertices, the smaller number first; one surface vertex each."""
    faces: Tensor
    """[M, 3] int64 into edges, counter-clockwise seen from outside."""


@functools.lru_cache(maxsize=4)
def tetrahedron_grid(cells: int) -> TetrahedronGrid:
    """Cubes per axis, each cut into six tetrahedra along one diagonal; neighbours share their faces."""
    steps = torch.arange(cells + 1, dtype=torch.float64) / cells - 0.5
    vertices = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3).float()
    strides = ((cells + 1) ** 2, cells + 1, 1)
    low = torch.arange(cells)
    corner = sum(s * g for s, g in zip(strides, torch.meshgrid(low, low, low, indexing="ij"), strict=True))
    cuts = []
    for axes in itertools.permutations(range(3)):
        # From the low to the high corner along the three axes in some order.
        path = torch.tensor([0, *itertools.accumulate(strides[axis] for axis in axes)])
        odd = sum(a > b for a, b in itertools.combinations(axes, 2)) % 2
        cuts.append(path[[0, 2, 1, 3]] if odd else path)
    return TetrahedronGrid(vertices, (corner.reshape(-1, 1, 1) + torch.stack(cuts)).reshape(-1, 4))


def with_a_surface(distances: Tensor, vertices: Tensor) -> Tensor:
    """Signed distances [N] with both signs: where all agree, the vertex nearest to the centre becomes 1 and
    the outermost ones -1, without gradients.
    """
    if (distances > 0).any() and (distances <= 0).any():
        return distances
    reach = vertices.abs().amax(1)
    outermost = reach >= reach.max() * (1 - 1e-4)
    centre = torch.zeros_like(outermost)
    centre[vertices.square().sum(1).argmin()] = True
    forced = torch.where(outermost, -torch.ones_like(distances), distances)
    return torch.where(centre, torch.ones_like(distances), forced)


def surface_topology(distances: Tensor, tetrahedra: Tensor) -> Topology:
    """Where the surface of signed distances [N] (positive is inside) crosses tetrahedra [T, 4]."""
    count = len(distances)
    inside = distances > 0
    signs = inside[tetrahedra]
    cut = signs.any(1) & ~signs.all(1)
    corners, signs = tetrahedra[cut], signs[cut]
    ends = corners[:, torch.tensor(EDGES, device=corners.device)].sort(-1).values  # [K, 6, 2]
    edges, number = (ends[..., 0] * count + ends[..., 1]).unique(return_inverse=True)
    edges = torch.stack([edges // count, edges % count], 1)
    crossed = inside[edges[:, 0]] != inside[edges[:, 1]]
    number = (crossed.long().cumsum(0) - 1)[number]  # [K, 6] into the crossed edges
    pattern = (signs.long() * torch.tensor([1, 2, 4, 8], device=signs.device)).sum(1)
    table = triangle_table().to(corners.device)[pattern]  # [K, 2, 3]
    faces = [number.gather(1, table[:, i].clamp(min=0))[table[:, i, 0] >= 0] for i in range(2)]
    return Topology(edges[crossed], torch.cat(faces))


def edge_crossings(positions: Tensor, distances: Tensor) -> Tensor:
    """Points [E, 3] between edge ends [E, 2, 3] where distances [E, 2] of different signs cross zero."""
    first, second = distances.unbind(1)
    share = (first / (first - second))[:, None]
    return positions[:, 0] * (1 - share) + positions[:, 1] * share


@functools.cache
def triangle_table() -> Tensor:
    """Edge numbers [16, 2, 3] of up to two triangles, -1 for none; row = sum of 2^i over corners i inside."""
    table = torch.full((16, 2, 3), -1)
    for pattern in range(1, 15):
        inside = {i for i in range(4) if pattern >> i & 1}
        crossed = [n for n, (a, b) in enumerate(EDGES) if (a in inside) != (b in inside)]
        triangles = [tuple(crossed)] if len(crossed) == 3 else _split(crossed)
        for place, triangle in enumerate(triangles):
            table[pattern, place] = torch.tensor(_wound(triangle, inside))
    return table


def _split(crossed: list[int]) -> list[tuple[int, int, int]]:
    """The four crossed edges of a quadrangle as two triangles.

    Opposite corners of the quadrangle lie on opposite edges of the tetrahedron. Of the two diagonals the one
    between edges (0, 2) and (1, 3) is taken, else the one between (0, 3) and (1, 2): GET3D's choice.
    """
    for pair in (((0, 2), (1, 3)), ((0, 3), (1, 2))):
        first, second = (EDGES.index(edge) for edge in pair)
        if first in crossed and second in crossed:
            break
    return [(first, other, second) for other in crossed if other not in (first, second)]


def _wound(triangle: tuple[int, int, int], inside: set[int]) -> tuple[int, int, int]:
    """The triangle with its normal pointing away from the corners inside."""
    middles = torch.stack([_CORNERS[list(EDGES[n])].mean(0) for n in triangle])
    normal = torch.linalg.cross(middles[1] - middles[0], middles[2] - middles[0])
    outside = [i for i in range(4) if i not in inside]
    outward = _CORNERS[outside].mean(0) - _CORNERS[sorted(inside)].mean(0)
    return triangle if normal @ outward > 0 else (triangle[0], triangle[2], triangle[1])
