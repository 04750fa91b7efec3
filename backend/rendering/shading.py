"""Head-light shading of surface colours, the same formula for training images and for rendered views.

A model trained on shaded images answers stage 2 best when its rendered views are shaded alike (our choice;
the paper renders the decoder's colour as it is).
"""

import torch
from torch import Tensor
from torch.nn import functional

from backend.svr.base import Field

AMBIENT = 0.45
"""Share of the colour that does not depend on the light."""
LIGHT = (-0.35, -0.55, -1.0)
"""Direction towards the light in camera space (x right, y down, z forward), not of unit length."""


def lambert(colors: Tensor, normals: Tensor, lights: Tensor) -> Tensor:
    """Shaded colours [..., 3]: colour * (AMBIENT + (1 - AMBIENT) * max(0, normal . light)).

    normals: outward unit vectors [..., 3]. lights: unit vectors towards the light [..., 3], in the same
    space.
    """
    facing = (normals * lights).sum(-1, keepdim=True).clamp(min=0)
    return colors * (AMBIENT + (1 - AMBIENT) * facing)


def head_lights(world_mat: Tensor) -> Tensor:
    """Unit vectors [V, 3] in object space towards the light that each camera of [V, 4, 4] carries."""
    light = functional.normalize(world_mat.new_tensor(LIGHT), dim=0)
    return light @ world_mat[:, :3, :3]


def surface_normals(field: Field, points: Tensor, step: float) -> Tensor:
    """Outward unit normals [B, P, 3] at points [B, P, 3] by central differences over `step` (plus and minus
    half).

    Differentiable in the field and the points, with first derivatives of the field only.
    """
    batch, count, _ = points.shape
    half = 0.5 * step * torch.eye(3, dtype=points.dtype, device=points.device)
    taps = points[:, None] + torch.cat([half, -half])[None, :, None]  # [B, 6, P, 3]
    values = field.occupancy(taps.reshape(batch, 6 * count, 3)).reshape(batch, 6, count)
    # Occupancy grows inwards, so the outward normal points down its slope.
    return functional.normalize((values[:, 3:] - values[:, :3]).mT, dim=-1, eps=1e-5)
