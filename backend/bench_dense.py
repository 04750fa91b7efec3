"""The straightforward dense path, kept for comparison only: every ray in every step, one view, one CLIP
call and one backward pass at a time, a whole grid for meshing.

Nothing of the product uses it. Views are those of `render_views` without a grid, which is DVR's marching.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.bench_case import BenchCase
from backend.cameras import Cameras
from backend.config import RenderSettings
from backend.device import wait_for
from backend.losses import background_loss, clip_loss
from backend.ranking import view_features
from backend.rendering.implicit import Views, render_views
from backend.sparse_grid import grid_points
from backend.svr.base import Field, SvrModel

BLOCK = 8192
"""Grid points per decoder call."""
MARCH_STEPS, SECANT_STEPS = 128, 8
"""Steps along every ray and at every hit, as in the paper, where the settings do not ask for more."""


@dataclass(frozen=True)
class DenseGuidance:
    """One iteration of stage 2 on some views."""

    views: list[Views]
    """One by one, their colours still joined to `code`."""
    code: Tensor
    """[C]"""
    gradient: Tensor
    """[C], of the loss to the shape code."""
    image_gradient: Tensor
    """[V, H, W, 3], of the loss to the images."""

    @property
    def rgb(self) -> Tensor:
        """[V, H, W, 3]"""
        return torch.cat([views.rgb.detach() for views in self.views])

    @property
    def mask(self) -> Tensor:
        """[V, H, W]"""
        return torch.cat([views.mask for views in self.views])

    @property
    def depth(self) -> Tensor:
        """[V, H, W]"""
        return torch.cat([views.depth.detach() for views in self.views])


def guide_densely(case: BenchCase, svr: SvrModel, cameras: Cameras) -> DenseGuidance:
    """Loss and gradient of stage 2 on the cameras; background loss on every missed ray, as in the paper."""
    stage2 = case.settings.stage2
    settings = dense_settings(case)
    code = case.code.clone().requires_grad_()
    seen = []
    for number in range(len(cameras)):
        views = render_views(
            svr.field(code[None]), cameras[number], stage2.view_size, settings,
            background_stride=1 if stage2.background_weight else 0,
        )  # fmt: skip
        seen.append(views)
        if views.rgb.requires_grad:
            views.rgb.retain_grad()
        loss = stage2.clip_weight * clip_loss(view_features(case.clip, views.rgb, "float32"), case.feature)
        if views.background_rgb is not None:
            # The mean over all views is the mean of theirs.
            loss = loss + stage2.background_weight / len(cameras) * background_loss(
                views.background_rgb, views.background_mask
            )
        if loss.requires_grad:
            loss.backward(retain_graph=True)
    gradient = torch.zeros_like(code) if code.grad is None else code.grad
    of_images = [torch.zeros_like(v.rgb) if v.rgb.grad is None else v.rgb.grad for v in seen]
    return DenseGuidance(seen, code, gradient, torch.cat(of_images))


def dense_settings(case: BenchCase) -> RenderSettings:
    """How the dense path renders: every ray in even steps, no grid."""
    return case.render.replace(
        grid_resolution=0,
        march_steps=max(MARCH_STEPS, case.render.march_steps),
        secant_steps=max(SECANT_STEPS, case.render.secant_steps),
    )


def style_densely(case: BenchCase, field: Field, cameras: Cameras, background: Tensor) -> Tensor:
    """Loss of texture stylization of a field with tuned colours, rendered anew for every view.

    background: [V, 1, 1, 3]. Gradients reach the field's colour tensors.
    """
    stylize, size = case.settings.stylize, case.settings.stage2.view_size
    settings = dense_settings(case)
    total = torch.zeros((), device=case.device)
    for number in range(len(cameras)):
        views = render_views(
            field, cameras[number], size, settings,
            background=background[number : number + 1], background_stride=1,
        )  # fmt: skip
        loss = stylize.clip_weight * clip_loss(view_features(case.clip, views.rgb, "float32"), case.feature)
        loss = loss + stylize.background_weight * background_loss(views.background_rgb, views.background_mask)
        loss = loss / len(cameras)
        loss.backward()
        total = total + loss.detach()
    return total


def sample_blocks(field: Field, resolution: int, share: float, device: torch.device) -> tuple[float, float]:
    """Seconds for a share of the blocks of a whole grid, drawn at random, and the share really measured."""
    count = (resolution + 1) ** 3
    starts = np.arange(0, count, BLOCK)
    chosen = max(1, round(share * len(starts)))
    starts = np.sort(np.random.default_rng(0).choice(starts, chosen, replace=False))
    asked = 0
    wait_for(device)
    begun = time.perf_counter()
    for start in starts:
        asked += len(_ask_block(field, resolution, int(start), device))
    wait_for(device)
    return time.perf_counter() - begun, asked / count


def mesh_densely(
    field: Field, resolution: int, iso_logit: float, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vertices [N, 3] and their colours [N, 3] by marching cubes on a whole grid of cells, closed."""
    from skimage.measure import marching_cubes

    count = (resolution + 1) ** 3
    blocks = [_ask_block(field, resolution, start, device) for start in range(0, count, BLOCK)]
    values = np.concatenate(blocks).reshape((resolution + 1,) * 3) - iso_logit
    corners = marching_cubes(np.pad(values, 1, constant_values=min(-1.0, float(values.min()))), 0.0)[0]
    vertices = grid_points(corners - 1, resolution, 0.5)
    with torch.no_grad():
        colors = field.detach().color(torch.from_numpy(vertices)[None].to(device))[0]
    return vertices, colors.cpu().numpy()


def _ask_block(field: Field, resolution: int, start: int, device: torch.device) -> NDArray[np.float32]:
    """Logits of up to BLOCK grid points from number `start` on."""
    numbers = np.arange(start, min(start + BLOCK, (resolution + 1) ** 3))
    index = np.stack(np.unravel_index(numbers, (resolution + 1,) * 3), axis=1)
    points = torch.from_numpy(grid_points(index, resolution, 0.5))[None].to(device)
    with torch.no_grad():
        return field.detach().occupancy(points)[0].cpu().numpy()
