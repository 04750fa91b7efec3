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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.cameras import Cameras, random_cameras
from backend.clip_encoder import ClipEncoder
from backend.config import Stage2Settings, StylizeSettings
from backend.errors import NumericalError
from backend.events import Notice
from backend.losses import background_loss, clip_loss
from backend.ranking import view_features
from backend.rendering.surface_views import SurfaceViews
from backend.style_looks import Look, look_names, looks_meant, phrase_feature
from backend.styled_field import StyledField
from backend.svr.base import Field
from backend.texture_start import Encode, SolidTexture, choose_start, count_start_steps

logger = logging.getLogger(__name__)

PLANE_RATE = 20.0
"""Feature planes learn a start this many times faster than networks: a point moves few of their numbers."""
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

    def rates(self, rate: float) -> list[dict[str, Any]]:
        """Adam's groups for learning a start: feature planes (4 dimensions) learn faster."""
        planes = [p for p in self.parameters() if p.ndim == 4]
        others = [p for p in self.parameters() if p.ndim != 4]
        groups = ((planes, PLANE_RATE * rate), (others, rate))
        return [{"params": tensors, "lr": own} for tensors, own in groups if tensors]

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
class Aim:
    """The colours of a start."""

    texture: SolidTexture
    share: float
    """Of the texture; the old colours keep the rest."""

    def at(self, points: Tensor, old: Tensor) -> Tensor:
        """Colours [P, 3] at points [P, 3] that had the colours `old` [P, 3]."""
        return old + self.share * (self.texture.at(points) - old)


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


@dataclass(frozen=True)
class Wish:
    """What a style's words ask of a thing."""

    feature: Tensor
    """[F], unit length: of the words alone and before the name of the thing."""
    looks: tuple[Look, ...] = ()
    """Known looks that the words mean, the nearest first."""
    unknown: tuple[str, ...] = ()
    """Words that CLIP does not know: the feature says nothing of them."""

    @property
    def is_look_alone(self) -> bool:
        """Whether the look is all there is to go by: CLIP cannot tune towards words that it does not know."""
        return bool(self.looks and self.unknown)

    def notices(self) -> list[Notice]:
        """What to tell of words that were not understood."""
        if not self.unknown or self.looks:
            return []
        words = ", ".join(f'"{word}"' for word in self.unknown)
        message = f"Unknown and ignored: {words}. Looks that it knows: {', '.join(look_names())}."
        return [Notice("unknown_words", message)]


def read_wish(
    clip: ClipEncoder, style: str, prompt: str, categories: Sequence[str], images: Tensor | None = None
) -> Wish:
    """The wish in a style for what the prompt names or, without a name, the images [V, S, S, 3] show."""
    thing = named_thing(clip, prompt, categories, images)
    unknown = clip.report(style).unknown
    return Wish(phrase_feature(clip, style, thing), looks_meant(clip, style, thing), unknown)


def named_thing(
    clip: ClipEncoder, prompt: str, categories: Sequence[str], images: Tensor | None = None
) -> str:
    """The category that a prompt names or, without one, that images [V, S, S, 3] show; empty without both."""
    words = f" {prompt.lower()} "
    named = [c for c in categories if f" {c.lower()} " in words]
    if not named and categories and images is not None:
        with torch.no_grad():
            seen = view_features(clip, images, "float32").mean(dim=0)
            named = [categories[int((clip.encode_text([f"a {c}" for c in categories]) @ seen).argmax())]]
    return max(named, key=len, default="")


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


def count_steps(settings: StylizeSettings, wish: Wish) -> int:
    """Steps that `paint_style` tells of: search, fit, tuning."""
    searched = count_start_steps(settings, wish.looks)
    tuned = 0 if wish.is_look_alone else settings.steps
    return searched + (settings.fit_steps if searched else 0) + tuned


def is_kept(number: int, steps: int) -> bool:
    """Whether the colours of iterate `number` are kept for looking back: the first two and some others."""
    return number <= 1 or number % math.ceil(max(1, steps) / KEPT_ITERATES) == 0


