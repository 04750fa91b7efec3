"""The field of a table of parts: the programs' own solids and colours, unions by hand, what stage 3 tunes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.part_tables import part_table
from backend.datasets.procedural.shape import PackedShape
from backend.datasets.procedural.views import label
from backend.svr import parts_field
from backend.svr import parts_layout as layout
from backend.svr.parts_field import SOFTNESS, PartsField
from backend.svr.parts_skin import Skin

RED, BLUE, GREEN = (0.9, 0.1, 0.1), (0.1, 0.2, 0.9), (0.1, 0.8, 0.2)
UP, ASIDE = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def skin() -> Skin:
    return Skin()


def _part(kind: str, params: tuple[float, ...], at: tuple[float, float, float] = (0, 0, 0), *,
          exists: float = 5.0, cut: float = -5.0, blend: float = 0.0, axis_y: tuple[float, ...] = UP,
          axis_x: tuple[float, ...] = ASIDE, outline: tuple[tuple[float, float], ...] = (),
          pattern: str = "plain", colors: tuple[tuple[float, ...], tuple[float, ...]] = (RED, RED),
          scale: float = 0.15) -> Tensor:  # fmt: skip
    """A row with logits, as a decoder says it."""
    row = torch.zeros(layout.COLUMNS)
    row[layout.EXISTS], row[layout.CUT], row[layout.BLEND], row[layout.SCALE] = exists, cut, blend, scale
    row[layout.KIND.start + layout.KINDS.index(kind)] = 3.0
    row[layout.PATTERN.start + layout.PATTERNS.index(pattern)] = 3.0
    row[layout.CENTER], row[layout.AXIS_Y], row[layout.AXIS_X] = map(torch.tensor, (at, axis_y, axis_x))
    row[layout.PARAMS] = torch.tensor([*params, *([0.0] * (4 - len(params)))])
    row[layout.COLOR_A], row[layout.COLOR_B] = map(torch.tensor, colors)
    if outline:
        corners = [*outline, *([outline[-1]] * (layout.CORNERS - len(outline)))]
        row[layout.OUTLINE] = torch.tensor(corners).flatten()
    return row


def _rows(*parts: Tensor) -> Tensor:
    """Rows [1, SLOTS, COLUMNS] whose other slots are empty."""
    rows = torch.zeros(1, layout.SLOTS, layout.COLUMNS)
    rows[..., layout.EXISTS] = -5.0
    rows[0, : len(parts)] = torch.stack(parts)
    return rows


def _ball(radius: float, at: tuple[float, float, float] = (0, 0, 0), **more: object) -> Tensor:
    return _part("ellipsoid", (radius, radius, radius), at, **more)  # type: ignore[arg-type]


def _distance(field: PartsField, *points: tuple[float, float, float]) -> list[float]:
    with torch.no_grad():
        return (-SOFTNESS * field.occupancy(torch.tensor([points]))[0]).tolist()


def _near(*expected: float) -> object:
    return pytest.approx(expected, abs=1e-5)


def _program_field(skin: Skin, shape: PackedShape) -> PartsField:
    table = torch.from_numpy(part_table(shape))
    for column in (layout.EXISTS, layout.CUT):
        table[:, column] = 2 * table[:, column] - 1
    return PartsField(skin, table[None])


@pytest.mark.parametrize("name", list(CATEGORIES))
def test_a_table_says_the_solid_and_the_plain_colours_of_its_program(skin: Skin, name: str) -> None:
    for number in range(2):
        rng = np.random.default_rng([21, number])
        shape = make(name, rng).shape
        materials = shape.materials.copy()
        materials[:, 0] = layout.PATTERNS.index("plain")
        materials[:, 1:4] = rng.uniform(0, 1, (len(materials), 3))  # Told apart.
        shape = replace(shape, materials=materials)
        field = _program_field(skin, shape)
        points = rng.uniform(-0.5, 0.5, (2000, 3)).astype(np.float32)
        expected = label(shape, points)
        with torch.no_grad():
            logits, colors = field.occupancy_and_color(torch.from_numpy(points)[None])
            each = field.parts[0].distances(torch.from_numpy(points)).abs().numpy()
        found = -SOFTNESS * logits[0].numpy()
        clear = np.abs(expected.distance) > 1e-4
        assert ((found < 0) == (expected.distance < 0))[clear].all()
        # The axis of a lathe is a surface to the kernels; here it is not.
        near = (np.abs(found) < 0.02) & (_to_lathe_axes(shape, points) > 0.03)
        assert near.sum() > 20
        assert np.abs(found - expected.distance)[near].max() < 1e-4
        # Of parts that are equally near (some are made twice) either may be named. Where a part's surface is
        # not the shape's (of a cut, in a joint), it still gives its colour to what is nearest; not so there.
        second = np.partition(each, 1, axis=0)[1] if len(each) > 1 else np.inf
        clear = near & (second - each.min(0) > 1e-4) & (np.abs(np.abs(found) - each.min(0)) < 1e-5)
        assert clear.sum() > 10
        assert np.abs(colors[0].numpy() - expected.rgb)[clear].max() < 1e-3


def _to_lathe_axes(shape: PackedShape, points: np.ndarray) -> np.ndarray:
    """[P]: how far points are from the nearest axis of a lathe."""
    found = np.full(len(points), np.inf)
    for kind, frame in zip(shape.kinds[:, 0], shape.frames):
        if layout.KINDS[kind] == "lathe":
            local = (points - frame[9:12]) @ frame[:9].reshape(3, 3)
            found = np.minimum(found, np.hypot(local[:, 0], local[:, 2]))
    return found


def test_parts_are_joined(skin: Skin) -> None:
    field = PartsField(skin, _rows(_ball(0.1, (-0.2, 0, 0)), _part("box", (0.1, 0.1, 0.1), (0.2, 0, 0))))
    assert field.parts[0].kinds == ("ellipsoid", "box")
    assert _distance(field, (-0.2, 0.13, 0), (0.2, 0.13, 0), (0.08, 0, 0)) == _near(0.03, 0.03, 0.02)


def test_a_frame_turns_its_part(skin: Skin) -> None:
    """Axes need be neither unit nor square: y is kept, x follows."""
    bar = _part("box", (0.1, 0.3, 0.05), (0, 0, 0.1), axis_y=(2, 0, 0), axis_x=(0.5, 0, 3))
    found = _distance(PartsField(skin, _rows(bar)), (0.33, 0, 0.1), (0, 0.08, 0.1), (0, 0, 0.23))
    assert found == _near(0.03, 0.03, 0.03)
    # x is no direction, as of parts that are round about y.
    rod = _part("capsule", (0.1, 0.1, 0.3), axis_y=(0, 0, 1), axis_x=(0, 0, 0.5))
    assert _distance(PartsField(skin, _rows(rod)), (0, 0, 0.43), (0, 0.13, 0.1)) == _near(0.03, 0.03)


def test_cuts_and_parts_come_in_order(skin: Skin) -> None:
    body, hole, plug = _ball(0.4), _part("cone", (0.1, 0.1, 0.5, 0), cut=5.0), _ball(0.05)
    points = (0, 0, 0), (0.2, 0, 0), (0, 0.2, 0)
    hollow = _distance(PartsField(skin, _rows(body, hole)), *points)
    assert hollow[0] == pytest.approx(0.1, abs=1e-5)
    assert hollow[1] < 0 < hollow[2]
    plugged = _distance(PartsField(skin, _rows(body, hole, plug)), (0.001, 0, 0), *points[1:])
    assert plugged[0] < 0 and plugged[1] < 0 < plugged[2]
    # A cut takes nothing from what comes after it.
    whole = _distance(PartsField(skin, _rows(hole, body)), *points[1:])
    assert whole == _distance(PartsField(skin, _rows(body)), *points[1:])


def test_nothing_but_a_cut_is_nothing(skin: Skin) -> None:
    assert _distance(PartsField(skin, _rows(_ball(0.4, cut=5.0))), (0.1, 0, 0))[0] > 0.5


def test_a_blend_fills_the_joint(skin: Skin) -> None:
    first = _ball(0.2, (-0.25, 0, 0))
    joined, blended = (
        PartsField(skin, _rows(first, _ball(0.2, (0.25, 0, 0), blend=blend))) for blend in (0.0, 0.12)
    )
    # Both balls are 0.05 away in the middle: a quarter of the blend is filled. Nothing beyond it.
    assert _distance(joined, (0, 0, 0), (0.5, 0, 0)) == _near(0.05, 0.05)
    assert _distance(blended, (0, 0, 0), (0.5, 0, 0)) == _near(0.02, 0.05)
    # The joint is with what is there already.
    after = PartsField(skin, _rows(_ball(0.2, (-0.25, 0, 0), blend=0.12), _ball(0.2, (0.25, 0, 0))))
    assert _distance(after, (0, 0, 0)) == _near(0.05)


def test_a_lathe_has_no_surface_on_its_axis(skin: Skin) -> None:
    outline = ((0.0, -0.3), (0.2, -0.3), (0.2, 0.3), (0.0, 0.3))
    field = PartsField(skin, _rows(_part("lathe", (), outline=outline)))
    points = (0, 0, 0), (0.05, 0, 0), (0, 0.4, 0), (0.3, 0, 0)
    assert _distance(field, *points) == pytest.approx([-0.2, -0.15, 0.1, 0.1], abs=1e-5)


def test_last_corners_that_lie_together_are_one(skin: Skin) -> None:
    """A decoder repeats the last corner only nearly."""
    generator = torch.Generator().manual_seed(2)
    outline = ((-0.2, -0.2), (0.2, -0.2), (0.2, 0.2), (-0.2, 0.2))
    exact = _part("prism", (0.1, 0.0), outline=outline)
    shaky = exact.clone()
    shaky[layout.OUTLINE][8:] += 0.004 * (torch.rand(2 * layout.CORNERS - 8, generator=generator) - 0.5)
    points = torch.rand(1, 500, 3, generator=generator) - 0.5
    found, expected = (PartsField(skin, _rows(part)).occupancy(points) for part in (shaky, exact))
    assert torch.allclose(found * SOFTNESS, expected * SOFTNESS, atol=0.005)


def test_a_table_without_a_part_still_says_the_likeliest(skin: Skin) -> None:
    rows = _rows(_ball(0.1, exists=-3.0), _ball(0.3, exists=-0.5), _ball(0.2, exists=-1.0))
    field = PartsField(skin, rows)
    assert len(field.parts[0].kinds) == 1
    assert _distance(field, (0.33, 0, 0)) == _near(0.03)


@pytest.mark.parametrize("pattern", layout.PATTERNS)
def test_patterns_stay_between_their_two_colours(skin: Skin, pattern: str) -> None:
    points = 0.6 * torch.rand(1, 2000, 3, generator=torch.Generator().manual_seed(3)) - 0.3
    field = PartsField(skin, _rows(_ball(0.6, pattern=pattern, colors=(RED, BLUE))))
    color = field.color(points)[0]
    first, second = torch.tensor(RED), torch.tensor(BLUE)
    share = (color - first) @ (second - first) / (second - first).square().sum()
    assert float(share.min()) > -1e-5 and float(share.max()) < 1 + 1e-5
    assert torch.allclose(color, first + share[:, None] * (second - first), atol=1e-5)
    if pattern == "plain":
        assert torch.equal(color, first.expand_as(color))
    else:
        assert float(share.max() - share.min()) > 0.3


def test_the_last_of_equally_near_parts_gives_the_colour(skin: Skin) -> None:
    """A label is put on what it lies on. Colours that no screen has are drawn into its range."""
    base = _part("box", (0.2, 0.2, 0.2), colors=(RED, RED))
    panel = _part("box", (0.1, 0.1, 0.2), colors=((1.4, -0.3, 0.5), RED))
    color = PartsField(skin, _rows(base, panel)).color(torch.tensor([[[0.0, 0, 0.2], [0.19, 0, 0.2]]]))[0]
    assert torch.allclose(color, torch.tensor([[1.0, 0.0, 0.5], RED]))


def test_colours_fade_to_white_outside(skin: Skin) -> None:
    field = PartsField(skin, _rows(_ball(0.2, colors=(RED, RED)), _ball(0.1, cut=5.0, colors=(BLUE, BLUE))))
    middle = (parts_field.WHITE_FROM + parts_field.WHITE_AT) / 2
    places = [0.16, 0.2 + 0.9 * parts_field.WHITE_FROM, 0.2 + middle, 0.201 + parts_field.WHITE_AT, 0.5]
    color = field.color(torch.tensor([[[0.0, place, 0.0] for place in places]]))[0]
    red, white = torch.tensor(RED), torch.ones(3)
    assert torch.allclose(color, torch.stack([red, red, (red + white) / 2, white, white]), atol=1e-5)


def test_all_that_is_far_outside_is_white(skin: Skin) -> None:
    """Around a rod whose ball is much wider than itself."""
    points = torch.rand(1, 4000, 3, generator=torch.Generator().manual_seed(8)) - 0.5
    color = PartsField(skin, _rows(_part("cone", (0.05, 0.05, 0.35, 0.0)))).color(points)[0]
    beside, above = points[0, :, ::2].norm(dim=-1) - 0.05, points[0, :, 1].abs() - 0.35
    far = torch.maximum(beside, above) > parts_field.WHITE_AT
    assert far.sum() > 2000
    assert torch.equal(color[far], torch.ones_like(color[far]))


def _vague_rows(count: int) -> Tensor:
    """As an untrained decoder says them: sizes of either sign, frames askew, outlines that cross."""
    rows = torch.randn(1, layout.SLOTS, layout.COLUMNS, generator=torch.Generator().manual_seed(6))
    for columns, size in ((layout.CENTER, 0.25), (layout.PARAMS, 0.15), (layout.OUTLINE, 0.15)):
        rows[..., columns] *= size
    rows[..., layout.BLEND] *= 0.05
    rows[..., layout.EXISTS] = torch.where(torch.arange(layout.SLOTS) < count, 5.0, -5.0)
    return rows


def test_what_is_far_is_only_bounded(skin: Skin) -> None:
    """The balls around parts change neither inside and outside nor any distance that is small."""
    points = torch.rand(1, 3000, 3, generator=torch.Generator().manual_seed(7)) - 0.5
    rows = _vague_rows(24)
    near = parts_field.NEAR
    whole = PartsField(skin, rows).occupancy(points)
    each = PartsField(skin, rows).parts[0].distances(points[0])
    parts = PartsField(skin, rows).parts[0]
    exact = parts.distances(points[0], reach=1e9)
    assert torch.equal(whole[0] > 0, parts.union(exact) < 0)
    assert 0.05 < float((whole > 0).float().mean()) < 0.95
    skipped = each != exact
    assert skipped.any() and float(each[skipped].min()) >= near
    # Distances of ellipsoids are bounds themselves, and nothing is thinner than the least half size.
    proper = torch.tensor([kind != "ellipsoid" for kind in PartsField(skin, rows).parts[0].kinds])
    assert (each[proper] < exact[proper] + 0.01).all()
    assert torch.allclose(
        each[proper][exact[proper] < near - 0.01], exact[proper][exact[proper] < near - 0.01]
    )


@pytest.fixture
def rows() -> Tensor:
    """Two shapes: a patterned box with a hole and a lathe upon it, and a blue ball."""
    outline = ((0.0, 0.2), (0.15, 0.2), (0.1, 0.4), (0.0, 0.4))
    first = _rows(
        _part("box", (0.3, 0.2, 0.25, 0.02), colors=(RED, BLUE), pattern="stripes"),
        _part("cone", (0.1, 0.12, 0.5, 0.01), cut=5.0, axis_y=(0, 0.1, 1), colors=(GREEN, GREEN)),
        _part("lathe", (), outline=outline, blend=0.03, colors=(BLUE, BLUE)),
    )
    return torch.cat([first, _rows(_ball(0.3, (0.1, 0, 0), colors=(BLUE, BLUE)))])


@pytest.fixture
def points() -> Tensor:
    return (torch.rand(2, 800, 3, generator=torch.Generator().manual_seed(4)) - 0.5) * 0.9


def test_a_batch_keeps_shapes_apart(skin: Skin, rows: Tensor, points: Tensor) -> None:
    field = PartsField(skin, rows)
    occupancy, color = field.occupancy_and_color(points)
    assert occupancy.shape == (2, 800) and color.shape == (2, 800, 3)
    assert torch.equal(field.occupancy(points), occupancy) and torch.equal(field.color(points), color)
    for i in range(2):
        own = points[i : i + 1]
        assert torch.equal(field[i].occupancy(own)[0], occupancy[i])
        assert torch.equal(PartsField(skin, rows[i : i + 1]).color(own)[0], color[i])


def test_a_detached_field_carries_no_graph(skin: Skin, rows: Tensor, points: Tensor) -> None:
    field = PartsField(skin, rows.requires_grad_())
    occupancy, color = field.occupancy_and_color(points)
    assert occupancy.requires_grad and color.requires_grad
    detached = field.detach()
    assert not detached.rows.requires_grad
    for found, expected in zip(detached.occupancy_and_color(points), (occupancy, color)):
        assert not found.requires_grad and torch.equal(found, expected)
    assert not detached[1].occupancy(points[1:]).requires_grad


def test_moving_a_part_moves_its_surface(skin: Skin) -> None:
    """A point above a box: its logit grows as the box rises, and not as it goes aside."""
    rows = _rows(_part("box", (0.2, 0.2, 0.2))).requires_grad_()
    logit = PartsField(skin, rows).occupancy(torch.tensor([[[0.05, 0.3, 0.0]]])).sum()
    (gradient,) = torch.autograd.grad(logit, rows)
    assert torch.allclose(gradient[0, 0, layout.CENTER] * SOFTNESS, torch.tensor([0.0, 1, 0]), atol=1e-4)
    assert torch.allclose(gradient[0, 0, layout.PARAMS] * SOFTNESS, torch.tensor([0.0, 1, 0, 0]), atol=1e-4)
    assert not gradient[0, 1:].any()


def test_the_tuned_tensors_give_the_field_back(skin: Skin, rows: Tensor, points: Tensor) -> None:
    for i in range(2):
        field, own = PartsField(skin, rows)[i], points[i : i + 1]
        assert torch.equal(field.evaluate("occupancy", field.tensors("occupancy"), own), field.occupancy(own))
        painted = field.evaluate("color", field.tensors("color"), own)
        assert painted.shape == (1, 800, 3)
        assert float((painted - field.color(own)).detach().abs().max()) < 0.0101, (
            "colours are kept off 0 and 1"
        )
        assert torch.allclose(painted, field.color(own).clamp(0.01, 0.99), atol=1e-5)


def test_tuned_tensors_change_their_own_part_only(skin: Skin, rows: Tensor, points: Tensor) -> None:
    field, own = PartsField(skin, rows)[0], points[:1]
    solid, paint = (
        {name: tensor.detach().clone() for name, tensor in field.tensors(part).items()}
        for part in ("occupancy", "color")
    )
    occupancy, painted = field.occupancy(own), field.evaluate("color", paint, own)
    nearest = field.parts[0].distances(own[0]).abs().flip(0).argmin(0)
    lathe = (nearest == 0) & (occupancy[0] > 0)
    others = nearest > 0
    assert lathe.sum() > 5 and others.sum() > 100

    solid["center"] = solid["center"] + torch.tensor([0.1, 0.0, 0.0])
    shifted = own + torch.tensor([0.1, 0.0, 0.0])
    assert torch.allclose(field.evaluate("occupancy", solid, shifted), occupancy, atol=1e-3)

    paint["colors"][2] = torch.tensor(GREEN)
    repainted = field.evaluate("color", paint, own)
    assert torch.equal(repainted[0, others], painted[0, others])
    assert torch.allclose(repainted[0, lathe], torch.tensor(GREEN), atol=1e-5)

    # The skin: a corner of the cube in a plane changes what lies there, and nothing else.
    paint = {name: tensor.detach().clone() for name, tensor in field.tensors("color").items()}
    paint["head.4.weight"] += 0.1  # Nothing comes through a layer of zeros.
    before = field.evaluate("color", paint, own)
    paint["planes"][0, :, 32:, 32:] = 3.0  # x > 0, y > 0
    changed = (field.evaluate("color", paint, own) - before).abs().amax(-1)[0] > 1e-4
    away = (own[0, :, :2] < -0.02).any(-1)
    assert not changed[away].any() and changed[~away].float().mean() > 0.5

    # None of it touched the field's own.
    assert torch.equal(field.occupancy(own), occupancy)
    assert torch.allclose(field.color(own), painted, atol=0.0101)


def test_gradients_reach_all_that_is_tuned(skin: Skin, rows: Tensor, points: Tensor) -> None:
    field = PartsField(skin, rows)[0]
    for part in ("occupancy", "color"):
        tuned = {name: t.detach().clone().requires_grad_() for name, t in field.tensors(part).items()}
        found = field.evaluate(part, tuned, points[:1])
        weights = torch.rand(found.shape, generator=torch.Generator().manual_seed(5))
        gradients = torch.autograd.grad((found * weights).sum(), list(tuned.values()))
        for name, gradient in zip(tuned, gradients):
            assert gradient.isfinite().all(), name
            # Behind the last layer, which is zero, there is nothing to tune at first.
            skin_below = name == "planes" or name.startswith(("head.0", "head.2"))
            assert bool(gradient.any()) == (not skin_below), name


def test_the_same_skin_is_made_again() -> None:
    first, again = Skin().state_dict(), Skin().state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
