"""Stage 2 of the method: tune a shape to a text at test time, by CLIP on rendered views.

The paper tunes a copy of the mapper; the default here is an offset of the shape code in whitened space,
which keeps a good shape good. The best iterate on fixed views is kept, so the result is never worse than
the start.
"""

import copy
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.cameras import Cameras, random_cameras
from backend.clip_encoder import ClipEncoder
from backend.config import RenderSettings, Stage2Settings
from backend.device import free_memory, is_out_of_memory
from backend.errors import NumericalError
from backend.losses import background_loss, clip_loss
from backend.ranking import Score, render_code, view_features
from backend.rendering.implicit import Views
from backend.rendering.occupancy_grid import OccupancyGrid
from backend.rendering.surface_drift import SurfaceDrift
from backend.svr.base import SvrModel
from backend.whitening import Whitening

logger = logging.getLogger(__name__)

_SMALLEST_CROP = 0.75
"""Side of the smallest random crop, relative to the view."""
BACKGROUND_STRIDE = 6
"""Every how manieth row and column of the missed rays the background loss looks at."""
GRID_AGE = 10
"""Iterations after which the carried occupancy grid is built anew, so that no new piece stays unseen."""
BYTES_PER_PIXEL = 16_000
"""Memory of an iteration per pixel of its views at the paper's size: decoder and CLIP activations."""
CPU_BYTES = 1_300_000_000
"""Greatest memory of an iteration on a CPU; more views at once would not be faster."""
MEMORY_SHARE = 0.5
"""Share of the free memory that an iteration may take."""
_FLAT_SHARE = 0.5
"""Share of views whose white background is replaced by a random flat colour."""


@dataclass(frozen=True)
class GuidanceStep:
    """One iteration: 0 is the start, before any change."""

    step: int
    total: int
    score: Score
    code: Tensor
    """[C], of this iterate."""
    best_step: int
    best_code: Tensor
    """[C], of the best iterate so far."""


def guide(
    *,
    clip: ClipEncoder,
    svr: SvrModel,
    mapper: nn.Module | None,
    whitening: Whitening,
    feature: Tensor,
    start: Tensor,
    judge: Callable[[Tensor, OccupancyGrid | None], Score],
    settings: Stage2Settings,
    render: RenderSettings,
    generator: torch.Generator,
    precision: str = "float32",
    confirm: Callable[[Tensor, Score], Score] = lambda code, score: score,
) -> Generator[GuidanceStep, None, Tensor]:
    """Yield after the start and after every iteration; return the best code [C].

    feature: [F], unit length. start: [C], from stage 1. judge: of a code, with the grid of the code before
    where that may be carried over; its grid serves the next iteration. confirm: asked about a score that
    would make its code the best, for one that is surer.
    mapper: tuned where settings.target is "mapper".
    An iterate becomes the best when its total rises and its CLIP score is not below the start's.
    NumericalError where the loss is not finite; the steps yielded until then stay valid.
    """
    moving = _moving_code(settings, mapper, whitening, feature, start)
    optimizer = torch.optim.Adam(moving.parameters(), lr=settings.learning_rate)
    first = judge(start, None)
    best_step, best_score, best_code = 0, first, start
    yield GuidanceStep(0, settings.steps, first, start, 0, start)
    grid, at_once = first.grid, views_at_once(settings, feature.device)
    held = None
    if settings.surface_weight and grid is not None:
        held = SurfaceDrift(svr.field(start[None]), grid, generator)
    for step in range(1, settings.steps + 1):
        cameras = random_cameras(
            settings.views, generator, distance=settings.distance, elevation_deg=settings.elevation_deg
        ).to(feature.device)
        optimizer.zero_grad(set_to_none=True)
        moved = moving()
        loss, gradient, at_once = guidance_gradient(
            clip, svr, moved.detach(), cameras, feature, settings, render,
            generator=generator, precision=precision, grid=grid, at_once=at_once,
        )  # fmt: skip
        if gradient is not None:  # a shape that no ray hits cannot be improved
            moved.backward(gradient)
        if settings.drift_weight:
            drift = settings.drift_weight * moving.drift()
            drift.backward()
            loss = loss + drift.detach()
        if held:
            motion = settings.surface_weight * held(svr.field(moving()[None]))
            motion.backward()
            loss = loss + motion.detach()
        optimizer.step()
        with torch.no_grad():
            code = moving()
        # Asked once, after the step: every question makes an accelerator wait.
        if not bool(torch.isfinite(code).all() & torch.isfinite(loss)):
            raise NumericalError(
                f"Text guidance gave a loss of {float(loss)} or a shape code that is not finite "
                f"at step {step}.",
                remedy="Lower the learning rate of stage 2; the best shape until then is kept.",
            )
        score = judge(code, None if step % GRID_AGE == 0 else grid)
        grid = score.grid
        if score.total > best_score.total and score.clip >= first.clip:
            score = confirm(code, score)
            grid = score.grid
        if score.total > best_score.total and score.clip >= first.clip:
            best_step, best_score, best_code = step, score, code
        logger.debug("stage 2 step %d: score %.4f", step, score.total)
        yield GuidanceStep(step, settings.steps, score, code, best_step, best_code)
    return best_code


class _CodeOffset(nn.Module):
    """code = start + offset, the offset in whitened space (our choice)."""

    def __init__(self, start: Tensor, whitening: Whitening) -> None:
        super().__init__()
        self._start = start
        self._whitening = whitening
        self.white = nn.Parameter(start.new_zeros(whitening.scale.shape))

    def forward(self) -> Tensor:
        return self._start + self._whitening.offset(self.white)

    def drift(self) -> Tensor:
        return self.white.square().mean()


