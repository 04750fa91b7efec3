"""SS3D's volume rendering: colours gathered along rays through the density, as in its training.

Stage 2 renders the surface at the extraction density instead: a step over all samples of all rays, with their
gradients, would cost about eighty times as much.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.svr.ss3d import Ss3dField

SAMPLES = 80
NEAR_FAR = 0.9
"""Rays are sampled from distance - NEAR_FAR to distance + NEAR_FAR."""
WHITE_GAIN = 5.0
"""Factor on the density where the background is white."""
LAST_STEP = 1e10
"""Length of the last sample's step; that sample closes the ray and takes no part in the sums."""


@dataclass(frozen=True)
class RayColors:
    """What P rays gather."""

    rgb: Tensor
    """[P, 3] in [0, 1]"""
    opacity: Tensor
    """[P] in [0, 1]: how much of the ray the object takes."""
    weights: Tensor
    """[P, SAMPLES]"""


def pixel_rays(camera_to_object: Tensor, height: int, width: int, focal: float) -> tuple[Tensor, Tensor]:
    """Origins and directions [H * W, 3], row by row; camera axes are x left, y up, z forward.

    camera_to_object: [3, 4]. focal: in pixels. Directions have camera-space depth 1.
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    across, down = (columns - width / 2) / focal, (rows - height / 2) / focal
    seen = torch.stack([-across, -down, torch.ones_like(down)], -1).reshape(-1, 3).to(camera_to_object)
    directions = seen @ camera_to_object[:, :3].T
    return camera_to_object[:, 3].expand_as(directions), directions


def render_rays(
    field: Ss3dField,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    *,
    white_background: bool = False,
) -> RayColors:
    """Colours of rays [P, 3] from near [P] to far [P] through a one-shape field; differentiable.

    On black, or on white with the density scaled as SS3D does it then.
    """
    fractions = torch.linspace(0, 1, SAMPLES, dtype=near.dtype, device=near.device)
    depths = near[:, None] * (1 - fractions) + far[:, None] * fractions  # [P, SAMPLES]
    points = origins[:, None] + depths[..., None] * directions[:, None]
    raw = field.raw(points.reshape(1, -1, 3)).reshape(*depths.shape, 4)
    steps = torch.cat([depths.diff(dim=1), torch.full_like(depths[:, :1], LAST_STEP)], dim=1)
    steps = steps * directions.norm(dim=-1, keepdim=True)
    density = raw[..., 3].relu() * (WHITE_GAIN if white_background else 1.0)
    alpha = 1 - torch.exp(-density * steps)
    passed = torch.cat([torch.ones_like(alpha[:, :1]), (1 - alpha).cumprod(dim=1)[:, :-1]], dim=1)
    weights = alpha * passed
    counted = weights[:, :-1]
    rgb = (counted[..., None] * raw[:, :-1, :3].sigmoid()).sum(dim=1)
    opacity = counted.sum(dim=1)
    if white_background:
        rgb = rgb + (1 - opacity[:, None])
    return RayColors(rgb, opacity, weights)
