"""Meshes in camera views: which face each pixel sees, where on it, and gradients to positions and colours.

Visibility comes from pytorch3d's rasteriser where it is installed and from ray casting (Embree) otherwise;
both are asked for the face index only. Barycentric coordinates and depth are then computed here,
differentiably and with visibility held constant, so both give the same fragments and gradients. Conventions
of `rasterize` are pytorch3d's (x left, y up, pixel centres, shorter side [-1, 1]); `rasterize_views` takes
the project's cameras.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.cameras import Cameras
from backend.device import exact_dtype
from backend.errors import MeshError
from backend.mesh import TriMesh

try:
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes
except ImportError:
    rasterize_meshes = None

AMBIENT, HEAD, SKY = 0.48, 0.34, 0.18
"""Shares of the soft light: the same everywhere, from the camera, from above; together 1 (our choice)."""


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees; leading dimensions are those of the image, [H, W] or [V, H, W]."""

    pix_to_face: Tensor
    """Face index int64, -1 where nothing is seen."""
    bary_coords: Tensor
    """Perspective-correct barycentric coordinates [..., 3], -1 where nothing is seen."""
    zbuf: Tensor
    """Camera-space depth, -1 where nothing is seen."""

    @property
    def mask(self) -> Tensor:
        """True where a face is seen."""
        return self.pix_to_face >= 0


def rasterize(verts_ndc: Tensor, faces: Tensor, image_size: tuple[int, int]) -> Fragments:
    """Fragments [H, W] of one mesh; differentiable in verts_ndc.

    verts_ndc [N, 3]: (focal x / z, focal y / z, z), x growing to the left, y upwards, z > 0 forward; the
    shorter image side spans [-1, 1], the longer one in proportion. faces [M, 3] int64. No culling, no
    clipping.
    """
    visible = _visible_in_ndc(verts_ndc.detach(), faces, image_size)
    return _fragments(verts_ndc, faces, visible, _pixel_centers(image_size).to(verts_ndc))


def rasterize_views(
    vertices: Tensor, faces: Tensor, cameras: Cameras, size: int, *, supersample: int = 1
) -> Fragments:
    """Fragments [V, S, S] of object points `vertices` [N, 3], S = size * supersample; differentiable in
    vertices.

    Pixels lie where `Cameras.rays(size, size)` has them (each split in supersample^2 around its centre), so
    that a mesh and the field it came from render in register. MeshError when a vertex is behind a camera.
    """
    image_size = (size * supersample, size * supersample)
    pixels, depths = cameras.project(vertices[None])
    if (depths <= 0).any():
        raise MeshError(
            f"A camera stands inside the mesh: a vertex is {float(depths.min()):.2f} in front of it.",
            remedy="Move the camera away or scale the mesh to the unit cube.",
        )
    # End points of the camera's [-1, 1] are the centres of the outermost pixels, not the image's border.
    shrink = (size - 1) / size
    verts_ndc = torch.cat([-pixels * shrink, depths[..., None]], dim=-1)
    centers = _pixel_centers(image_size).to(verts_ndc)
    if rasterize_meshes is not None:
        visible = [_visible_in_ndc(v.detach(), faces, image_size) for v in verts_ndc]
    else:
        scene = _Scene(vertices.detach(), faces)
        flat = (-centers / shrink).reshape(1, -1, 2).expand(len(cameras), -1, -1)
        visible = [
            scene.first_faces(o, d).reshape(image_size) for o, d in zip(*cameras.rays_at(flat), strict=True)
        ]
    views = [_fragments(v, faces, seen, centers) for v, seen in zip(verts_ndc, visible, strict=True)]
    return Fragments(
        torch.stack([v.pix_to_face for v in views]),
        torch.stack([v.bary_coords for v in views]),
        torch.stack([v.zbuf for v in views]),
    )


def interpolate(fragments: Fragments, faces: Tensor, attributes: Tensor) -> Tensor:
    """Vertex attributes [N, C] at every pixel [..., C], 0 where nothing is seen; differentiable in both."""
    hit = fragments.mask
    corners = attributes[faces[fragments.pix_to_face[hit]]]  # [P, corner, C]
    values = (fragments.bary_coords[hit][..., None] * corners).sum(dim=-2)
    return attributes.new_zeros(*hit.shape, attributes.shape[1]).index_put((hit,), values)


