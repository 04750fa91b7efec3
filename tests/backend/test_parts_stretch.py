"""Stretched tables against the shapes that they mean: a point is inside where its unstretched place was."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.bundles import load_bundle
from backend.datasets.procedural.categories import make
from backend.datasets.procedural.part_tables import part_table
from backend.svr import parts_layout as layout
from backend.svr.parts_field import PartsField
from backend.svr.parts_skin import Skin
from backend.svr.parts_stretch import stretched

SQUARE = ((-0.1, -0.15), (0.12, -0.15), (0.12, 0.2), (-0.1, 0.2))
PROFILE = ((0.0, -0.2), (0.15, -0.2), (0.1, 0.2), (0.0, 0.2))
ACROSS, ROUND, SAME = (1.3, 0.7, 0.9), (1.3, 0.7, 1.3), (1.2, 1.2, 1.2)
UPRIGHT, LYING = ((0, 1, 0), (1, 0, 0)), ((1, 0, 0), (0, 0, 1))


def _table(kind: str, params: tuple[float, ...] = (), outline: tuple[tuple[float, float], ...] = (),
           axes: tuple[tuple[int, ...], tuple[int, ...]] = UPRIGHT) -> Tensor:  # fmt: skip
    """Of one part of a kind, a little beside the middle."""
    table = torch.zeros(layout.SLOTS, layout.COLUMNS)
    row = table[0]
    row[layout.EXISTS] = row[layout.KIND.start + layout.KINDS.index(kind)] = row[layout.PATTERN.start] = 1
    row[layout.CENTER] = torch.tensor([0.05, -0.04, 0.02])
    row[layout.AXIS_Y], row[layout.AXIS_X] = torch.tensor(axes, dtype=torch.float32)
    row[layout.PARAMS.start : layout.PARAMS.start + len(params)] = torch.tensor(params)
    if outline:
        corners = [outline[min(i, len(outline) - 1)] for i in range(layout.CORNERS)]
        row[layout.OUTLINE] = torch.tensor(corners).flatten()
    return table


def _logits(table: Tensor, points: Tensor) -> Tensor:
    return PartsField(Skin(), table[None]).occupancy(points[None])[0]


@pytest.mark.parametrize(
    ("table", "factors"),
    [
        (_table("box", (0.2, 0.1, 0.15)), ACROSS),
        (_table("box", (0.2, 0.1, 0.15), axes=LYING), ACROSS),
        (_table("ellipsoid", (0.2, 0.1, 0.15), axes=LYING), ACROSS),
        (_table("prism", (0.1,), SQUARE), ACROSS),
        (_table("prism", (0.1,), SQUARE, axes=LYING), ACROSS),
        (_table("lathe", (), PROFILE), ROUND),
        (_table("cone", (0.2, 0.1, 0.15)), ROUND),
        (_table("cone", (0.2, 0.1, 0.15), axes=((0, 0, 1), (1, 0, 0))), (1.3, 1.3, 0.7)),
        (_table("torus", (0.2, 0.06)), SAME),
        (_table("capsule", (0.1, 0.05, 0.2)), SAME),
        (_table("arc", (0.2, 0.06, 0.8, 0.6)), SAME),
    ],
)
def test_a_part_fills_the_stretched_space(table: Tensor, factors: tuple[float, ...]) -> None:
    points = torch.rand(20000, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    before = _logits(table, points)
    after = _logits(stretched(table, torch.tensor(factors)), points * torch.tensor(factors))
    clear = before.abs() > 1e-3
    assert (before > 0).sum() > 30 and torch.equal(before[clear] > 0, after[clear] > 0)


def test_shapes_of_the_programs_grow_as_a_whole() -> None:
    points = torch.rand(20000, 3, generator=torch.Generator().manual_seed(2)) - 0.5
    factors = torch.tensor([1.1, 0.95, 1.05])
    for name in ("chair", "airplane", "bookshelf", "teapot"):
        table = torch.from_numpy(part_table(make(name, np.random.default_rng(3)).shape))
        before, after = (
            _logits(rows, places) > 0
            for rows, places in ((table, points), (stretched(table, factors), points * factors))
        )
        assert (before & after).sum() > 0.9 * (before | after).sum(), name


def test_factors_of_one_and_what_is_not_there_change_nothing() -> None:
    table = torch.from_numpy(part_table(make("car", np.random.default_rng(4)).shape))
    assert torch.allclose(stretched(table, torch.ones(3)), table, atol=1e-5)
    assert not stretched(torch.zeros_like(table), torch.tensor([1.1, 1.2, 1.3])).any()


def test_paints_stay() -> None:
    table = torch.from_numpy(part_table(make("lamp", np.random.default_rng(5)).shape))
    paint = slice(layout.PATTERN.start, layout.COLUMNS)
    assert torch.equal(stretched(table, torch.tensor([1.1, 1.2, 1.3]))[:, paint], table[:, paint])


@torch.no_grad()
def test_codes_of_the_starter_follow() -> None:
    """In the mean, and not all the way: what the decoder takes for no shape of its own stays out."""
    svr = load_bundle("starter").svr
    axis = torch.linspace(-0.6, 0.6, 97)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    factors = torch.tensor([0.85, 0.9, 1.12])

    def size(code: Tensor) -> Tensor:
        solid = (svr.field(code[None]).occupancy(points.reshape(1, -1, 3))[0] > 0).reshape(97, 97, 97)
        return points[solid].amax(0) - points[solid].amin(0)

    followed = []
    for name, seed in itertools.product(("cabinet", "table", "bed"), range(3)):
        table = torch.from_numpy(part_table(make(name, np.random.default_rng(seed)).shape))
        code = svr.encode_parts(table[None])[0]
        followed.append((size(svr.stretched(code, factors)) / size(code) - 1) / (factors - 1))
    mean = torch.stack(followed).mean(0)
    assert ((mean > 0.4) & (mean < 1.1)).all(), followed
