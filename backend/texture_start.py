"""Where a style starts: the solid pattern and the two colours whose views CLIP finds nearest to the words.

Words that mean a known look (see `style_looks.py`) choose among its colours only. For others there is a
coarse search over patterns and colour pairs, then a few iterations on the colours of the best; six numbers
each, so CLIP cannot be fooled much (our choice, see `solid_patterns.py`).
"""

import colorsys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.config import StylizeSettings
from backend.losses import clip_loss
from backend.rendering.surface_views import SurfaceViews
from backend.solid_patterns import PATTERNS, Place, place_points
from backend.style_looks import Look

Encode = Callable[[Tensor], Tensor]
"""Images [V, S, S, 3] -> unit features [V, F]."""

_SEARCH_VIEWS = 2
_FINALISTS, _PER_PATTERN = 6, 2
"""Starts whose colours are tuned, and how many of them may share a pattern."""
_COLOR_RATE = 0.2
"""Adam's step on colour logits."""
_TEMPERATURE = 0.02
"""Every other colour enters pairs with probability exp(cosine / temperature)."""
_BATCH = 48
"""Images per CLIP call."""


@dataclass(frozen=True)
class SolidTexture:
    """A pattern in two colours, everywhere in space."""

    pattern: str
    place: Place
    """Its shift and noise; the points in it do not matter."""
    colors: Tensor
    """[2, 3] sRGB."""

    def share(self, points: Tensor) -> Tensor:
        """Share [P, 1] of the second colour at points [P, 3]."""
        function, period = PATTERNS[self.pattern]
        shift = self.place.cells[:1] - self.place.points[:1] / period
        return function(Place(points, points / period + shift, self.place.lattice))[:, None]

    def at(self, points: Tensor) -> Tensor:
        """Colours [P, 3] at points [P, 3]."""
        return mix(self.share(points), self.colors)


def mix(share: Tensor, colors: Tensor) -> Tensor:
    """Colours [P, 3] of shares [P, 1] of the second of two colours [2, 3]."""
    return colors[0] * (1 - share) + colors[1] * share


def count_start_steps(settings: StylizeSettings, looks: Sequence[Look] = ()) -> int:
    """How often `choose_start` yields."""
    if not settings.palettes:
        return 0
    return len(looks) or 1 + len(PATTERNS) + settings.palette_steps


def choose_start(
    encode: Encode,
    feature: Tensor,
    views: SurfaceViews,
    pool: SurfaceViews,
    settings: StylizeSettings,
    generator: torch.Generator,
    looks: Sequence[Look] = (),
) -> Generator[None, None, SolidTexture]:
    """Yields after every part of the search; returns the best texture for a unit feature [F].

    views: fixed views that judge. pool: views that the colours are tuned on. looks: the only ones to choose
    from; none leaves the choice to the search.
    """
    if looks:
        return (yield from _choose_look(encode, feature, views, looks, generator))
    few = views[torch.arange(0, views.count, max(1, views.count // _SEARCH_VIEWS))[:_SEARCH_VIEWS]]
    bank = color_bank().to(feature)
    with torch.no_grad():
        flat = _scores(encode, feature, few, [c.expand_as(few.points) for c in bank])
    yield
    # Half by the flat colours' scores, half by chance: black and white stripes are no grey thing.
    chance = (0.5 * (flat / _TEMPERATURE).softmax(0) + 0.5 / len(bank)).cpu()
    contrast = bank[[-1, -4]]
    textures, scores = [], []
    for pattern, (_, period) in PATTERNS.items():
        place = place_points(few.points[:1], period, generator)
        drawn = torch.multinomial(chance, 2 * settings.palettes, replacement=True, generator=generator)
        pairs = torch.cat([bank[drawn.to(bank.device)].reshape(-1, 2, 3), contrast[None]])
        found = [SolidTexture(pattern, place, pair) for pair in pairs]
        share = found[0].share(few.points)
        with torch.no_grad():
            scores += _scores(encode, feature, few, [mix(share, pair) for pair in pairs]).tolist()
        textures += found
        yield
    finalists = _best(textures, scores)
    tuned = yield from _tune_colors(encode, feature, finalists, pool, settings, generator)
    candidates = [*finalists, *tuned]
    with torch.no_grad():
        final = _scores(encode, feature, views, [texture.at(views.points) for texture in candidates])
    return candidates[int(final.argmax())]


def _choose_look(
    encode: Encode, feature: Tensor, views: SurfaceViews, looks: Sequence[Look], generator: torch.Generator
) -> Generator[None, None, SolidTexture]:
    """The look, in those of its colours, whose views CLIP finds nearest; yields after every look."""
    textures, scores = [], []
    for look in looks:
        place = place_points(views.points[:1], PATTERNS[look.pattern][1], generator)
        own = [SolidTexture(look.pattern, place, feature.new_tensor(pair)) for pair in look.colors]
        with torch.no_grad():
            scores += _scores(encode, feature, views, [t.at(views.points) for t in own]).tolist()
        textures += own
        yield
    return textures[scores.index(max(scores))]


def color_bank() -> Tensor:
    """Colours [28, 3]: eight hues bright, dark and pale, and four greys, from near black to near white."""
    hues = [i / 8 for i in range(8)]
    kinds = [(0.85, 0.85), (0.75, 0.45), (0.35, 0.95)]
    colors = [colorsys.hsv_to_rgb(hue, *kind) for kind in kinds for hue in hues]
    return torch.tensor([*colors, *((g, g, g) for g in (0.05, 0.35, 0.65, 0.95))])


def _scores(encode: Encode, feature: Tensor, views: SurfaceViews, colors: list[Tensor]) -> Tensor:
    """Mean cosine [K] over the views of K colourings [P, 3]."""
    images = torch.cat([views.images(one) for one in colors])
    features = torch.cat([encode(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)])
    return (features @ feature).reshape(len(colors), views.count).mean(dim=1)


def _best(textures: list[SolidTexture], scores: list[float]) -> list[SolidTexture]:
    order = sorted(range(len(textures)), key=lambda i: -scores[i])
    kept: list[SolidTexture] = []
    for index in order:
        texture = textures[index]
        if sum(other.pattern == texture.pattern for other in kept) < _PER_PATTERN:
            kept.append(texture)
    return kept[:_FINALISTS]


def _tune_colors(
    encode: Encode,
    feature: Tensor,
    textures: list[SolidTexture],
    pool: SurfaceViews,
    settings: StylizeSettings,
    generator: torch.Generator,
) -> Generator[None, None, list[SolidTexture]]:
    """The textures with colours that CLIP likes better; yields after every iteration."""
    logits = torch.stack([t.colors for t in textures]).clamp(0.03, 0.97).logit().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=_COLOR_RATE)
    for _ in range(settings.palette_steps):
        some = pool[torch.randint(pool.count, (_SEARCH_VIEWS,), generator=generator)]
        images = [
            some.images(mix(texture.share(some.points), pair))
            for texture, pair in zip(textures, logits.sigmoid(), strict=True)
        ]
        loss = clip_loss(encode(torch.cat(images)), feature)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield
    colors = logits.detach().sigmoid()
    return [replace(texture, colors=pair) for texture, pair in zip(textures, colors, strict=True)]