def render_mesh(
    mesh: TriMesh, cameras: Cameras, size: int, *, shading: str = "soft", supersample: int = 2
) -> tuple[Tensor, Tensor]:
    """Images [V, size, size, 3] of sRGB in [0, 1] on white, and coverage [V, size, size] in [0, 1].

    shading: "soft" (a gentle head light with a little light from above) or "none" (vertex colours as they
    are). supersample: subpixels per side of a pixel, averaged.
    """
    world = cameras.world_mat
    vertices = torch.from_numpy(mesh.vertices).to(world)
    faces = torch.from_numpy(mesh.faces).to(world.device).long()
    colors = torch.from_numpy(mesh.colors).to(world)
    normals = torch.from_numpy(mesh.vertex_normals).to(world)
    fragments = rasterize_views(vertices, faces, cameras, size, supersample=supersample)
    images, masks = [], []
    for view, center in enumerate(cameras.centers()):
        seen = Fragments(fragments.pix_to_face[view], fragments.bary_coords[view], fragments.zbuf[view])
        shaded = colors
        if shading == "soft":
            to_camera = torch.nn.functional.normalize(center - vertices, dim=-1)
            # Both sides are lit alike: a thin open sheet of somebody's own mesh must not turn black.
            facing = (normals * to_camera).sum(dim=-1, keepdim=True).abs()
            shaded = colors * (AMBIENT + HEAD * facing + SKY * (0.5 + 0.5 * normals[:, 1:2]))
        mask = seen.mask[..., None].to(world)
        image = interpolate(seen, faces, shaded) + (1 - mask)
        pooled = (
            torch.cat([image, mask], dim=-1).reshape(size, supersample, size, supersample, 4).mean(dim=(1, 3))
        )
        images.append(pooled[..., :3].clamp(0, 1))
        masks.append(pooled[..., 3])
    return torch.stack(images), torch.stack(masks)


class _Scene:
    """A mesh in Embree's tree; one tree serves all views."""

    def __init__(self, vertices: Tensor, faces: Tensor) -> None:
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh

        self._scene = rtcore_scene.EmbreeScene()
        self._empty = len(faces) == 0
        if not self._empty:
            points = np.ascontiguousarray(vertices.cpu().numpy(), dtype=np.float32)
            TriangleMesh(self._scene, points, np.ascontiguousarray(faces.cpu().numpy(), dtype=np.int32))

    def first_faces(self, origins: Tensor, directions: Tensor) -> Tensor:
        """Index [P] int64 of the first face on each ray [P, 3], -1 for a miss."""
        if self._empty:
            return torch.full((len(origins),), -1, dtype=torch.int64, device=origins.device)
        rays = [
            np.ascontiguousarray(r.detach().cpu().numpy(), dtype=np.float32) for r in (origins, directions)
        ]
        hits = self._scene.run(*rays, query="INTERSECT")
        return torch.from_numpy(np.asarray(hits, dtype=np.int64)).to(origins.device)


def _visible_in_ndc(verts_ndc: Tensor, faces: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Face index [H, W] at each pixel centre."""
    if rasterize_meshes is not None:
        found = rasterize_meshes(
            Meshes([verts_ndc], [faces]),
            image_size=tuple(image_size),
            blur_radius=0.0,
            faces_per_pixel=1,
            perspective_correct=True,
            cull_backfaces=False,
        )
        return found[0][0, ..., 0]
    centers = _pixel_centers(image_size).to(verts_ndc).reshape(-1, 2)
    directions = torch.cat([centers, torch.ones_like(centers[:, :1])], dim=-1)
    scene = _Scene(_unproject(verts_ndc), faces)
    return scene.first_faces(torch.zeros_like(directions), directions).reshape(image_size)


def _fragments(verts_ndc: Tensor, faces: Tensor, visible: Tensor, centers: Tensor) -> Fragments:
    """Barycentric coordinates and depth where a pixel's ray meets the plane of its face.

    A ray r meets the triangle (a, b, c) at the weights det(r, b, c), det(a, r, c), det(a, b, r) over their
    sum: the perspective-correct coordinates. In float64 where there is one, since small faces leave few
    digits to the determinants.
    """
    hit = visible >= 0
    exact = exact_dtype(verts_ndc.device)
    corners = _unproject(verts_ndc.to(exact))[faces[visible[hit]]]  # [P, corner, 3]
    ray = torch.cat([centers[hit], torch.ones_like(centers[hit][:, :1])], dim=-1).to(exact)
    a, b, c = corners.unbind(dim=1)
    weights = torch.stack(
        [
            (ray * torch.linalg.cross(b, c)).sum(dim=-1),
            (ray * torch.linalg.cross(c, a)).sum(dim=-1),
            (ray * torch.linalg.cross(a, b)).sum(dim=-1),
        ],
        dim=-1,
    )
    bary = weights / weights.sum(dim=-1, keepdim=True)
    depth = (bary * corners[..., 2]).sum(dim=-1)
    nothing = verts_ndc.new_full(visible.shape, -1.0)
    return Fragments(
        visible,
        nothing[..., None].expand(*visible.shape, 3).index_put((hit,), bary.to(verts_ndc.dtype)),
        nothing.index_put((hit,), depth.to(verts_ndc.dtype)),
    )


def _unproject(verts_ndc: Tensor) -> Tensor:
    """Points [N, 3] of a pinhole with focal length 1 that project to verts_ndc."""
    return torch.cat([verts_ndc[:, :2] * verts_ndc[:, 2:], verts_ndc[:, 2:]], dim=-1)


def _pixel_centers(image_size: tuple[int, int]) -> Tensor:
    """Positions (x left, y up) [H, W, 2] of the pixel centres; the shorter side spans [-1, 1]."""
    height, width = image_size
    shorter = min(height, width)
    x = (width - 1 - 2 * torch.arange(width, dtype=torch.float64)) / shorter
    y = (height - 1 - 2 * torch.arange(height, dtype=torch.float64)) / shorter
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)
