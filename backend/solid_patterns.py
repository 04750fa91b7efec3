"""Patterns in space: plain ways in which two colours can share a surface, as start of a texture.

CLIP's gradient alone, from any start, finds textures that only CLIP sees. So a style starts from the
pattern and the pair of colours whose views CLIP finds nearest to its words (our choice; `texture_start.py`
chooses), and tuning goes on from there. A pattern gives at each point the share of the second colour.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SHARPNESS = 6.0
"""Steepness of edges between the two colours."""
_LATTICE = 24
"""Corners per axis of the noise lattice."""


@dataclass(frozen=True)
class Place:
    """Where a pattern is asked."""

    points: Tensor
    """[P, 3] in SVR space."""
    cells: Tensor
    """[P, 3] the points in periods of the pattern, shifted at random."""
    lattice: Tensor
    """[_LATTICE, _LATTICE, _LATTICE] uniform random numbers."""

    def noise(self, stretch: tuple[float, float, float]) -> Tensor:
        """Smooth noise in [0, 1] at [P], with `stretch` lattice cells per period along each axis."""
        at = self.cells * self.cells.new_tensor(stretch)
        base = at.floor()
        at = base + _smooth(at - base)
        # The lattice goes on mirrored outside itself.
        at = 2 * (at + 0.5) / (_LATTICE - 1) - 1
        values = functional.grid_sample(
            self.lattice[None, None],
            at.reshape(1, 1, 1, -1, 3),
            padding_mode="reflection",
            align_corners=True,
        )
        return values.reshape(-1)


def place_points(points: Tensor, period: float, generator: torch.Generator) -> Place:
    """Points [P, 3] for patterns of a period in units of the cube, shifted by the generator."""
    shift = torch.rand(3, generator=generator, device=generator.device).to(points)
    return Place(points, points / period + shift, draw_lattice(generator).to(points))


def draw_lattice(generator: torch.Generator) -> Tensor:
    """Random corners [_LATTICE, _LATTICE, _LATTICE] for `Place.noise`."""
    return torch.rand(_LATTICE, _LATTICE, _LATTICE, generator=generator, device=generator.device)


def _smooth(x: Tensor) -> Tensor:
    return x * x * (3 - 2 * x)


def _edge(x: Tensor) -> Tensor:
    """Step from 0 to 1 around 0, a little soft."""
    return (SHARPNESS * x).sigmoid()


def _wave(x: Tensor) -> Tensor:
    return (2 * math.pi * x).sin()


def _plain(at: Place) -> Tensor:
    return torch.zeros_like(at.cells[:, 0])


def _bands(at: Place) -> Tensor:
    return _edge(2 * _wave(at.cells[:, 1]))


def _waves(at: Place) -> Tensor:
    lean = at.cells @ at.cells.new_tensor([0.9, 0.6, 0.5])
    return _edge(2 * _wave(lean + 0.6 * at.noise((1.1, 1.1, 1.1))))


def _checks(at: Place) -> Tensor:
    return _edge(4 * _wave(at.cells / 2).prod(dim=-1))


def _dots(at: Place) -> Tensor:
    # Centres at the corners and in the middle of each period.
    near = [(at.cells + shift).remainder(1) - 0.5 for shift in (0.0, 0.5)]
    distance = torch.stack([n.square().sum(-1) for n in near]).amin(0).sqrt()
    return _edge(8 * (0.3 - distance))


def _courses(at: Place) -> Tensor:
    rows = 2 * at.cells[:, 1]
    along = at.cells[:, 0] + at.cells[:, 2] + 0.5 * rows.floor().remainder(2)
    level = (rows.remainder(1) - 0.5).abs() - 0.38
    upright = (along.remainder(1) - 0.5).abs() - 0.43
    return _edge(10 * torch.maximum(level, upright))


def _grain(at: Place) -> Tensor:
    lean = 1.1 * at.cells[:, 0] + 0.8 * at.cells[:, 2]
    return 0.75 * (0.5 + 0.5 * _wave(lean + 0.8 * at.noise((2.0, 0.6, 2.0)))) ** 2


def _veins(at: Place) -> Tensor:
    course = 0.35 * (at.cells[:, 1] + 0.7 * at.cells[:, 0]) + 0.8 * at.noise((1.5, 1.5, 1.5))
    return (1 - _wave(course).abs()) ** 3


def _patches(at: Place) -> Tensor:
    return _edge(2.5 * (at.noise((1.6, 1.6, 1.6)) - 0.5))


def _leaves(at: Place) -> Tensor:
    return _edge(3 * (at.noise((2.6, 2.6, 2.6)) - 0.5))


def _speckle(at: Place) -> Tensor:
    return at.noise((3.0, 3.0, 3.0))


def _tongues(at: Place) -> Tensor:
    height = at.points[:, 1] + 0.4
    return (0.9 - 1.4 * height + 1.4 * (at.noise((1.5, 0.7, 1.5)) - 0.4)).clamp(0, 1)


def _facets(at: Place) -> Tensor:
    return (4 * at.noise((1.5, 1.5, 1.5))).floor() / 4


def _glints(at: Place) -> Tensor:
    lean = 0.8 * at.cells.sum(dim=-1)
    return (0.5 + 0.5 * _wave(lean)) ** 6


def _weave(at: Place) -> Tensor:
    return 0.5 + 0.5 * _wave(at.cells).prod(dim=-1)


def _sheen(at: Place) -> Tensor:
    lean = 0.6 * (at.cells[:, 1] + 0.5 * at.cells[:, 0])
    return (0.5 + 0.5 * _wave(lean + 0.25 * at.noise((1.0, 1.0, 1.0)))) ** 3


PATTERNS: dict[str, tuple[Callable[[Place], Tensor], float]] = {
    "plain": (_plain, 0.15),
    "bands": (_bands, 0.14),
    "waves": (_waves, 0.16),
    "checks": (_checks, 0.13),
    "dots": (_dots, 0.16),
    "courses": (_courses, 0.14),
    "grain": (_grain, 0.15),
    "veins": (_veins, 0.15),
    "patches": (_patches, 0.15),
    "leaves": (_leaves, 0.15),
    "speckle": (_speckle, 0.15),
    "tongues": (_tongues, 0.15),
    "facets": (_facets, 0.15),
    "sheen": (_sheen, 0.15),
    "glints": (_glints, 0.15),
    "weave": (_weave, 0.1),
}
"""Name -> (pattern, period in units of the cube): coarse enough for views of 64 pixels."""
