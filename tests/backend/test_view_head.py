"""Where an image was taken from: what the head says as cameras, and what it pays for."""

import math

import pytest
import torch
from torch import Tensor

from backend.cameras import look_at
from backend.view_head import DISTANCE, ELEVATION_DEG, ViewHead, view_loss

AZIMUTHS = 8
"""Classes, 45 degrees apart."""
SURE = 40.0


def _logits(*shares: tuple[int, float]) -> Tensor:
    """Logits [1, AZIMUTHS] of shares by class; the rest have none."""
    logits = torch.full((1, AZIMUTHS), -SURE)
    for index, share in shares:
        logits[0, index] = math.log(share)
    return logits


def _head(logits: Tensor, elevation: float, distance: float) -> ViewHead:
    """A head that says the same of all features."""
    head = ViewHead(4, AZIMUTHS)
    with torch.no_grad():
        head.net[-1].weight.zero_()
        head.net[-1].bias.copy_(torch.cat([logits[0], torch.tensor([elevation, distance])]))
    return head


@pytest.mark.parametrize(
    ("shares", "azimuth"),
    [
        ([(3, 1.0)], 135.0),
        ([(3, 0.5), (4, 0.5)], 157.5),
        ([(3, 0.75), (4, 0.25)], 146.25),
        ([(0, 0.75), (7, 0.25)], -11.25),
        ([(2, 0.6), (6, 0.4)], 90.0),
    ],
)
def test_the_camera_stands_between_the_likeliest_azimuth_and_its_neighbours(
    shares: list[tuple[int, float]], azimuth: float
) -> None:
    head = _head(_logits(*shares), 0.5, -1.0)
    camera = head.cameras(torch.rand(1, 4))
    expected = look_at(azimuth, ELEVATION_DEG[0] + 0.5 * ELEVATION_DEG[1], DISTANCE[0] - DISTANCE[1])
    assert torch.allclose(camera.world_mat, expected.world_mat, atol=1e-5)


def test_each_image_has_its_camera_and_none_stands_upside_down() -> None:
    cameras = _head(_logits((1, 1.0)), 100.0, -100.0).cameras(torch.rand(3, 4))
    assert len(cameras) == 3
    expected = look_at(45.0, ELEVATION_DEG[0] + 2 * ELEVATION_DEG[1], DISTANCE[0] - 2 * DISTANCE[1])
    assert torch.allclose(cameras.world_mat, expected.world_mat.expand(3, 4, 4), atol=1e-5)


@pytest.mark.parametrize(
    ("logits", "rest", "true", "loss"),
    [
        (_logits((2, 1.0)), [0.0, 0.0], [90.0, 17.5, 1.7], 0.0),
        (_logits((2, 1.0)), [0.0, 0.0], [-270.0, 17.5, 1.7], 0.0),
        (_logits((2, 0.5), (3, 0.5)), [1.0, -1.0], [112.5, 40.0, 1.5], math.log(2)),
        (_logits((7, 0.75), (0, 0.25)), [0.0, 0.0], [326.25, 17.5, 1.7],
         -0.75 * math.log(0.75) - 0.25 * math.log(0.25)),
        (torch.zeros(1, AZIMUTHS), [0.0, 0.0], [200.0, 17.5, 1.7], math.log(AZIMUTHS)),
        (_logits((2, 1.0)), [0.5, 0.0], [90.0, 17.5, 1.7], 0.25),
        (_logits((2, 1.0)), [0.0, 0.0], [90.0, 17.5, 1.9], 0.5),
        (_logits((2, 1.0)), [0.0, 0.0], [135.0, 17.5, 1.7], SURE),
    ],
)  # fmt: skip
def test_the_loss_is_a_cross_entropy_and_an_absolute_error(
    logits: Tensor, rest: list[float], true: list[float], loss: float
) -> None:
    found = view_loss((logits, torch.tensor([rest])), torch.tensor([true]))
    assert float(found) == pytest.approx(loss, abs=1e-5)
