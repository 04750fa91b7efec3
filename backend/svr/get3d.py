"""GET3D: styles for geometry and texture to a textured mesh, by planes, a tetrahedral grid and DMTet.

"GET3D: A Generative Model of High Quality 3D Textured Shapes Learned from Images" (NeurIPS 2022), written
from the paper and a description of the public checkpoints, whose parameter names it takes: mapping_geo.*,
mapping.*, synthesis.*. A shape code is one geometry style and one texture style (512 each), spread over all
layers, as ISS uses it. GET3D is explicit and has no image encoder.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.cameras import Cameras
from backend.config import MeshSettings
from backend.errors import CheckpointError, NumericalError, SettingError
from backend.mesh import TriMesh
from backend.rendering.implicit import Views
from backend.rendering.raster import interpolate, rasterize_views
from backend.svr.base import ExplicitSvrModel, SvrSpec
from backend.svr.get3d_geometry import (
    TetrahedronGrid,
    edge_crossings,
    surface_topology,
    tetrahedron_grid,
    with_a_surface,
)
from backend.svr.get3d_layers import STYLE_SIZE
from backend.svr.get3d_mapping import Get3dMapping
from backend.svr.get3d_synthesis import FEATURES, Get3dSynthesis, Planes, spread
from backend.weights import load_strictly

PUBLIC_CHANNELS = (512, 512, 512, 512, 512, 256, 128)
"""Of the blocks from resolution 4 to 256 (channel base 32768, at most 512)."""
PUBLIC_SCALE = 0.8
"""Side of the cube that the grid fills, for the published chairs and cars."""
PUBLIC_RESOLUTION = 90
"""Of the tetrahedral grid in training: bounds how far its vertices move."""
GRID_CELLS = 64
"""Cubes per axis of our own grid: about as many vertices as the published one (our choice)."""
CHUNK = 1 << 18
"""Points per evaluation without gradients; about 100 MB."""
_FITTED_PREFIX = "synthesis.generator.tri_plane_synthesis."


@dataclass(frozen=True)
class Get3dShape:
    """The surface of one shape; vertices carry gradients to the code."""

    vertices: Tensor
    """[N, 3]"""
    faces: Tensor
    """[M, 3] int64, counter-clockwise seen from outside."""
    planes: Planes
    texture: Tensor
    """Texture latent [1, rows, 512]."""
    evaluations: int


class Get3dModel(ExplicitSvrModel):
    """GET3D as an explicit SVR model."""

    def __init__(
        self,
        channels: Sequence[int] = PUBLIC_CHANNELS,
        scale: float = PUBLIC_SCALE,
        resolution: int = PUBLIC_RESOLUTION,
        grid_cells: int = GRID_CELLS,
    ) -> None:
        """channels: of the planes' blocks. resolution: the grid's in training. grid_cells: of ours, per
        axis.
        """
        super().__init__()
        self.spec = SvrSpec("get3d", 2 * STYLE_SIZE, image_size=0, explicit=True, has_encoder=False)
        self.mapping_geo = Get3dMapping()
        self.mapping = Get3dMapping()
        self.synthesis = Get3dSynthesis(channels, scale / 2)
        self._architecture: dict[str, Any] = {
            "channels": list(channels),
            "scale": scale,
            "resolution": resolution,
            "grid_cells": grid_cells,
        }

    def encode(self, images: Tensor) -> Tensor:
        raise SettingError(
            "GET3D has no image encoder.", remedy="Train on pairs from `sample_codes` and `render`."
        )

    def sample_codes(self, count: int, generator: torch.Generator, *, truncation: float = 1.0) -> Tensor:
        noise = torch.randn(2, count, STYLE_SIZE, generator=generator, device=generator.device)
        geometry, texture = noise.to(self.mapping.w_avg)
        return torch.cat([self.mapping_geo(geometry, truncation), self.mapping(texture, truncation)], dim=1)

    def surface(
        self, codes: Tensor, *, grid: TetrahedronGrid | None = None, closed: bool = False
    ) -> Get3dShape:
        """The surface of one shape, codes [1, 1024]; differentiable in the code and the parameters.

        grid: default is the model's own. closed: treat the grid's outer side as outside, so that the mesh has
        no holes there. NumericalError where the distances are not finite.
        """
        geometry, texture = self._latents(codes)
        grid = (grid or tetrahedron_grid(self._architecture["grid_cells"])).to(codes.device)
        corners = (grid.vertices * self._architecture["scale"]).to(codes)
        planes = self.synthesis.planes(geometry, texture)
        with torch.no_grad():
            distances = torch.cat(
                [self.synthesis.distance(planes, part[None], geometry)[0] for part in corners.split(CHUNK)]
            )
        if not torch.isfinite(distances).all():
            raise NumericalError(
                "The signed distances of the shape are not finite.",
                remedy="Lower the learning rate of stage 2, or check the checkpoint.",
            )
        if closed:
            outer = grid.vertices.abs().amax(1) >= 0.5 - 1e-6
            distances = torch.where(outer, distances.clamp(max=-1e-3), distances)
        found = surface_topology(signed := with_a_surface(distances, grid.vertices), grid.tetrahedra)
        # Only ends of crossed edges shape the surface; they alone are asked again, now with gradients.
        used, ends = found.edges.unique(return_inverse=True)
        points = corners[used][None]
        again = self.synthesis.distance(planes, points, geometry)[0]
        # The first answers decide the signs; differences in the last digit must not turn one over.
        kept = (signed == distances)[used]
        values = signed[used] + torch.where(kept, again - again.detach(), torch.zeros_like(again))
        positions = points[0] + self.bounded_deformation(
            self.synthesis.deformation(planes, points, geometry)[0]
        )
        vertices = edge_crossings(positions[ends], values[ends])
        return Get3dShape(vertices, found.faces, planes, texture, len(distances) + 2 * len(used))

    def bounded_deformation(self, raw: Tensor) -> Tensor:
        """How far grid vertices move, for raw network outputs: less than a cell of the training grid."""
        return torch.tanh(raw) / self._architecture["resolution"]

    def colors(self, shape: Get3dShape, points: Tensor) -> Tensor:
        """sRGB [P, 3] in [0, 1] at surface points [P, 3]."""
        features = self.synthesis.texture_features(shape.planes, points[None], shape.texture)
        return self._displayed(features, shape.texture)[0]

    def render(self, codes: Tensor, cameras: Cameras, size: int) -> Views:
        """Views on white; background_rgb holds the colour of a zero feature, GET3D's own background.

        Gradients run through colours and positions of visible points; which face is seen is held constant.
        """
        shape = self.surface(codes)
        fragments = rasterize_views(shape.vertices, shape.faces, cameras, size)
        mask = fragments.mask
        points = interpolate(fragments, shape.faces, shape.vertices)[mask]
        seen = self.colors(shape, points)
        rgb = seen.new_ones(*mask.shape, 3).index_put((mask,), seen)
        own = self._displayed(seen.new_zeros(1, 1, FEATURES), shape.texture)[0, 0]
        background = torch.where(mask[..., None], torch.ones_like(own), own)
        depth = torch.where(mask, fragments.zbuf, torch.full_like(fragments.zbuf, torch.inf))
        evaluations = shape.evaluations + len(points)
        return Views(rgb, mask, depth, background, mask, None, evaluations, 0.0)

    def extract_mesh(self, codes: Tensor, settings: MeshSettings) -> Generator[float, None, TriMesh]:
        """As the interface says; the grid has settings.resolution cells, at most the model's own."""
        cells = min(settings.resolution, self._architecture["grid_cells"])
        yield 0.0
        with torch.no_grad():
            shape = self.surface(codes, grid=tetrahedron_grid(cells), closed=True)
        yield 0.7
        vertices = shape.vertices.cpu().numpy()
        mesh = TriMesh(vertices, shape.faces.cpu().numpy().astype(np.int32), np.zeros_like(vertices))
        mesh = mesh.without_specks(settings.speck_fraction).decimate(settings.max_faces)
        yield 0.9
        points = torch.from_numpy(mesh.vertices).to(codes.device)
        with torch.no_grad():
            colors = torch.cat([self.colors(shape, part) for part in points.split(CHUNK)])
        yield 1.0
        return TriMesh(mesh.vertices, mesh.faces, colors.cpu().numpy())

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)

    def _latents(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Geometry and texture latents [1, rows, 512] of one code [1, 1024]."""
        assert codes.shape == (1, self.spec.code_size), codes.shape
        rows = self.synthesis.rows
        return spread(codes[:, :STYLE_SIZE], rows[0]), spread(codes[:, STYLE_SIZE:], rows[1])

    def _displayed(self, features: Tensor, texture: Tensor) -> Tensor:
        """sRGB in [0, 1] of texture features; GET3D's colours lie about in [-1, 1]."""
        return ((self.synthesis.colors(features, texture) + 1) / 2).clamp(0, 1)

    @classmethod
    def from_public(cls, weights: Mapping[str, Tensor], **geometry: Any) -> "Get3dModel":
        """A model from the tensors of a public generator (G_ema), in evaluation mode.

        Channels are read from the tensors; scale, resolution and grid_cells, which no tensor tells, may be
        given. Every key must fit, else CheckpointError names the keys.
        """
        channels: list[int] = []
        while f"{_FITTED_PREFIX}b{4 * 2 ** len(channels)}.conv1.bias" in weights:
            channels.append(len(weights[f"{_FITTED_PREFIX}b{4 * 2 ** len(channels)}.conv1.bias"]))
        if not channels:
            raise CheckpointError(
                f"{_FITTED_PREFIX}b4.conv1.bias is missing; these are not the weights of GET3D's generator.",
                remedy="Give a GET3D checkpoint: its G_ema part has mapping*.* and synthesis.*.",
            )
        model = cls(channels, **geometry)
        load_strictly(model, weights)
        return model.eval()
