"""Distances of primitives: closed forms by hand, the compiled kernels of the programs, gradients."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.materials import plain
from backend.datasets.procedural.shape import PackedShape, Shape
from backend.datasets.procedural.views import label
from backend.svr import parts_distance as distance
from backend.svr import parts_layout as layout

SQUARE = ((-0.2, -0.2), (0.2, -0.2), (0.2, 0.2), (-0.2, 0.2))
CORNER = ((-0.3, -0.3), (0.3, -0.3), (0.3, 0.0), (0.0, 0.0), (0.0, 0.3), (-0.3, 0.3))
"""An L."""
PROFILE = ((0.0, -0.3), (0.2, -0.3), (0.2, 0.3), (0.0, 0.3))
"""A cylinder of radius 0.2 and half height 0.3 as a lathe's outline."""
PARAMS = {
    "box": (0.3, 0.2, 0.1, 0.02),
    "ellipsoid": (0.3, 0.2, 0.25, 0.0),
    "cone": (0.3, 0.1, 0.2, 0.02),
    "torus": (0.3, 0.1, 0.0, 0.0),
    "prism": (0.1, 0.02, 0.0, 0.0),
    "lathe": (0.0, 0.0, 0.0, 0.0),
    "capsule": (0.2, 0.1, 0.3, 0.0),
    "arc": (0.3, 0.05, math.sin(1.9), math.cos(1.9)),
}
"""A usual part of each kind; the outline of prism and lathe is CORNER, moved beyond the axis for a lathe."""

_PLAIN = {
    "box": distance.box_distance,
    "ellipsoid": distance.ellipsoid_distance,
    "cone": distance.cone_distance,
    "torus": distance.torus_distance,
    "capsule": distance.capsule_distance,
    "arc": distance.arc_distance,
}


def _distances(kind: str, points: Tensor, params: Tensor, outline: Tensor) -> Tensor:
    if kind == "prism":
        return distance.prism_distance(points, params, outline)
    if kind == "lathe":
        return distance.lathe_distance(points, outline)
    return _PLAIN[kind](points, params)


def _outline(kind: str) -> tuple[tuple[float, float], ...]:
    return tuple((x + 0.35, y) for x, y in CORNER) if kind == "lathe" else CORNER


def _root(*sides: float) -> float:
    return math.sqrt(sum(side * side for side in sides))


