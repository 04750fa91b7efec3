"""Stage 3 of the method, shape and texture: the whole decoder of one shape tuned to a style text.

A 3D prior holds occupancy near the original's; what turns white (the background's colour) is removed. An
iterate counts only while it is one clean object of a like size, so the result is never empty or in pieces.
"""

import logging
import math
from collections.abc import Generator

import torch
from torch import Tensor

from backend.cameras import random_cameras
from backend.clip_encoder import ClipEncoder
from backend.config import RenderSettings, Stage2Settings, StylizeSettings
from backend.errors import NumericalError
from backend.losses import background_loss, clip_loss, prior_loss, white_removal_loss
from backend.ranking import evaluation_cameras, view_features, volume_quality
from backend.rendering.implicit import render_views
from backend.rendering.occupancy_grid import OccupancyGrid, build_grid
from backend.rendering.surface_views import SurfaceViews
from backend.styled_field import StyledField
from backend.stylize import StyleStep, draw_backgrounds
from backend.svr.base import Field

logger = logging.getLogger(__name__)

_BACKGROUND_STRIDE = 3
_HELD_POINTS = 2048
"""Points of the original surface at which the prior holds occupancy, per iteration."""
_JUDGED_CELLS = 32
"""Cells per axis of the grid that counts pieces and volume."""
_LEAST_VOLUME, _GREATEST_VOLUME = 0.5, 2.0
"""Of an iterate that counts, relative to the original."""
_GRID_AGE = 4
"""Iterations that one occupancy grid serves."""


def tune_shape(
    clip: ClipEncoder,
    feature: Tensor,
    start: StyledField,
    original: Field,
    *,
    surface: SurfaceViews,
    settings: StylizeSettings,
    strength: float,
    stage2: Stage2Settings,
    render: RenderSettings,
    generator: torch.Generator,
    precision: str = "float32",
    before: tuple[float, ...] = (),
) -> Generator[tuple[StyleStep, StyledField], None, StyledField]:
    """Yield each iteration with the best field so far; return the best.

    feature: [F], unit length. start: the original's occupancy in its first new colours. original: holds the
    prior, with its `surface`. before: scores of earlier steps, which the steps told go on from; the last is
    that of `start`. NumericalError where the loss is not finite; what was yielded stays valid.
    """
    device = feature.device
    tuned = {
        part: {name: tensor.detach().clone().requires_grad_() for name, tensor in start.tensors(part).items()}
        for part in ("occupancy", "color")
    }
    field = StyledField(start.base, tuned)
    optimizer = torch.optim.Adam(
        [
            {"params": list(tuned["occupancy"].values()), "lr": settings.shape_learning_rate},
            {"params": list(tuned["color"].values()), "lr": settings.learning_rate},
        ]
    )
    original = original.detach()
    size, first_pieces = _volume(original, render, device)
    scores, best_step, best = list(before), max(0, len(before) - 1), start.detach()
    grid: OccupancyGrid | None = None
    for step in range(1, settings.steps + 1):
        if render.grid_resolution and (step - 1) % _GRID_AGE == 0:
            grid = build_grid(field, render.grid_resolution, render.iso_logit, device=device)
        loss = shape_loss(
            clip, feature, field, original, surface, settings, strength, stage2, render, generator,
            precision, grid,
        )  # fmt: skip
        if not math.isfinite(float(loss.detach())):
            raise NumericalError(
                f"Stylization gave a loss that is not finite at step {step}.",
                remedy="Lower its learning rates; the best shape until then is kept.",
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            views = render_views(
                field.detach(), evaluation_cameras(stage2).to(device), stage2.view_size, render
            )
            scores.append(float((view_features(clip, views.rgb, precision) @ feature).mean()))
        volume, pieces = _volume(field, render, device)
        sound = pieces <= first_pieces and _LEAST_VOLUME * size <= volume <= _GREATEST_VOLUME * size
        improved = sound and scores[-1] > scores[best_step]
        if improved:
            best_step = len(scores) - 1
            best = StyledField(field.base, _copy(tuned))
        logger.debug("shape style step %d: score %.4f, pieces %d", step, scores[-1], pieces)
        told = StyleStep(step, settings.steps, scores[-1], best_step, tuple(scores), improved)
        yield told, best
    return best


def shape_loss(
    clip: ClipEncoder,
    feature: Tensor,
    field: StyledField,
    original: Field,
    surface: SurfaceViews,
    settings: StylizeSettings,
    strength: float,
    stage2: Stage2Settings,
    render: RenderSettings,
    generator: torch.Generator,
    precision: str,
    grid: OccupancyGrid | None,
) -> Tensor:
    """Weighted sum of CLIP loss and background loss as for texture, 3D prior over strength, white removal.

    Arguments as in `tune_shape`; grid: of nearly the same field, or None.
    """
    cameras = random_cameras(
        settings.views, generator, distance=stage2.distance, elevation_deg=stage2.elevation_deg
    ).to(feature.device)
    behind = draw_backgrounds(settings.views, settings.flat_share, generator).to(feature)
    views = render_views(
        field, cameras, stage2.view_size, render,
        background=behind, background_stride=_BACKGROUND_STRIDE, grid=grid,
    )  # fmt: skip
    features = view_features(clip, views.rgb, precision)
    loss = settings.clip_weight / settings.views * clip_loss(features, feature)
    if settings.background_weight and views.background_rgb is not None:
        loss = loss + settings.background_weight * background_loss(
            views.background_rgb, views.background_mask
        )
    origins, directions = cameras.rays(stage2.view_size, stage2.view_size)
    seen = views.mask
    # The points move with the shape (implicit gradients), which white removal needs.
    points = (origins[seen] + views.depth[seen][:, None] * directions[seen])[None]
    if settings.prior_weight:
        # At the old surface as well, so that a thin part cannot vanish unseen.
        chosen = torch.randint(len(surface.points), (_HELD_POINTS,), generator=generator)
        held = torch.cat([points.detach(), surface.points[chosen.to(points.device)][None]], dim=1)
        prior = prior_loss(field.occupancy(held), original.occupancy(held))
        loss = loss + settings.prior_weight / strength * prior
    if settings.white_weight and points.shape[1]:
        # The field's own colours: light would darken white.
        with torch.no_grad():
            colors = field.color(points)
        loss = loss + settings.white_weight * white_removal_loss(original.occupancy(points), colors)
    return loss


def _volume(field: Field, render: RenderSettings, device: torch.device) -> tuple[int, int]:
    """Grid corners inside the shape, and pieces beyond the first."""
    logits = build_grid(field, _JUDGED_CELLS, render.iso_logit, device=device).logits
    return int((logits > 0).sum()), volume_quality(logits)[1]


def _copy(tuned: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    return {part: {k: v.detach().clone() for k, v in tensors.items()} for part, tensors in tuned.items()}
