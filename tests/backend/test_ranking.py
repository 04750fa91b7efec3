"""Ranking of shape codes: closed forms of the volume measures, fixed cameras, the parts of the total."""

import pytest
import torch
from torch import Tensor

from backend.config import MapperSettings, Stage2Settings
from backend.ranking import Judge, evaluation_cameras, volume_quality
from backend.svr.base import Field
from tests.backend.tiny_bundle import CODE_SIZE, TINY_SETTINGS, tiny_encoder, tiny_svr


def _boxes(*corners: int) -> Tensor:
    """Logits of 3-cell cubes at the given corners of a 16^3 grid."""
    logits = torch.full((16, 16, 16), -20.0)
    for corner in corners:
        logits[corner : corner + 3, corner : corner + 3, corner : corner + 3] = 20.0
    return logits


@pytest.mark.parametrize(
    ("corners", "pieces"), [((2,), 0), ((2, 8), 1), ((2, 6, 11), 2), ((), 1), ((2, 5), 0)]
)
def test_extra_pieces_are_counted(corners: tuple[int, ...], pieces: int) -> None:
    # Cubes at 2 and 5 touch at a corner, which connects them.
    assert volume_quality(_boxes(*corners))[1] == pieces


def test_uncertainty_is_a_quarter_where_nothing_is_known_and_none_where_all_is() -> None:
    assert volume_quality(torch.zeros(4, 4, 4))[0] == pytest.approx(0.25)
    assert volume_quality(_boxes(2))[0] < 1e-8


def test_evaluation_views_are_spread_around_the_shape() -> None:
    settings = Stage2Settings(evaluation_views=4, distance=(1.0, 2.0), elevation_deg=(0.0, 60.0))
    centers = evaluation_cameras(settings).centers()
    assert torch.allclose(centers.norm(dim=1), torch.full((4,), 1.5), atol=1e-5)
    assert torch.allclose(centers[:, 1], torch.full((4,), 0.75), atol=1e-5)  # 1.5 sin 30
    assert torch.allclose(centers[:, [0, 2]].sum(dim=0), torch.zeros(2), atol=1e-5)


@pytest.mark.parametrize("grid_resolution", [0, 16])
def test_the_total_is_the_score_less_weighted_penalties(grid_resolution: int) -> None:
    encoder, svr = tiny_encoder(), tiny_svr()
    feature = encoder.encode_text(["a red chair"])[0]
    render = TINY_SETTINGS.render.replace(grid_resolution=grid_resolution)
    weights = MapperSettings(uncertainty_weight=2.0, pieces_weight=0.5)
    judge = Judge(encoder, svr, feature, stage2=TINY_SETTINGS.stage2, render=render, mapper=weights)
    score = judge(torch.zeros(CODE_SIZE))
    assert score.pieces == 0 and 0 < score.uncertainty < 0.25
    assert score.total == pytest.approx(score.clip - 2.0 * score.uncertainty)
    # A code whose shape is gone (radius 0.3 - 0.5 < 0) has no piece where one is due.
    assert judge(torch.tensor([-10.0, 0.0, 0.0, 0.0])).pieces == 1
    plain = Judge(encoder, svr, feature, stage2=TINY_SETTINGS.stage2, render=render, mapper=MapperSettings())
    assert plain(torch.zeros(CODE_SIZE)).total == pytest.approx(score.clip)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_a_carried_grid_is_refreshed(weight: float) -> None:
    encoder, svr = tiny_encoder(), tiny_svr()
    feature = encoder.encode_text(["a red chair"])[0]
    render = TINY_SETTINGS.render.replace(grid_resolution=32)
    judge = Judge(
        encoder, svr, feature, stage2=TINY_SETTINGS.stage2, render=render,
        mapper=MapperSettings(uncertainty_weight=weight),
    )  # fmt: skip
    near = torch.tensor([0.4, 0.0, 0.0, 0.0])  # radius 0.32 instead of 0.3
    start = judge(torch.zeros(CODE_SIZE))
    built, carried = judge(near), judge(near, start.grid)
    assert carried.clip == pytest.approx(built.clip, abs=1e-5)
    assert carried.total == pytest.approx(built.total, abs=5e-3)
    assert carried.grid.evaluations < 0.4 * built.grid.evaluations
    assert not built.provisional and carried.provisional == (weight > 0)


def test_a_piece_that_a_carried_grid_misses_is_counted_before_the_score_decides() -> None:
    class Growing(Field):
        """A ball, and with a positive first number of the code a second one far from it."""

        def __init__(self, code: Tensor) -> None:
            self.code = code

        def occupancy(self, points: Tensor) -> Tensor:
            first = 0.2 - (points + 0.25).norm(dim=-1)
            second = 0.15 * (self.code[:, :1] > 0) - (points - 0.3).norm(dim=-1)
            return 20 * torch.maximum(first, second)

        def color(self, points: Tensor) -> Tensor:
            return torch.full_like(points, 0.5)

        def __getitem__(self, index: int) -> Field:
            return Growing(self.code[index][None])

        def detach(self) -> Field:
            return self

    class Model:
        spec = tiny_svr().spec
        field = staticmethod(Growing)

    encoder = tiny_encoder()
    judge = Judge(
        encoder, Model(), encoder.encode_text(["a red chair"])[0], stage2=TINY_SETTINGS.stage2,
        render=TINY_SETTINGS.render.replace(grid_resolution=32), mapper=MapperSettings(pieces_weight=0.5),
    )  # fmt: skip
    one, two = torch.zeros(CODE_SIZE), torch.ones(CODE_SIZE)
    start = judge(one)
    missed = judge(two, start.grid)
    assert start.pieces == missed.pieces == 0 and missed.provisional
    sure = judge.confirm(two, missed)
    assert sure.pieces == 1 and sure.total == pytest.approx(missed.clip - 0.5) and not sure.provisional
    assert judge.confirm(two, sure) is sure
    assert torch.equal(sure.grid.logits, judge(two).grid.logits)