@pytest.mark.parametrize(
    ("kind", "params", "outline", "point", "expected"),
    [
        ("box", (0.3, 0.2, 0.1, 0), (), (0, 0, 0), -0.1),
        ("box", (0.3, 0.2, 0.1, 0), (), (0.5, 0, 0), 0.2),
        ("box", (0.3, 0.2, 0.1, 0), (), (0.3, 0.2, 0.1), 0.0),
        ("box", (0.3, 0.2, 0.1, 0), (), (-0.6, 0.6, 0.1), 0.5),
        ("box", (0.3, 0.2, 0.1, 0.05), (), (0.3, 0.2, -0.1), 0.05 * (math.sqrt(3) - 1)),
        ("box", (0.3, 0.2, 0.1, 9), (), (0.4, 0, 0), 0.1),
        ("ellipsoid", (0.25, 0.25, 0.25, 0), (), (0, 0.24, 0.32), 0.15),
        ("ellipsoid", (0.25, 0.25, 0.25, 0), (), (0.01, 0, 0), -0.24),
        ("ellipsoid", (0.3, 0.2, 0.1, 0), (), (0, 0, -0.1), 0.0),
        ("ellipsoid", (0.3, 0.2, 0.1, 0), (), (0.18, 0.16, 0), 0.0),
        ("cone", (0.2, 0.2, 0.3, 0), (), (0, 0, 0), -0.2),
        ("cone", (0.2, 0.2, 0.3, 0), (), (0, 0.5, 0), 0.2),
        ("cone", (0.2, 0.2, 0.3, 0), (), (0, -0.7, 0.5), 0.5),
        ("cone", (0.2, 0.2, 0.3, 0.05), (), (0.2, 0.3, 0), 0.05 * (math.sqrt(2) - 1)),
        ("cone", (0.2, 0.2, 0.3, 0.05), (), (0.12, 0, 0.16), 0.0),
        ("cone", (0.4, 0, 0.2, 0), (), (0.2, 0, 0), 0.0),
        ("cone", (0.4, 0, 0.2, 0), (), (0, 0.1, 0.3), 0.1 * math.sqrt(2)),
        ("cone", (0, 0.4, 0.2, 0), (), (0, -0.1, 0.3), 0.1 * math.sqrt(2)),
        ("torus", (0.3, 0.1, 0, 0), (), (0, 0, 0), 0.2),
        ("torus", (0.3, 0.1, 0, 0), (), (0.18, 0, 0.24), -0.1),
        ("torus", (0.3, 0.1, 0, 0), (), (-0.3, 0.25, 0), 0.15),
        ("torus", (0.3, 0.1, 0, 0), (), (0.4, 0, 0), 0.0),
        ("capsule", (0.1, 0.1, 0.4, 0), (), (0, 0, 0), -0.1),
        ("capsule", (0.1, 0.1, 0.4, 0), (), (0, -0.3, 0), 0.2),
        ("capsule", (0.1, 0.1, 0.4, 0), (), (0, 0.7, 0), 0.2),
        ("capsule", (0.1, 0.1, 0.4, 0), (), (0.15, 0.2, 0.2), 0.15),
        ("capsule", (0.2, 0.1, 0.4, 0), (), (0, 0.6, 0), 0.1),
        ("capsule", (0.2, 0.1, 0.4, 0), (), (0.3 * math.sqrt(0.9375), 0.3 * 0.25, 0), 0.1),
        ("arc", (0.3, 0.05, 1, 0), (), (0, 0.3, 0), -0.05),
        ("arc", (0.3, 0.05, 1, 0), (), (-0.3, 0, 0.2), 0.15),
        ("arc", (0.3, 0.05, 1, 0), (), (0, -0.3, 0), _root(0.3, 0.3) - 0.05),
        ("arc", (0.3, 0.05, 1, 0), (), (0, 0, 0), 0.25),
        ("arc", (0.3, 0.05, 0, -1), (), (0, -0.3, 0), -0.05),
        ("arc", (0.3, 0.05, 0, 1), (), (0.4, 0, 0), 0.45),
        ("prism", (0.1, 0, 0, 0), SQUARE, (0, 0, 0), -0.1),
        ("prism", (0.1, 0, 0, 0), SQUARE, (0.5, 0.6, 0.1), 0.5),
        ("prism", (0.1, 0.05, 0, 0), SQUARE, (0.2, 0, 0.1), 0.05 * (math.sqrt(2) - 1)),
        ("prism", (0.5, 0, 0, 0), CORNER, (0.2, 0.1, 0), 0.1),
        ("prism", (0.5, 0, 0, 0), CORNER, (-0.1, -0.1, 0.2), -math.sqrt(0.02)),
        ("lathe", (0, 0, 0, 0), PROFILE, (0.3, 0, 0.4), 0.3),
        ("lathe", (0, 0, 0, 0), PROFILE, (0.12, 0, 0.16), 0.0),
        ("lathe", (0, 0, 0, 0), PROFILE, (0.5, -0.7, 0), 0.5),
        ("lathe", (0, 0, 0, 0), PROFILE, (0.15, 0, 0), -0.05),
    ],
)
def test_primitives_have_their_closed_forms(
    kind: str, params: tuple[float, ...], outline: tuple[tuple[float, float], ...],
    point: tuple[float, float, float], expected: float,
) -> None:  # fmt: skip
    corners = torch.tensor(outline or SQUARE)[None]
    found = _distances(kind, torch.tensor([[point]]), torch.tensor([params]), corners)
    assert found.shape == (1, 1)
    assert float(found) == pytest.approx(expected, abs=3e-6)


def test_the_centre_of_an_ellipsoid_is_inside() -> None:
    assert (
        float(distance.ellipsoid_distance(torch.zeros(1, 1, 3), torch.tensor([PARAMS["ellipsoid"]]))) < -0.1
    )


def test_nothing_is_thinner_than_the_least_half_size() -> None:
    """Whatever sizes a decoder says, a part stays a solid."""
    params = torch.tensor([[-1.0, -1.0, -1.0, -1.0]])
    for kind in ("box", "ellipsoid", "capsule"):
        assert 0 < -float(_distances(kind, torch.full((1, 1, 3), 1e-4), params, torch.zeros(1, 4, 2))) < 0.005
    on_circle = torch.tensor([[[0.3, 0.0, 0.0]]])
    thin = torch.tensor([[0.3, 0.0, 0.0, -1.0]])
    assert float(distance.torus_distance(on_circle, thin)) == pytest.approx(-0.004, abs=2e-6)
    assert float(distance.arc_distance(on_circle, thin)) == pytest.approx(-0.004, abs=2e-6)


@pytest.mark.parametrize("change", ["repeated", "reversed", "rotated"])
def test_how_a_polygon_is_written_does_not_matter(change: str) -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(1, 400, 2, generator=generator) - 0.5
    outline = torch.tensor(CORNER)[None]
    changed = {
        "repeated": torch.cat([outline, outline[:, -1:].expand(1, 5, 2)], 1),
        "reversed": outline.flip(1),
        "rotated": outline.roll(2, 1),
    }[change]
    x, y = points[..., 0], points[..., 1]
    first, second = (distance.polygon_distance(x, y, corners) for corners in (outline, changed))
    assert torch.allclose(first, second, atol=1e-6)
    assert torch.equal(first < 0, (x.abs() < 0.3) & (y.abs() < 0.3) & ((x < 0) | (y < 0)))


