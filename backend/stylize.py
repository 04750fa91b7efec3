"""Stage 3 of the method, texture: colours of a fixed surface tuned to a style text by CLIP on its views.

The surface is a result's or an artist's mesh; what is painted (`Paint`) is a colour decoder's copy or a
colour field over the mesh. The surface points of a pool of views are found once, so an iteration costs
colours and CLIP only. `stylize_shape.py` holds shape and texture.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.cameras import Cameras, random_cameras
from backend.clip_encoder import ClipEncoder
from backend.config import Stage2Settings, StylizeSettings
from backend.errors import NumericalError
from backend.losses import background_loss, clip_loss
from backend.ranking import view_features
from backend.rendering.surface_views import SurfaceViews
from backend.styled_field import StyledField
from backend.svr.base import Field
from backend.texture_start import Encode, choose_start, count_start_steps

logger = logging.getLogger(__name__)

KEPT_ITERATES = 8
"""About how many iterates' colours are kept."""

State = list[Tensor]
"""The numbers of a Paint at one time."""


class Paint(ABC):
    """What gives the surface its colours and can be tuned."""

    @abstractmethod
    def parameters(self) -> list[Tensor]:
        """What is tuned."""

    @abstractmethod
    def color(self, points: Tensor, old: Tensor) -> Tensor:
        """sRGB [P, 3] at surface points [P, 3], which had the colours `old` [P, 3]."""

    def background(self, points: Tensor) -> Tensor | None:
        """sRGB [Q, 3] at points of missed rays; None where the paint knows the surface only."""
        return None

    def state(self) -> State:
        """A copy of the parameters."""
        return [p.detach().clone() for p in self.parameters()]

    def restore(self, state: State) -> None:
        """Set the parameters to an earlier copy."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), state, strict=True):
                parameter.copy_(value)


class DecoderPaint(Paint):
    """The copy of a field's colour decoder (method, stage 3); occupancy keeps the original."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self.tensors = {
            name: tensor.detach().clone().requires_grad_() for name, tensor in field.tensors("color").items()
        }

    def parameters(self) -> list[Tensor]:
        return list(self.tensors.values())

    def color(self, points: Tensor, old: Tensor) -> Tensor:
        return self._field.evaluate("color", self.tensors, points[None])[0]

    def background(self, points: Tensor) -> Tensor | None:
        return self.color(points, points)

    def field(self) -> StyledField:
        """The field with these colours."""
        tuned = dict(self._field.tuned) if isinstance(self._field, StyledField) else {}
        base = self._field.base if isinstance(self._field, StyledField) else self._field
        return StyledField(base, {**tuned, "color": self.tensors})


@dataclass(frozen=True)
class StyleStep:
    """One iteration. Scores are mean cosines on the fixed views."""

    step: int
    total: int
    score: float | None = None
    """None during the search for a start."""
    best_step: int = 0
    """Of `scores`: 0 is the surface as it was, 1 the start, if there was one."""
    scores: tuple[float, ...] = ()
    improved: bool = False
    """The paint shows a new best."""


def style_feature(
    clip: ClipEncoder, style: str, prompt: str, categories: Sequence[str], images: Tensor | None = None
) -> Tensor:
    """Unit feature [F] of a style: of its words alone and before the name of the thing.

    The thing is the category that the prompt names or, without one, that the images [V, S, S, 3] show.
    """
    texts = [style]
    words = f" {prompt.lower()} "
    named = [c for c in categories if f" {c.lower()} " in words]
    if not named and categories and images is not None:
        with torch.no_grad():
            seen = view_features(clip, images, "float32").mean(dim=0)
            named = [categories[int((clip.encode_text([f"a {c}" for c in categories]) @ seen).argmax())]]
    if named:
        texts.append(f"a {style} {max(named, key=len)}")
    return torch.nn.functional.normalize(clip.encode_text(texts).mean(dim=0), dim=-1)


def pool_cameras(stage2: Stage2Settings, settings: StylizeSettings, generator: torch.Generator) -> Cameras:
    """Cameras of the pool that iterations draw their views from."""
    return random_cameras(
        settings.pool, generator, distance=stage2.distance, elevation_deg=stage2.elevation_deg
    )


def draw_backgrounds(count: int, share: float, generator: torch.Generator) -> Tensor:
    """Flat backgrounds [V, 1, 1, 3]: with probability `share` random with one channel at 1, else black.

    As in the reference, so that the style cannot hide behind the object.
    """
    draws = torch.rand(count, 3, generator=generator, device=generator.device).cpu()
    colors = draws[:, 2:].expand(-1, 3).clone()
    colors[torch.arange(count), (3 * draws[:, 1]).long().clamp(max=2)] = 1.0
    return torch.where(draws[:, :1] < share, colors, torch.zeros(3)).reshape(count, 1, 1, 3)


def count_steps(settings: StylizeSettings) -> int:
    """Steps that `paint_style` tells of: search, fit, tuning."""
    searched = count_start_steps(settings)
    return searched + (settings.fit_steps if searched else 0) + settings.steps


