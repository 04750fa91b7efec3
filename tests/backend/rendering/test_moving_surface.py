"""Implicit gradients: one question gives what two gave, and finite differences of true renderings agree."""

import pytest
import torch
from torch import Tensor

from backend.cameras import Cameras, look_at
from backend.config import RenderSettings
from backend.rendering.implicit import Views, render_views
from backend.rendering.moving_surface import colored_surface, surface_points
from backend.svr.base import Field
from backend.svr.dvr import DvrModel
from backend.svr.imnet import ImnetModel
from backend.svr.triplane import TriplaneSvr


def _dvr() -> DvrModel:
    model = DvrModel(code_size=6, width=24, blocks=2)
    for block in model.decoder.blocks:
        torch.nn.init.normal_(block.fc_1.weight, std=0.2)
    return model


def _triplane() -> TriplaneSvr:
    return TriplaneSvr(
        code_size=6,
        image_size=16,
        width=4,
        widths=(12, 12, 12),
        geometry_channels=4,
        color_channels=2,
        hidden=8,
    )


class Asked(Field):
    """A field that counts its calls."""

    def __init__(self, inner: Field) -> None:
        self.inner = inner
        self.calls: list[str] = []

    def occupancy(self, points: Tensor) -> Tensor:
        self.calls.append("occupancy")
        return self.inner.occupancy(points)

    def color(self, points: Tensor) -> Tensor:
        self.calls.append("color")
        return self.inner.color(points)

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        self.calls.append("both")
        return self.inner.occupancy_and_color(points)

    def __getitem__(self, index: int) -> "Asked":
        return Asked(self.inner[index])

    def detach(self) -> "Asked":
        return Asked(self.inner.detach())


@pytest.mark.parametrize("kind", ["dvr", "triplane", "imnet"])
def test_one_question_gives_what_two_gave(kind: str) -> None:
    torch.manual_seed(0)
    made = {"dvr": _dvr, "triplane": _triplane, "imnet": lambda: ImnetModel(6, 4, (16, 16))}
    model = made[kind]().double().eval().requires_grad_(False)
    code = torch.randn(1, 6, dtype=torch.float64, requires_grad=True)
    origins = torch.rand(1, 40, 3, dtype=torch.float64) - 0.5
    directions = torch.randn(1, 40, 3, dtype=torch.float64)
    depth = 0.1 * torch.rand(1, 40, dtype=torch.float64)
    moving = torch.arange(40)[None] % 5 > 0
    weights = torch.randn(1, 40, 7, dtype=torch.float64)

    def gradient(points: Tensor, depths: Tensor, colors: Tensor) -> Tensor:
        sum_ = (weights * torch.cat([points, depths[..., None], colors], -1)).sum()
        return torch.autograd.grad(sum_, code, retain_graph=True)[0]

    field = Asked(model.field(code))
    points, depths, colors = colored_surface(field, origins, directions, depth, moving)
    assert field.calls == ["both"]
    first, first_depths = surface_points(field, origins, directions, depth, moving)
    second = field.color(first)
    for ours, theirs in ((points, first), (depths, first_depths), (colors, second)):
        assert torch.allclose(ours, theirs, atol=1e-12)
    ours, theirs = gradient(points, depths, colors), gradient(first, first_depths, second)
    assert ours.abs().max() > 1e-3 and torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        field.calls.clear()
        assert torch.allclose(colored_surface(field, origins, directions, depth, moving)[2], second)
    assert field.calls == ["color"]


@pytest.mark.parametrize("shading", ["none", "lambert"])
def test_image_gradients_are_those_of_finite_differences(shading: str) -> None:
    """Of pixels that stay on the same piece of surface; gradients of outlines are not part of the method."""
    torch.manual_seed(1)
    model = _triplane().double().eval().requires_grad_(False)
    model.occupancy_head[-1].weight.mul_(8)
    code = torch.randn(6, dtype=torch.float64)
    camera = look_at([20.0, 140.0], 25.0, 1.8)
    camera = Cameras(camera.world_mat.double(), camera.camera_mat.double())
    with torch.no_grad():  # the iso level at which half of the cube is inside
        level = float(model.field(code[None]).occupancy(torch.rand(1, 500, 3).double() - 0.5).median())
    settings = RenderSettings(
        grid_resolution=0, march_steps=96, secant_steps=32, shading=shading, iso_logit=level
    )

    def views(code: Tensor) -> Views:
        return render_views(model.field(code[None]), camera, 12, settings)

    direction = torch.nn.functional.normalize(torch.randn(6, dtype=torch.float64), dim=0)
    leaf = code.clone().requires_grad_()
    middle = views(leaf)
    with torch.no_grad():
        step = 1e-6
        above, below = views(code + step * direction), views(code - step * direction)
    stays = above.mask & below.mask & middle.mask & ((above.depth - below.depth).abs() < 1e-3)
    difference = (above.rgb - below.rgb) / (2 * step)
    weights = torch.randn(middle.rgb.shape, dtype=torch.float64) * stays[..., None]
    (gradient,) = torch.autograd.grad((weights * middle.rgb).sum(), leaf)
    assert int(stays.sum()) > 50
    assert float(gradient @ direction) == pytest.approx(float((weights * difference).sum()), rel=1e-5)
