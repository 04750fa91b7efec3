"""The baseline of Dream Fields (Jain et al. 2022): a field optimised from nothing against CLIP, per prompt.

No 3D data and no SVR model take part. Rendered views are pulled towards the text; the mean transmittance is
rewarded up to a rising target, so that the field stays one sparse object; and views stand on random
backgrounds (noise, checkerboards, smooth waves), so that nothing is gained by painting the air. Its
departures: voxels of density and colour instead of a network, so that a processor can do it, and far fewer
steps than the publication's 10,000.
"""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from backend.bundles import Bundle
from backend.cameras import Cameras, random_cameras
from backend.clip_encoder import ClipEncoder
from backend.config import MeshSettings, Settings, bounded
from backend.device import deterministic
from backend.errors import EmptyShapeError, NumericalError
from backend.evaluation import Maker, Outcome
from backend.meshing import extract_mesh
from backend.svr.base import Field

_ANNEALED = 0.5
"""Share of the steps over which the transmittance target rises (500 steps in the publication)."""
_LEVELS = (8, 4, 2, 1)
"""Sides of the voxel grid over those of the grids that it is the sum of."""
_NEAR, _FAR = 0.9, 0.9
"""The marched part of a ray reaches so far before and behind the object's centre."""


@dataclass(frozen=True)
class DreamSettings(Settings):
    """Size and weights of the optimisation."""

    steps: int = bounded(400, 1, 100_000)
    views: int = bounded(2, 1, 64)
    """Per step."""
    view_size: int = bounded(64, 8, 512)
    grid: int = bounded(40, 8, 256)
    """Voxels per axis."""
    samples: int = bounded(40, 4, 512)
    """Per ray."""
    learning_rate: float = bounded(0.1, 0.0, 10.0)
    sparsity_weight: float = bounded(0.5, 0.0, 100.0)
    """Publication: 0.5."""
    first_transmittance: float = bounded(0.4, 0.0, 1.0)
    last_transmittance: float = bounded(0.88, 0.0, 1.0)
    """Publication: from 0.4 to 0.88."""
    density: float = bounded(60.0, 0.1, 10_000.0)
    """Density per unit of length of a voxel at softplus 1."""
    mesh_resolution: int = bounded(96, 16, 512)