def pack_colors(colors: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8] | None:
    """Colours [K, N, 3] of K iterates as bytes; None without any."""
    return np.round(255 * np.stack(colors)).astype(np.uint8) if colors else None


def paint_style(
    clip: ClipEncoder,
    wish: Wish,
    paint: Paint,
    *,
    pool: SurfaceViews,
    judged: SurfaceViews,
    settings: StylizeSettings,
    strength: float = 1.0,
    surface: tuple[Tensor, Tensor] | None = None,
    generator: torch.Generator,
    precision: str = "float32",
) -> Generator[StyleStep, None, StyleStep]:
    """Yield after every step; return the last of them, with the paint in its best state.

    strength: share of new colours in the start, at most 1. surface: further points [N, 3] of it and their
    colours [N, 3], such as the mesh's vertices; the start is learned there too, where no view may look. A
    generator that is closed early leaves the paint as it is then. NumericalError where the loss is not
    finite; the paint is then in its best state.
    """
    feature, looks = wish.feature, wish.looks
    total, done = count_steps(settings, wish), 0

    def encode(images: Tensor) -> Tensor:
        return view_features(clip, images, precision)

    def judge() -> float:
        with torch.no_grad():
            images = judged.images(paint.color(judged.points, judged.old))
            return float((encode(images) @ feature).mean())

    scores = [judge()]
    best = StyleStep(0, total, scores[0], 0, (scores[0],), True)
    kept = paint.state()
    aim: Aim | None = None
    yield best
    if settings.palettes:
        search = choose_start(encode, feature, judged, pool, settings, generator, looks)
        while True:
            try:
                next(search)
            except StopIteration as found:
                texture = found.value
                break
            done += 1
            yield StyleStep(done, total, None, 0, tuple(scores))
        logger.info("style starts from the pattern %s", texture.pattern)
        aim = Aim(texture, min(1.0, strength))
        points, old = pool.points, pool.old
        if surface is not None:
            points, old = torch.cat([points, surface[0]]), torch.cat([old, surface[1]])
        for _ in _fit(paint, points, old, aim.at(points, old), pool.beyond, settings, generator):
            done += 1
            yield StyleStep(done, total, None, 0, tuple(scores))
        scores.append(judge())
        kept = paint.state()
        best = StyleStep(done, total, scores[1], 1, tuple(scores), True)
        yield best
    optimizer = torch.optim.Adam(paint.parameters(), lr=settings.learning_rate)
    for _ in range(0 if wish.is_look_alone else settings.steps):
        loss = _loss(encode, feature, paint, pool, settings, generator, aim, strength)
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
    paint: Paint,
    points: Tensor,
    old: Tensor,
    target: Tensor,
    beyond: Tensor,
    settings: StylizeSettings,
    generator: torch.Generator,
) -> Generator[None, None, None]:
    """Bring the paint to target colours [P, 3] at points [P, 3], by L1; yields after every iteration.

    beyond: [Q, 3] points that stay white, where the paint knows them.
    """
    optimizer = torch.optim.Adam(paint.rates(settings.fit_learning_rate))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, settings.fit_steps))
    count = len(points)
    for _ in range(settings.fit_steps if count else 0):
        chosen = torch.randint(count, (min(count, settings.fit_points),), generator=generator)
        chosen = chosen.to(points.device)
        loss = (paint.color(points[chosen], old[chosen]) - target[chosen]).abs().mean()
        white = paint.background(_some(beyond, len(chosen) // 8, generator))
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
    aim: Aim | None,
    strength: float,
) -> Tensor:
    """clip_weight * mean of (1 - cosine) + background_weight * background loss, and what holds the look."""
    views = pool[torch.randint(pool.count, (settings.views,), generator=generator)]
    behind = draw_backgrounds(settings.views, settings.flat_share, generator).to(feature)
    # Composited before CLIP's normalisation: the background is a colour, not a factor.
    colors = paint.color(views.points, views.old)
    images = views.images(colors, behind)
    loss = settings.clip_weight / settings.views * clip_loss(encode(images), feature)
    if aim is not None and settings.look_weight:
        held = (colors - aim.at(views.points, views.old)).abs().mean()
        loss = loss + settings.look_weight / strength * held
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
