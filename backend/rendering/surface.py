"""Where rays first enter a shape, found by DVR's dense marching.

Gives the ray parameter of the first crossing, without gradients; `implicit.py` adds those. Rays are
origin + d * direction with d the camera-space depth.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.config import RenderSettings
from backend.rendering.chunks import chunk_size
from backend.rendering.occupancy_grid import HALF_SIDE
from backend.svr.base import Field

MISSED_CUBE_SPAN = (0.0, 2.4)
"""Dense marching follows rays past the padded cube too, over these depths (DVR)."""


@dataclass(frozen=True)
class Crossings:
    """First crossings of rays [B, P]."""

    depth: Tensor
    """Ray parameter; infinity where nothing was hit."""
    hit: Tensor
    """True where the ray meets the shape."""
    entered: Tensor
    """True where it does so through the surface; False for rays that start inside."""
    evaluations: int
    drift: float = 0.0
    """Median distance between the grid's guess and the surface, in cells; 0 without a grid."""


def cube_span(
    origins: Tensor, directions: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Entry and exit parameters of rays [..., 3] through a box, and whether they meet it ahead."""
    safe = torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
    first, second = (low - origins) / safe, (high - origins) / safe
    near = torch.minimum(first, second).amax(-1)
    far = torch.maximum(first, second).amin(-1)
    return near, far, (near < far) & (far > 0)


def march_densely(field: Field, origins: Tensor, directions: Tensor, settings: RenderSettings) -> Crossings:
    """First crossings by DVR's marching: every ray [B, P, 3] in `march_steps` equal steps, then secant steps.

    A crossing counts if the first sample of its ray is free. A ray whose first sample is inside hits there.
    """
    field = field.detach()
    batch, count, _ = origins.shape
    size = max(1, chunk_size(origins.device) // (batch * settings.march_steps))
    with torch.no_grad():
        parts = [
            _march_chunk(field, origins[:, i : i + size], directions[:, i : i + size], settings)
            for i in range(0, count, size)
        ]
    *tensors, asked = zip(*parts, strict=True)
    depth, hit, entered = (torch.cat(t, dim=1) for t in tensors)
    return Crossings(depth, hit, entered, sum(asked))


def _march_chunk(
    field: Field, origins: Tensor, directions: Tensor, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Depth, hit and entered [B, P] of a chunk of rays, and the number of evaluations."""
    corner = origins.new_full((3,), HALF_SIDE)
    near, far, inside_cube = cube_span(origins, directions, -corner, corner)
    near = torch.where(inside_cube, near, torch.full_like(near, MISSED_CUBE_SPAN[0]))
    far = torch.where(inside_cube, far, torch.full_like(far, MISSED_CUBE_SPAN[1]))
    fractions = torch.linspace(0, 1, settings.march_steps, dtype=near.dtype, device=near.device)
    depths = near[..., None] * (1 - fractions) + far[..., None] * fractions  # [B, P, N]
    points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
    logits = field.occupancy(points.flatten(1, 2)).reshape(depths.shape) - settings.iso_logit

    starts_inside = logits[..., 0] >= 0
    enters = (logits[..., :-1] < 0) & (logits[..., 1:] >= 0) & ~starts_inside[..., None]
    entered = enters.any(-1)
    before = enters.to(torch.uint8).argmax(-1, keepdim=True)
    low_d, high_d = depths.gather(-1, before)[..., 0], depths.gather(-1, before + 1)[..., 0]
    low_f, high_f = logits.gather(-1, before)[..., 0], logits.gather(-1, before + 1)[..., 0]

    # Only hits are refined: they come first, as many columns as the shape with most hits needs.
    chosen = entered.to(torch.uint8).argsort(dim=1, descending=True)[:, : int(entered.sum(1).max())]
    low_d, low_f, high_d, high_f = (x.gather(1, chosen) for x in (low_d, low_f, high_d, high_f))
    columns = chosen[..., None].expand(-1, -1, 3)
    origins, directions = origins.gather(1, columns), directions.gather(1, columns)
    guess = _regula_falsi(low_d, low_f, high_d, high_f)
    for _ in range(settings.secant_steps if chosen.numel() else 0):
        value = field.occupancy(origins + guess[..., None] * directions) - settings.iso_logit
        free = value < 0
        low_d, low_f = torch.where(free, guess, low_d), torch.where(free, value, low_f)
        high_d, high_f = torch.where(free, high_d, guess), torch.where(free, high_f, value)
        guess = _regula_falsi(low_d, low_f, high_d, high_f)
    refined = torch.full_like(near, math.inf).scatter(1, chosen, guess)
    depth = torch.where(entered, refined, torch.full_like(near, math.inf))
    asked = logits.numel() + settings.secant_steps * chosen.numel()
    return torch.where(starts_inside, near, depth), entered | starts_inside, entered, asked


def _regula_falsi(low_d: Tensor, low_f: Tensor, high_d: Tensor, high_f: Tensor) -> Tensor:
    gap = high_f - low_f
    return low_d - low_f * (high_d - low_d) / torch.where(gap == 0, torch.ones_like(gap), gap)