class GridField(nn.Module, Field):
    """Density and colour on voxels of the unit cube, between them trilinear. One shape (B = 1).

    The voxels are the sum of grids from coarse to fine. A single fine grid dissolves into specks, each of
    which pleases one view; a network's bias towards smooth fields is had back this way (our choice).
    """

    def __init__(self, settings: DreamSettings, generator: torch.Generator) -> None:
        super().__init__()
        self._settings = settings
        size = settings.grid
        axis = torch.linspace(-1.0, 1.0, size)
        radius = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).square().sum(dim=0).sqrt()
        # A faint ball to begin with: from perfect emptiness no gradient comes.
        self.register_buffer("ball", -2.5 - 2.0 * radius[None, None])
        sides = [max(2, size // share) for share in _LEVELS]
        self.raw, self.paint = (
            nn.ParameterList(
                [0.1 * torch.randn(1, channels, *[side] * 3, generator=generator) for side in sides]
            )
            for channels in (1, 3)
        )

    def density(self, points: Tensor) -> Tensor:
        """Density [B, P] per unit of length at points [B, P, 3]; none outside the cube."""
        inside = (points.abs() < 0.5).all(dim=-1)
        raw = _sampled(self.ball + self._sum(self.raw), points)[..., 0]
        return self._settings.density * F.softplus(raw) * inside

    def _sum(self, levels: nn.ParameterList) -> Tensor:
        """The voxels [1, C, G, G, G] of grids of several sizes."""
        size = [self._settings.grid] * 3
        return sum(
            (F.interpolate(grid, size, mode="trilinear", align_corners=True) for grid in levels),
            start=torch.zeros(()),
        )

    def occupancy(self, points: Tensor) -> Tensor:
        """Above 0 where a voxel swallows more than half of the light."""
        return self.density(points) / self._settings.grid - math.log(2)

    def color(self, points: Tensor) -> Tensor:
        return _sampled(self._sum(self.paint), points).sigmoid()

    def __getitem__(self, index: int) -> "GridField":
        return self

    def detach(self) -> "GridField":
        return self


def volume_views(
    field: GridField, cameras: Cameras, size: int, samples: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Colours without background [V, S, S, 3] and transmittance [V, S, S] of rays with jittered samples."""
    origins, directions = (r.reshape(len(cameras), -1, 3) for r in cameras.rays(size, size))
    lengths = directions.norm(dim=-1, keepdim=True)
    directions = directions / lengths
    middle = origins.norm(dim=-1, keepdim=True)
    step = (_NEAR + _FAR) / samples
    jitter = torch.rand(*origins.shape[:2], samples, generator=generator)
    depths = middle - _NEAR + step * (torch.arange(samples) + jitter)  # [V, R, N]
    points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
    flat = points.reshape(1, -1, 3)
    swallowed = 1 - torch.exp(-field.density(flat).reshape(depths.shape) * step)
    left = torch.cumprod(torch.cat([torch.ones_like(swallowed[..., :1]), 1 - swallowed], dim=-1), dim=-1)
    weights = left[..., :-1] * swallowed
    colors = (weights[..., None] * field.color(flat).reshape(*depths.shape, 3)).sum(dim=-2)
    shape = (len(cameras), size, size)
    return colors.reshape(*shape, 3), left[..., -1].reshape(shape)


def random_backgrounds(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Backgrounds [V, S, S, 3] in [0, 1]: noise, checkerboards or smooth waves, blurred at random."""
    made = []
    for _ in range(count):
        kind, blur = torch.rand(2, generator=generator).tolist()
        if kind < 1 / 3:
            picture = torch.rand(3, size, size, generator=generator)
        elif kind < 2 / 3:
            cells = int(torch.randint(2, 9, (1,), generator=generator))
            place = torch.arange(size) * cells // size
            board = ((place[:, None] + place) % 2).float()
            two = torch.rand(2, 3, 1, 1, generator=generator)
            picture = board * two[0] + (1 - board) * two[1]
        else:
            waves = torch.randint(1, 7, (3, 2), generator=generator).float()
            phase = torch.rand(3, 1, 1, generator=generator)
            axis = torch.arange(size) / size
            turns = waves[:, 0, None, None] * axis[:, None] + waves[:, 1, None, None] * axis + phase
            picture = 0.5 + 0.5 * torch.cos(2 * math.pi * turns)
        sigma = 0.1 + blur * size / 16
        made.append(gaussian_blur(picture, kernel_size=[9, 9], sigma=[sigma, sigma]))
    return torch.stack(made).permute(0, 2, 3, 1)


def transmittance_target(step: int, settings: DreamSettings) -> float:
    """Of a step, from 0: rises linearly, then stays."""
    share = min(1.0, step / max(1.0, _ANNEALED * settings.steps))
    return settings.first_transmittance + share * (settings.last_transmittance - settings.first_transmittance)


def dream(
    clip: ClipEncoder, feature: Tensor, settings: DreamSettings, generator: torch.Generator
) -> Generator[float, None, GridField]:
    """Optimise a field towards a unit text feature [F]; yields each step's mean cosine, returns the field.

    NumericalError where the loss is not finite.
    """
    field = GridField(settings, generator)
    optimizer = torch.optim.Adam(field.parameters(), lr=settings.learning_rate)
    for step in range(settings.steps):
        cameras = random_cameras(settings.views, generator, distance=(1.6, 2.0), elevation_deg=(0.0, 35.0))
        colors, clear = volume_views(field, cameras, settings.view_size, settings.samples, generator)
        behind = random_backgrounds(settings.views, settings.view_size, generator)
        images = (colors + clear[..., None] * behind).permute(0, 3, 1, 2)
        cosine = (clip.encode_image(images.to(feature.device)) @ feature).mean().cpu()
        sparsity = torch.clamp(clear.mean(), max=transmittance_target(step, settings))
        loss = -cosine - settings.sparsity_weight * sparsity
        if not torch.isfinite(loss):
            raise NumericalError(
                f"The field's loss is {float(loss)} at step {step}.", remedy="Try another seed."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield float(cosine.detach())
    return field.requires_grad_(False)


def dream_fields_maker(bundle: Bundle, settings: DreamSettings) -> Maker:
    """Makes shapes with the bundle's CLIP alone, on the processor; the time of meshing is counted."""

    def make(prompt: str, seed: int) -> Outcome:
        begun = time.perf_counter()
        clip = bundle.clip
        with deterministic(bundle.device):
            feature = clip.encode_text([prompt])[0]
            cosines: list[float] = []
            work = dream(clip, feature, settings, torch.Generator().manual_seed(seed))
            field = _finish(work, cosines)
            wanted = MeshSettings(resolution=settings.mesh_resolution)
            mesh = _finish(extract_mesh(field, wanted, 0.0, 0.5, device="cpu"), [])
        if not len(mesh.faces):
            raise EmptyShapeError("The field has no surface.", remedy="Try another seed.")
        return Outcome(mesh, cosines[0], cosines[-1], time.perf_counter() - begun)

    return make


def _sampled(grid: Tensor, points: Tensor) -> Tensor:
    """Values [B, P, C] of voxels [1, C, X, Y, Z] at points [1, P, 3]."""
    # grid_sample reads (last, middle, first) axis.
    place = 2 * points[..., [2, 1, 0]].reshape(1, -1, 1, 1, 3)
    read = F.grid_sample(grid, place, mode="bilinear", padding_mode="border", align_corners=False)
    return read.reshape(1, grid.shape[1], -1).transpose(1, 2)


def _finish(work: Generator[float, None, Any], told: list[float]) -> Any:
    while True:
        try:
            told.append(next(work))
        except StopIteration as finished:
            return finished.value