class _TunedMapper(nn.Module):
    """code = M'(f) + (start - M(f)) with M' a copy of the mapper M.

    The paper's way; the constant keeps what diversity has added to the start.
    """

    def __init__(self, mapper: nn.Module, feature: Tensor, start: Tensor, whitening: Whitening) -> None:
        super().__init__()
        self.mapper = copy.deepcopy(mapper).requires_grad_(True)
        self._feature = feature
        self._whitening = whitening
        self._start = start
        with torch.no_grad():
            self._shift = start - self.mapper(feature[None])[0]

    def forward(self) -> Tensor:
        return self.mapper(self._feature[None])[0] + self._shift

    def drift(self) -> Tensor:
        white = self._whitening
        return (white.to_white(self()) - white.to_white(self._start)).square().mean()


def _moving_code(
    settings: Stage2Settings, mapper: nn.Module | None, whitening: Whitening, feature: Tensor, start: Tensor
) -> _CodeOffset | _TunedMapper:
    if settings.target == "mapper" and mapper is not None:
        return _TunedMapper(mapper, feature, start, whitening)
    return _CodeOffset(start, whitening)


def views_at_once(settings: Stage2Settings, device: torch.device) -> int:
    """Views of an iteration that go through renderer and CLIP together, by the memory that is free."""
    spare = MEMORY_SHARE * free_memory(device)
    if device.type == "cpu":
        spare = min(spare, CPU_BYTES)
    return max(1, min(settings.views, int(spare / (BYTES_PER_PIXEL * settings.view_size**2))))


def guidance_gradient(
    clip: ClipEncoder,
    svr: SvrModel,
    code: Tensor,
    cameras: Cameras,
    feature: Tensor,
    settings: Stage2Settings,
    render: RenderSettings,
    *,
    generator: torch.Generator,
    precision: str = "float32",
    grid: OccupancyGrid | None = None,
    at_once: int = 0,
) -> tuple[Tensor, Tensor | None, int]:
    """The loss of `guidance_loss`, its gradient to the code [C] (None where no ray hits), and how many views
    fitted in the memory at once.

    at_once: views that are tried together, 0 for all. Where memory runs out, halves are tried; the
    allocator's error is raised when one view alone does not fit.
    """
    at_once = min(at_once or len(cameras), len(cameras))
    before = generator.get_state()
    while True:
        leaf = code.detach().requires_grad_()
        try:
            loss = torch.zeros((), device=code.device)
            for start in range(0, len(cameras), at_once):
                part, _ = guidance_loss(
                    clip, svr, leaf, cameras[start : start + at_once], feature, settings, render,
                    generator=generator, precision=precision, grid=grid, views=len(cameras),
                )  # fmt: skip
                if part.requires_grad:
                    part.backward()
                loss = loss + part.detach()
            return loss, leaf.grad, at_once
        except (MemoryError, RuntimeError) as error:
            if at_once == 1 or not is_out_of_memory(error):
                raise
            at_once = (at_once + 1) // 2
            generator.set_state(before)
            logger.warning("memory ran short; going on with %d views at a time", at_once)


def guidance_loss(
    clip: ClipEncoder,
    svr: SvrModel,
    code: Tensor,
    cameras: Cameras,
    feature: Tensor,
    settings: Stage2Settings,
    render: RenderSettings,
    *,
    generator: torch.Generator,
    precision: str = "float32",
    grid: OccupancyGrid | None = None,
    views: int = 0,
) -> tuple[Tensor, Views]:
    """clip_weight * sum of (1 - cosine) + background_weight * background loss of a code [C], and its views.

    grid: of this code or nearly this code; without it one is built. views: number of the iteration's views
    where `cameras` are only some of them.
    """
    stride = BACKGROUND_STRIDE if settings.background_weight else 0
    seen = render_code(svr, code, cameras, settings.view_size, render, background_stride=stride, grid=grid)
    images = augment(seen.rgb, seen.mask, generator) if settings.augment else seen.rgb
    loss = settings.clip_weight * clip_loss(view_features(clip, images, precision), feature)
    if settings.background_weight and seen.background_rgb is not None:  # explicit models have none
        # The mean over all views is the mean of theirs.
        weight = settings.background_weight * len(cameras) / (views or len(cameras))
        loss = loss + weight * background_loss(seen.background_rgb, seen.background_mask)
    return loss, seen


def augment(images: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Images [V, H, W, 3] cropped at random, some on flat backgrounds: CLIP is fooled less (our choice).

    mask: [V, H, W], true on the object.
    """
    count, size = images.shape[0], images.shape[1]
    draws = torch.rand(count, 7, generator=generator, device=generator.device)
    crops = draws[:, 4:].tolist()
    draws = draws.to(images.device)
    flat = draws[:, None, None, 1:4].expand_as(images)
    recolored = torch.where(mask[..., None], images, flat)
    images = torch.where((draws[:, 0] < _FLAT_SHARE)[:, None, None, None], recolored, images)
    cropped = []
    for image, (share, top, left) in zip(images, crops, strict=True):
        side = max(1, round(size * (_SMALLEST_CROP + (1 - _SMALLEST_CROP) * share)))
        row, column = int(top * (size - side + 1)), int(left * (size - side + 1))
        crop = image[row : row + side, column : column + side].permute(2, 0, 1)[None]  # [1, 3, side, side]
        resized = F.interpolate(crop, size=(size, size), mode="bilinear", align_corners=False)
        cropped.append(resized[0].permute(1, 2, 0))
    return torch.stack(cropped)
