"""GET3D's synthesis: styles to feature planes, planes to signed distance, deformation and colour at points.

The generator is a StyleGAN2 with two outputs per block: features for geometry and for texture on three
axis-aligned planes each. Geometry styles drive the convolutions, texture styles only the texture outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.svr.get3d_layers import (
    STYLE_SIZE,
    StyledConvolution,
    StyledLinear,
    StyledPixels,
    blur_filter,
    double,
    leaky,
)

PLANE_CHANNELS = 32
"""Feature channels of one plane."""
HIDDEN = 32
"""Width of the networks that read the planes."""
FEATURES = 16
"""Channels of a texture feature."""
PLANE_AXES = ((0, 1), (1, 2), (0, 2))
"""Object axes along each plane; the first is the horizontal one."""


@dataclass(frozen=True)
class Planes:
    """Feature planes of a batch of shapes."""

    geometry: Tensor
    """[B, 3, 32, R, R]"""
    texture: Tensor
    """[B, 3, 32, R, R]"""


class PlaneBlock(nn.Module):
    """One resolution of the generator: doubles the features and adds to the planes."""

    def __init__(self, inputs: int, channels: int, resolution: int) -> None:
        """inputs 0: the first block, which starts from a constant."""
        super().__init__()
        self.register_buffer("resample_filter", blur_filter())
        if inputs:
            self.conv0 = StyledConvolution(inputs, channels, resolution, doubles=True)
        else:
            self.const = nn.Parameter(torch.randn(channels, resolution, resolution))
        self.conv1 = StyledConvolution(channels, channels, resolution)
        self.totex = StyledPixels(channels, 3 * PLANE_CHANNELS)
        self.togeo = StyledPixels(channels, 3 * PLANE_CHANNELS)
        self.geometry_rows = 3 if inputs else 2
        """Rows of the geometry latent that the block uses: conv0, conv1, togeo."""

    def forward(
        self, x: Tensor | None, maps: Tensor | None, geometry: Tensor, texture: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Features and plane maps [B, 192, R, R] from those of the block before.

        geometry: rows [B, 2 or 3, 512]; texture: one row [B, 512].
        """
        rows = list(geometry.unbind(1))
        first = x is None
        x = self.const[None].expand(len(texture), -1, -1, -1) if first else self.conv0(x, rows.pop(0))
        x = self.conv1(x, rows[0])
        added = torch.cat([self.togeo(x, rows[1]), self.totex(x, texture)], dim=1)
        return x, added if maps is None else double(maps, self.resample_filter) + added


class PlaneGenerator(nn.Module):
    """Blocks b4, b8, ... of rising resolution."""

    def __init__(self, channels: Sequence[int]) -> None:
        """channels: of each block, from resolution 4 on."""
        super().__init__()
        self.names = [f"b{4 * 2**i}" for i in range(len(channels))]
        for i, (name, inputs, outputs) in enumerate(
            zip(self.names, [0, *channels[:-1]], channels, strict=True)
        ):
            self.add_module(name, PlaneBlock(inputs, outputs, 4 * 2**i))

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the geometry and texture latents that the blocks use."""
        return 3 * len(self.names) - 1, len(self.names)

    def forward(self, geometry: Tensor, texture: Tensor) -> Planes:
        """Planes of latents [B, rows, 512] each."""
        x = maps = None
        row = 0
        for number, name in enumerate(self.names):
            block = self.get_submodule(name)
            x, maps = block(x, maps, geometry[:, row : row + block.geometry_rows], texture[:, number])
            row += block.geometry_rows
        halves = maps.unflatten(1, (2, 3, PLANE_CHANNELS))
        return Planes(halves[:, 0], halves[:, 1])


class PlaneNetwork(nn.Module):
    """Two styled linear layers from summed plane features to values."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([StyledLinear(PLANE_CHANNELS, HIDDEN), StyledLinear(HIDDEN, outputs)])

    def forward(self, features: Tensor, rows: Tensor) -> Tensor:
        """Values [B, P, outputs] of features [B, P, 32] and rows [B, 2, 512]."""
        first, last = self.layers
        return last(leaky(first(features, rows[:, 0])), rows[:, 1])


class PlaneReader(nn.Module):
    """The generator and the networks that read its planes, under their public names."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.tri_plane_synthesis = PlaneGenerator(channels)
        self.mlp_synthesis_tex = PlaneNetwork(FEATURES)
        self.mlp_synthesis_sdf = PlaneNetwork(1)
        self.mlp_synthesis_def = PlaneNetwork(3)


class Get3dSynthesis(nn.Module):
    """Everything behind the mapping networks."""

    def __init__(self, channels: Sequence[int], bound: float) -> None:
        """bound: half side of the cube that the planes cover."""
        super().__init__()
        self.generator = PlaneReader(channels)
        self.to_rgb = StyledPixels(FEATURES, 3)
        self._bound = bound

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the geometry and texture latents: the planes' and two for the networks."""
        geometry, texture = self.generator.tri_plane_synthesis.rows
        return geometry + 2, texture + 2

    def planes(self, geometry: Tensor, texture: Tensor) -> Planes:
        """Planes of latents [B, rows, 512] each."""
        return self.generator.tri_plane_synthesis(geometry, texture)

    def distance(self, planes: Planes, points: Tensor, geometry: Tensor) -> Tensor:
        """Raw signed distance [B, P] at points [B, P, 3]; positive is inside."""
        features = self._features(planes.geometry, points)
        return self.generator.mlp_synthesis_sdf(features, geometry[:, -2:])[..., 0]

    def deformation(self, planes: Planes, points: Tensor, geometry: Tensor) -> Tensor:
        """Raw deformation [B, P, 3] at points [B, P, 3], before its bounding."""
        return self.generator.mlp_synthesis_def(self._features(planes.geometry, points), geometry[:, -2:])

    def texture_features(self, planes: Planes, points: Tensor, texture: Tensor) -> Tensor:
        """Features [B, P, 16] at surface points [B, P, 3]."""
        return self.generator.mlp_synthesis_tex(self._features(planes.texture, points), texture[:, -2:])

    def colors(self, features: Tensor, texture: Tensor) -> Tensor:
        """Colours [B, P, 3], about in [-1, 1], of texture features [B, P, 16]."""
        return self.to_rgb(features.mT, texture[:, -1]).mT

    def _features(self, planes: Tensor, points: Tensor) -> Tensor:
        """Sum over the planes [B, 3, 32, R, R] of their values at points: [B, P, 32]."""
        places = (points / self._bound).clamp(-1, 1)
        pairs = torch.stack([places[..., list(axes)] for axes in PLANE_AXES], 1)  # [B, 3, P, 2]
        sampled = functional.grid_sample(
            planes.flatten(0, 1), pairs.flatten(0, 1)[:, None], mode="bilinear", align_corners=False
        )  # [B * 3, 32, 1, P]
        return sampled.unflatten(0, (-1, 3)).sum(1)[:, :, 0].mT


def spread(style: Tensor, rows: int) -> Tensor:
    """One style [B, 512] for every row [B, rows, 512], as without style mixing."""
    return style[:, None].expand(-1, rows, STYLE_SIZE)
