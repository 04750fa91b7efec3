"""Expected overlaps against closed forms: of octahedra in one another, IoU is the ratio of the volumes."""

import pytest
import torch
from torch import Tensor

from backend.consensus import expected_overlaps
from tests.backend.tiny_bundle import CODE_SIZE, RADIUS, tiny_svr

RADII = torch.tensor([0.3, 0.36, 0.45])
IOU = (torch.minimum(RADII[:, None], RADII) / torch.maximum(RADII[:, None], RADII)) ** 3


def _codes(radii: Tensor) -> Tensor:
    codes = torch.zeros(len(radii), CODE_SIZE)
    codes[:, 0] = (radii - RADIUS) / 0.05
    return codes


@pytest.mark.parametrize("rank", [(0.0, 0.0, 0.0), (1.5, 0.0, 0.5), (-3.0, -3.0, -2.0)])
def test_overlaps_are_weighed_by_chances(rank: tuple[float, ...]) -> None:
    found = expected_overlaps(tiny_svr(), _codes(RADII), torch.tensor(rank))
    chance = torch.tensor([2 * r for r in rank]).exp()
    assert torch.allclose(found, IOU @ (chance / chance.sum()), atol=0.06)  # a cell is a tenth of a radius


def test_between_equal_ranks_the_middle_shape_is_expected_to_overlap_most() -> None:
    assert expected_overlaps(tiny_svr(), _codes(RADII), torch.zeros(3)).argmax() == 1


def test_a_shape_that_is_surely_right_overlaps_itself() -> None:
    found = expected_overlaps(tiny_svr(), _codes(RADII), torch.tensor([0.0, 0.0, 50.0]))
    assert torch.allclose(found, IOU[2], atol=0.06) and found[2] == pytest.approx(1)


def test_empty_shapes_overlap_nothing() -> None:
    found = expected_overlaps(tiny_svr(), _codes(torch.tensor([-0.1, -0.1, 0.4])), torch.zeros(3))
    assert found[:2].tolist() == [0, 0] and found[2] == pytest.approx(1 / 3)