def is_kept(number: int, steps: int) -> bool:
    """Whether the colours of iterate `number` are kept for looking back: the first two and some others."""
    return number <= 1 or number % math.ceil(max(1, steps) / KEPT_ITERATES) == 0


def pack_colors(colors: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8] | None:
    """Colours [K, N, 3] of K iterates as bytes; None without any."""
    return np.round(255 * np.stack(colors)).astype(np.uint8) if colors else None


def paint_style(
    clip: ClipEncoder,
    feature: Tensor,
    paint: Paint,
    *,
    pool: SurfaceViews,
    judged: SurfaceViews,
    settings: StylizeSettings,
    strength: float = 1.0,
    generator: torch.Generator,
    precision: str = "float32",
) -> Generator[StyleStep, None, StyleStep]:
    """Yield after every step; return the last of them, with the paint in its best state.

    feature: [F], unit length. strength: share of new colours in the start, at most 1. A generator that is
    closed early leaves the paint as it is then. NumericalError where the loss is not finite; the paint is
    then in its best state.
    """
    total, done = count_steps(settings), 0

    def encode(images: Tensor) -> Tensor:
        return view_features(clip, images, precision)

    def judge() -> float:
        with torch.no_grad():
            images = judged.images(paint.color(judged.points, judged.old))
            return float((encode(images) @ feature).mean())

    scores = [judge()]
    best = StyleStep(0, total, scores[0], 0, (scores[0],), True)
    kept = paint.state()
    yield best
    if settings.palettes:
        search = choose_start(encode, feature, judged, pool, settings, generator)
        while True:
            try:
                next(search)
            except StopIteration as found:
                texture = found.value
                break
            done += 1
            yield StyleStep(done, total, None, 0, tuple(scores))
        logger.info("style starts from the pattern %s", texture.pattern)
        share = min(1.0, strength)
        target = pool.old + share * (texture.at(pool.points) - pool.old)
        for _ in _fit(paint, pool, target, settings, generator):
            done += 1
            yield StyleStep(done, total, None, 0, tuple(scores))
        scores.append(judge())
        kept = paint.state()
        best = StyleStep(done, total, scores[1], 1, tuple(scores), True)
        yield best
    optimizer = torch.optim.Adam(paint.parameters(), lr=settings.learning_rate)
    for _ in range(settings.steps):
        loss = _loss(encode, feature, paint, pool, settings, generator)
        if not math.isfinite(float(loss.detach())):
            paint.restore(kept)
            raise NumericalError(
                "Stylization gave a loss that is not finite.", remedy="Lower its learning rate."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        done += 1
        scores.append(judge())
        # The old colours never win over the new: the user asked for a change.
        improved = best.best_step == 0 or scores[-1] > scores[best.best_step]
        best_step = len(scores) - 1 if improved else best.best_step
        if improved:
            kept = paint.state()
        best = StyleStep(done, total, scores[-1], best_step, tuple(scores), improved)
        yield best
    paint.restore(kept)
    return best


def _fit(
    paint: Paint, pool: SurfaceViews, target: Tensor, settings: StylizeSettings, generator: torch.Generator
) -> Generator[None, None, None]:
    """Bring the paint to target colours [P, 3] at the pool's points, by L1; yields after every iteration."""
    optimizer = torch.optim.Adam(paint.parameters(), lr=settings.fit_learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, settings.fit_steps))
    count = len(pool.points)
    for _ in range(settings.fit_steps if count else 0):
        chosen = torch.randint(count, (min(count, settings.fit_points),), generator=generator)
        chosen = chosen.to(pool.points.device)
        colors = paint.color(pool.points[chosen], pool.old[chosen])
        loss = (colors - target[chosen]).abs().mean()
        white = paint.background(_some(pool.beyond, len(chosen) // 8, generator))
        if white is not None and len(white):
            loss = loss + 0.1 * (1 - white).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        yield


def _loss(
    encode: Encode,
    feature: Tensor,
    paint: Paint,
    pool: SurfaceViews,
    settings: StylizeSettings,
    generator: torch.Generator,
) -> Tensor:
    """clip_weight * mean of (1 - cosine) + background_weight * background loss."""
    views = pool[torch.randint(pool.count, (settings.views,), generator=generator)]
    behind = draw_backgrounds(settings.views, settings.flat_share, generator).to(feature)
    # Composited before CLIP's normalisation: the background is a colour, not a factor.
    images = views.images(paint.color(views.points, views.old), behind)
    loss = settings.clip_weight / settings.views * clip_loss(encode(images), feature)
    if settings.background_weight:
        white = paint.background(_some(pool.beyond, len(views.points) // 4, generator))
        if white is not None and len(white):
            missed = torch.zeros(len(white), dtype=torch.bool, device=white.device)
            loss = loss + settings.background_weight * background_loss(white, missed)
    return loss


def _some(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Up to `count` of the points, drawn with replacement."""
    if not len(points):
        return points
    chosen = torch.randint(len(points), (max(1, count),), generator=generator)
    return points[chosen.to(points.device)]