def _alone(shape: PackedShape, part: int) -> PackedShape:
    """One part at the origin, neither cut nor blended."""
    kinds, frames, params = (a[part : part + 1].copy() for a in (shape.kinds, shape.frames, shape.params))
    kinds[0, 1] = params[0, 4] = 0
    frames[0, :12] = [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
    return replace(
        shape, kinds=kinds, frames=frames, params=params, materials=shape.materials[part : part + 1]
    )


@pytest.fixture(scope="module")
def program_parts() -> dict[str, list[PackedShape]]:
    """Parts of random shapes of all categories, by kind."""
    found: dict[str, list[PackedShape]] = {kind: [] for kind in layout.KINDS}
    shapes = [make(name, np.random.default_rng([11, i])).shape for name in CATEGORIES for i in range(2)]
    rings, rng = Shape(), np.random.default_rng(12)  # Rare in programs.
    for _ in range(8):
        rings.ring("ring", plain("red", rng), rng.uniform(0.2, 0.4), rng.uniform(0.05, 0.3), (0, 0, 0))
        rings.arc("arc", plain("red", rng), 0.3, rng.uniform(0.05, 0.3), rng.uniform(20, 170), (0, 0, 0))
    for shape in [*shapes, rings.pack()]:
        for part, kind in enumerate(shape.kinds[:, 0]):
            found[layout.KINDS[kind]].append(_alone(shape, part))
    return found


@pytest.mark.parametrize("kind", layout.KINDS)
def test_distances_agree_with_the_compiled_kernels(
    program_parts: dict[str, list[PackedShape]], kind: str
) -> None:
    rng = np.random.default_rng([12, layout.KINDS.index(kind)])
    parts = program_parts[kind]
    assert len(parts) >= 8
    chosen = [parts[i] for i in rng.choice(len(parts), min(len(parts), 40), replace=False)]
    radius = np.array([part.frames[0, 12] for part in chosen])[:, None, None]
    points = (rng.uniform(-1.2, 1.2, (len(chosen), 300, 3)) * radius).astype(np.float32)
    outlines = []
    for part in chosen:
        _, _, first, count = part.kinds[0]
        outline = part.outlines[first : first + count] if count else np.zeros((1, 2), np.float32)
        outlines.append(outline[np.minimum(np.arange(layout.CORNERS), len(outline) - 1)])
    params = np.stack([part.params[0, :4] for part in chosen])
    found = _distances(kind, *(torch.from_numpy(a) for a in (points, params, np.stack(outlines)))).numpy()
    expected = np.stack([label(part, own).distance for part, own in zip(chosen, points)])
    assert np.abs(found - expected).max() < 1e-5
    clear = np.abs(expected) > 1e-4
    assert ((found < 0) == (expected < 0))[clear].all()
    assert (expected < 0).any() and (expected > 0).any()


def _usual(kind: str, count: int, points: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Random points, and parts that stray a little from PARAMS."""
    generator = torch.Generator().manual_seed(layout.KINDS.index(kind))
    local = torch.rand(count, points, 3, generator=generator, dtype=dtype) - 0.5
    params = torch.tensor([PARAMS[kind]] * count, dtype=dtype)
    outline = torch.tensor([_outline(kind)] * count, dtype=dtype)
    for tensor in (params, outline):
        tensor += 0.01 * torch.rand(tensor.shape, generator=generator, dtype=dtype)
    return local.requires_grad_(), params.requires_grad_(), outline.requires_grad_()


@pytest.mark.parametrize("kind", layout.KINDS)
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    assert torch.autograd.gradcheck(
        lambda *inputs: _distances(kind, *inputs), _usual(kind, 1, 8, torch.float64), eps=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("kind", [kind for kind in layout.KINDS if kind != "ellipsoid"])
def test_distances_grow_by_one_per_unit(kind: str) -> None:
    points, params, outline = _usual(kind, 3, 200, torch.float64)
    (slope,) = torch.autograd.grad(_distances(kind, points, params, outline).sum(), points)
    assert torch.allclose(slope.norm(dim=-1), torch.ones(3, 200, dtype=torch.float64), atol=1e-4)


@pytest.mark.parametrize("kind", layout.KINDS)
def test_gradients_are_finite_where_a_distance_has_a_kink(kind: str) -> None:
    """The centre, the axis, faces, edges and corners, and sizes of nothing."""
    places = [(0, 0, 0), (0, 0.1, 0), (0, 0.3, 0), (0, -0.2, 0), (0.3, 0, 0), (0.3, 0.2, 0.1), (0.2, 0, 0.2),
              (0.35, 0.3, 0), (0.65, -0.3, 0), (0, 0, 0.1), (-0.3, 0.3, 0.1)]  # fmt: skip
    sizes = [PARAMS[kind], (0.0, 0.0, 0.0, 1.0)]
    points = torch.tensor([places] * 2, dtype=torch.float32).requires_grad_()
    params = torch.tensor(sizes).requires_grad_()
    outline = torch.tensor([_outline(kind), [(0.0, 0.0)] * len(CORNER)]).requires_grad_()
    found = _distances(kind, points, params, outline)
    gradients = torch.autograd.grad(found.sum(), [points, params, outline], allow_unused=True)
    assert found.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
