"""Loose parts are joined over short gaps, and only over those."""

import numpy as np
import torch

from backend.bridges import Bridges
from tests.backend.test_meshing import ball, box, mesh_of


def _broken_lamp(gap: float):
    """A base, and a shade on a pole that starts `gap` above the base."""
    base = box([0.2, 0.05, 0.2], (0.0, -0.4, 0.0))
    pole = box([0.03, 0.25, 0.03], (0.0, -0.35 + gap + 0.25, 0.0))
    shade = ball(0.12, (0.0, 0.3, 0.0), slope=1.0)
    return lambda p: torch.maximum(torch.maximum(base(p), pole(p)), shade(p))


def test_rod_values_in_closed_form() -> None:
    rod = Bridges(np.array([[[0.0, 0, 0], [0, 1, 0]]]), radius=0.1, slope=10.0)
    points = np.array([[0, 0.5, 0], [0.1, 0.5, 0], [0, 1.3, 0], [0.3, -0.4, 0]], dtype=np.float32)
    assert np.allclose(rod.values(points), [1.0, 0.0, -2.0, -4.0], atol=1e-5)


def test_short_gap_is_bridged() -> None:
    loose = mesh_of(_broken_lamp(0.06), resolution=64, speck_fraction=0.0)
    joined = mesh_of(_broken_lamp(0.06), resolution=64, speck_fraction=0.0, bridge_gap=0.1)
    assert loose.component_count() == 2
    assert joined.component_count() == 1
    assert joined.is_watertight()
    assert 0 < joined.volume() - loose.volume() < 0.06 * 0.06**2
    in_gap = joined.vertices[(joined.vertices[:, 1] > -0.34) & (joined.vertices[:, 1] < -0.30)]
    assert len(in_gap), "there is surface in the gap"


def test_wide_gap_is_left_and_the_smaller_part_removed() -> None:
    function = _broken_lamp(0.2)
    kept = mesh_of(function, resolution=64, speck_fraction=0.02, bridge_gap=0.1)
    assert kept.component_count() == 2, "both are large"
    both = [ball(0.3, slope=1.0), ball(0.05, (0.0, 0.44, 0.0), slope=1.0)]
    apart = mesh_of(lambda p: torch.maximum(both[0](p), both[1](p)), resolution=64, bridge_gap=0.05)
    assert apart.component_count() == 1
    assert abs(apart.bounds[1, 1] - 0.3) < 0.01


def test_three_parts_need_two_rods() -> None:
    def stack(p):
        return torch.stack([box([0.1, 0.05, 0.1], (0.0, y, 0.0))(p) for y in (-0.2, 0.0, 0.2)]).amax(0)

    mesh = mesh_of(stack, resolution=64, bridge_gap=0.15)
    assert mesh.component_count() == 1
    assert mesh.euler_number() == 2, "no loop: the fewest rods"
