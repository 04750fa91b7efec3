"""Implicit rendering: closed forms, the reference's images and gradients, fast against dense."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.cameras import Cameras, look_at
from backend.config import RenderSettings
from backend.rendering.implicit import render_views, trace
from backend.rendering.moving_surface import surface_points
from backend.rendering.occupancy_grid import build_grid, refresh_grid
from backend.rendering.shading import AMBIENT, head_lights, surface_normals
from backend.rendering.surface import cube_span, march_densely
from backend.svr.base import Field
from backend.svr.dvr import DvrField, DvrModel

DENSE = RenderSettings(grid_resolution=0)


class Balls(Field):
    """Union of balls (x, y, z, radius) [B, N, 4]; logit 20 * depth in the nearest, colour 0.5 + point."""

    def __init__(self, balls: Tensor) -> None:
        self.balls = balls
        self.asked = 0

    def occupancy(self, points: Tensor) -> Tensor:
        self.asked += points[..., 0].numel()
        reach = (points[:, :, None] - self.balls[:, None, :, :3]).norm(dim=-1)
        return (20 * (self.balls[:, None, :, 3] - reach)).amax(-1)

    def color(self, points: Tensor) -> Tensor:
        return 0.5 + points

    def __getitem__(self, index: int) -> "Balls":
        return Balls(self.balls[index][None])

    def detach(self) -> "Balls":
        return Balls(self.balls.detach())


def _ball(*rows: tuple[float, float, float, float]) -> Balls:
    return Balls(torch.tensor([rows]))


@pytest.mark.parametrize("resolution", [0, 32, 64])
def test_a_ball_is_where_it_is(resolution: int) -> None:
    camera = look_at(0.0, 0.0, 2.0)
    views = render_views(_ball((0, 0, 0, 0.4)), camera, 41, DENSE.replace(grid_resolution=resolution))
    assert views.depth[0, 20, 20].item() == pytest.approx(1.6, abs=1e-4)
    assert views.rgb[0, 20, 20].tolist() == pytest.approx([0.5, 0.5, 0.9], abs=1e-3)
    assert views.rgb[0, 0, 0].tolist() == [1, 1, 1] and views.depth[0, 0, 0].item() == math.inf
    origins, directions = camera.rays(41, 41)
    # A ray hits where it passes the centre nearer than the radius.
    passing = torch.linalg.cross(origins, directions).norm(dim=-1) / directions.norm(dim=-1)
    sure = (passing - 0.4).abs() > 2e-3
    assert torch.equal(views.mask[sure], (passing < 0.4)[sure])
    # Depth by the ray-ball intersection.
    a, b = directions.square().sum(-1), (origins * directions).sum(-1)
    exact = (-b - (b**2 - a * (origins.square().sum(-1) - 0.16)).clamp(min=0).sqrt()) / a
    inner = passing < 0.39
    assert (views.depth - exact)[inner].abs().max() < 5e-4


@pytest.mark.parametrize("resolution", [0, 32])
def test_the_surface_moves_with_the_shape(resolution: int) -> None:
    balls = torch.tensor([[[0.0, 0, 0, 0.4]]], requires_grad=True)
    views = render_views(Balls(balls), look_at(0.0, 0.0, 2.0), 21, DENSE.replace(grid_resolution=resolution))
    (gradient,) = torch.autograd.grad(views.depth[0, 10, 10], balls, retain_graph=True)
    # Growing the ball brings the front nearer; moving it towards the camera does too; sideways does nothing.
    assert gradient[0, 0].tolist() == pytest.approx([0, 0, -1, -1], abs=1e-3)
    # The colour follows the moving point: blue is 0.5 + z.
    (gradient,) = torch.autograd.grad(views.rgb[0, 10, 10, 2], balls)
    assert gradient[0, 0, 3].item() == pytest.approx(1, abs=1e-3)


def test_implicit_gradient_equals_a_finite_difference() -> None:
    camera, settings = look_at(30.0, 20.0, 1.9), DENSE.replace(secant_steps=20)

    def mean_color(radius: float) -> tuple[float, float]:
        balls = torch.tensor([[[0.05, 0.1, 0, radius]]], dtype=torch.float64, requires_grad=True)
        double = Cameras(camera.world_mat.double(), camera.camera_mat.double())
        origins, directions = (r.reshape(1, -1, 3) for r in double.rays(9, 9))
        inner = torch.linalg.cross(origins - balls[:, :, :3].detach(), directions).norm(dim=-1)
        inner = inner / directions.norm(dim=-1) < 0.3
        points, _, _ = trace(Balls(balls), origins, directions, settings)
        value = points[inner].sum()
        return value.item(), torch.autograd.grad(value, balls)[0][0, 0, 3].item()

    _, gradient = mean_color(0.35)
    difference = (mean_color(0.3501)[0] - mean_color(0.3499)[0]) / 0.0002
    assert gradient == pytest.approx(difference, rel=1e-4)


def test_grid_equals_dense_where_parts_hide_each_other() -> None:
    field = _ball((0, 0, 0, 0.2), (0.25, 0.1, 0.2, 0.08), (-0.3, -0.3, 0.1, 0.06), (0.1, 0.35, -0.2, 0.1))
    cameras = look_at([20, 100, 250], [10, 30, -20], 1.8)
    dense = render_views(field, cameras, 48, DENSE)
    fast = render_views(field, cameras, 48, RenderSettings())
    assert (fast.mask != dense.mask).float().mean() < 1e-3
    both = fast.mask & dense.mask
    assert ((fast.depth - dense.depth)[both].abs() > 2e-3).float().mean() < 2e-3
    assert _psnr(fast.rgb, dense.rgb) > 40


def test_a_carried_grid_saves_evaluations_and_reports_drift() -> None:
    cameras = look_at([0, 120, 240], 15, 1.8)
    first = render_views(_ball((0, 0, 0, 0.3)), cameras, 64, RenderSettings())
    again = render_views(_ball((0, 0, 0, 0.3)), cameras, 64, RenderSettings(), grid=first.grid)
    assert torch.equal(first.mask, again.mask) and torch.equal(first.rgb, again.rgb)
    assert again.evaluations == first.evaluations - first.grid.evaluations
    assert again.evaluations <= 5 * int(again.mask.sum())
    # A shape that moved by a third of a cell is still found exactly, with the grid of the old one.
    moved = _ball((0.01, 0, 0, 0.305))
    stale = render_views(moved, cameras, 64, RenderSettings(), grid=first.grid)
    fresh = render_views(moved, cameras, 64, RenderSettings())
    assert (stale.mask != fresh.mask).float().mean() < 2e-3
    assert _psnr(stale.rgb, fresh.rgb) > 35
    assert stale.grid_drift > 3 * first.grid_drift


def test_a_refreshed_grid_follows_the_shape_cheaply() -> None:
    first = build_grid(_ball((0, 0, 0, 0.3)), 32)
    moved = _ball((0.02, 0, 0, 0.31))
    again, fresh = refresh_grid(moved, first), build_grid(moved, 32)
    assert again.evaluations < 0.2 * first.evaluations
    near = fresh.logits.abs() < 0.2
    assert torch.allclose(again.logits[near], fresh.logits[near], atol=1e-4)
    assert torch.equal(first.logits, build_grid(_ball((0, 0, 0, 0.3)), 32).logits)


def test_a_refreshed_grid_follows_a_shape_that_moved_by_three_cells() -> None:
    first = build_grid(_ball((0, 0, 0, 0.3)), 32)
    moved = _ball((0.1, 0, 0, 0.3))
    again, fresh = refresh_grid(moved, first), build_grid(moved, 32)
    near = fresh.logits.abs() < 0.2
    assert torch.allclose(again.logits[near], fresh.logits[near], atol=1e-4)
    assert torch.equal(again.logits > 0, fresh.logits > 0)


def test_evaluations_are_counted() -> None:
    field = _ball((0, 0, 0, 0.3))
    field.detach = lambda: field  # count what the search asks, too
    views = render_views(field, look_at(0, 0, 1.8), 32, RenderSettings())
    # Occupancy and colour of a hit are one question.
    assert views.evaluations == field.asked


@pytest.mark.parametrize("resolution", [0, 32])
def test_nothing_and_everything(resolution: int) -> None:
    settings = DENSE.replace(grid_resolution=resolution)
    empty = render_views(_ball((0, 0, 0, -1.0)), look_at(0, 0, 2), 12, settings, background=0.25)
    assert not empty.mask.any() and (empty.rgb == 0.25).all()
    # A shape that fills the cube is hit at the padded cube's face, and cannot move there.
    balls = torch.tensor([[[0.0, 0, 0, 5.0]]], requires_grad=True)
    full = render_views(Balls(balls), look_at(0, 0, 2), 13, settings)
    assert full.depth[0, 6, 6].item() == pytest.approx(2 - 0.55, abs=1e-5)
    (gradient,) = torch.autograd.grad(full.depth[full.mask].sum(), balls, allow_unused=True)
    assert gradient is None or gradient.abs().max() == 0


def test_iso_level_shifts_the_surface() -> None:
    for resolution in (0, 32):
        settings = RenderSettings(grid_resolution=resolution, iso_logit=2.0)
        views = render_views(_ball((0, 0, 0, 0.4)), look_at(0, 0, 2), 21, settings)
        assert views.depth[0, 10, 10].item() == pytest.approx(1.7, abs=1e-3)  # logit 2 lies 0.1 inside


def test_backgrounds() -> None:
    field, camera = _ball((0, 0, 0, 0.3)), look_at([0, 90], 0, 2)
    red = torch.tensor([1.0, 0.0, 0.0])
    per_view = torch.stack([red, 1 - red])[:, None, None]
    views = render_views(field, camera, 20, RenderSettings(), background=per_view, background_stride=1)
    assert views.rgb[0, 0, 0].tolist() == [1, 0, 0] and views.rgb[1, 0, 0].tolist() == [0, 1, 1]
    # The field's own background is its colour at camera depth 1.
    origins, directions = camera.rays(20, 20)
    assert torch.allclose(views.background_rgb[0, 0, 0], 0.5 + (origins + directions)[0, 0, 0])
    assert torch.equal(views.background_mask, views.mask) and (views.background_rgb[views.mask] == 1).all()
    sparse = render_views(field, camera, 20, RenderSettings(), background_stride=4)
    assert torch.equal(sparse.background_rgb, views.background_rgb[:, ::4, ::4])


def test_normals_and_head_light() -> None:
    field = _ball((0, 0, 0, 0.4))
    points = 0.4 * torch.nn.functional.normalize(
        torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    assert torch.allclose(surface_normals(field, points, 0.02), points / 0.4, atol=1e-3)
    camera = look_at(70, 25, 2)
    light = head_lights(camera.world_mat)[0]
    # Behind the camera's left shoulder, whatever the view.
    seen = camera.world_mat[0, :3, :3] @ light
    assert seen[0] < 0 and seen[1] < 0 and seen[2] < 0 and light.norm().item() == pytest.approx(1)
    settings = RenderSettings(shading="lambert")
    shaded, flat = (render_views(field, camera, 21, s) for s in (settings, RenderSettings()))
    facing = (camera.centers()[0] / 2 @ light).item()
    expected = flat.rgb[0, 10, 10] * (AMBIENT + (1 - AMBIENT) * facing)
    assert torch.allclose(shaded.rgb[0, 10, 10], expected, atol=2e-3)


def test_shading_is_differentiable() -> None:
    balls = torch.tensor([[[0.0, 0, 0, 0.4]]], requires_grad=True)
    views = render_views(Balls(balls), look_at(0, 0, 2), 15, RenderSettings(shading="lambert"))
    (gradient,) = torch.autograd.grad(views.rgb[views.mask].sum(), balls)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_no_graph_without_gradients() -> None:
    balls = torch.tensor([[[0.0, 0, 0, 0.4]]], requires_grad=True)
    with torch.no_grad():
        assert not render_views(Balls(balls), look_at(0, 0, 2), 15, RenderSettings()).rgb.requires_grad


def test_trace_keeps_shapes_apart() -> None:
    origins, directions = (r.reshape(2, -1, 3) for r in look_at([0, 0], 0, 2).rays(15, 15))
    field = Balls(torch.tensor([[[0.0, 0, 0, 0.4]], [[0.0, 0, 0, 0.2]]]))
    points, depths, crossings = trace(field, origins, directions, DENSE)
    assert depths[:, 112].tolist() == pytest.approx([1.6, 1.8], abs=1e-4)
    assert torch.allclose(points[:, 0], (origins + directions)[:, 0]) and not crossings.hit[:, 0].any()
    assert crossings.hit[0].sum() > crossings.hit[1].sum() > 0


def test_refined_grid_is_exact_near_the_surface_and_cheap_elsewhere() -> None:
    field = _ball((0, 0, 0, 0.3))
    grid = build_grid(field, 64)
    assert grid.logits.shape == (65, 65, 65) and grid.evaluations < 65**3 / 3
    axis = torch.linspace(-0.55, 0.55, 65)
    corners = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    exact = field.occupancy(corners.reshape(1, -1, 3)).reshape(65, 65, 65)
    near = exact.abs() < 0.3
    assert torch.allclose(grid.logits[near], exact[near], atol=1e-4)
    assert torch.allclose(grid.interpolate(corners[10:12, 3:5, 7]), grid.logits[10:12, 3:5, 7], atol=1e-4)
    assert (grid.low < -0.3).all() and (grid.high > 0.3).all() and (grid.high < 0.4).all()


def _psnr(ours: Tensor, truth: Tensor) -> float:
    return -10 * math.log10(max((ours - truth).square().mean().item(), 1e-12))


# The reference's own decoder and images; they are indexed [camera, x, y].


@pytest.fixture(scope="module")
def fitted(reference_dir: Path) -> np.lib.npyio.NpzFile:
    return np.load(reference_dir / "dvr_fitted.npz")


@pytest.fixture(scope="module")
def fitted_model(fitted: np.lib.npyio.NpzFile) -> DvrModel:
    model = DvrModel().eval()
    prefix = "sd/decoder."
    weights = {k[len(prefix) :]: torch.from_numpy(fitted[k]).float() for k in fitted.files if prefix in k}
    model.decoder.load_state_dict(weights)
    return model.requires_grad_(False)


def _cameras(archive: np.lib.npyio.NpzFile) -> Cameras:
    return Cameras(torch.from_numpy(archive["in/world_mat"]), torch.from_numpy(archive["in/camera_mat"][0]))


def _image(archive: np.lib.npyio.NpzFile, key: str) -> Tensor:
    return torch.from_numpy(archive[key]).transpose(1, 2)


def test_cube_entry_matches_the_reference(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "dvr.npz")
    origins, directions = (torch.from_numpy(archive[f"out/ray_{k}"]) for k in ("origin", "dir"))
    corner = torch.full((3,), 0.55)
    near, far, meets = cube_span(origins, directions, -corner, corner)
    assert torch.equal(meets, torch.from_numpy(archive["out/cube_mask"]))
    span = torch.from_numpy(archive["out/cube_d"])
    assert torch.allclose(torch.stack([near, far], -1)[meets], span[meets], rtol=1e-5)


def test_dense_march_matches_the_reference(fitted: np.lib.npyio.NpzFile, fitted_model: DvrModel) -> None:
    field = fitted_model.field(torch.from_numpy(fitted["in/c"]))
    origins, directions = (r.reshape(-1, 3) for r in _cameras(fitted).rays(90, 90))
    mask = _image(fitted, "out/mask").reshape(-1)
    stable = _image(fitted, "out/stable").reshape(-1)
    # A sample of rays, half of them hits: marching all of them takes minutes.
    draw = torch.randperm(len(mask), generator=torch.Generator().manual_seed(0))
    chosen = torch.cat([draw[mask[draw]][:60], draw[~mask[draw]][:40]])
    found = march_densely(field, origins[None, chosen], directions[None, chosen], DENSE)
    sure = stable[chosen]
    assert torch.equal(found.hit[0][sure], mask[chosen][sure])
    depth = _image(fitted, "out/d").reshape(-1)[chosen]
    both = sure & found.hit[0]
    assert (found.depth[0] - depth)[both].abs().max() <= 1e-5


def test_grid_path_matches_the_reference(fitted: np.lib.npyio.NpzFile, fitted_model: DvrModel) -> None:
    codes = torch.from_numpy(fitted["in/c"])
    with torch.no_grad():
        views = render_views(fitted_model.field(codes), _cameras(fitted), 90, RenderSettings())
    mask, depth = _image(fitted, "out/mask"), _image(fitted, "out/d")
    assert (views.mask != mask).float().mean() < 1e-3
    both = views.mask & mask & _image(fitted, "out/stable")
    assert (views.depth - depth)[both].abs().max() < 2e-3
    assert (views.depth - depth)[both].abs().mean() < 5e-6
    rgb = torch.where(mask[..., None], _image(fitted, "out/rgb"), torch.ones(3))
    assert _psnr(views.rgb, rgb) > 40
    assert views.evaluations - views.grid.evaluations <= 5 * int(mask.sum())


def test_grid_gradient_points_where_the_reference_does(
    fitted: np.lib.npyio.NpzFile, fitted_model: DvrModel
) -> None:
    """Gradient of a smooth loss on the images of one camera, with our crossings and with the reference's."""
    camera = _cameras(fitted)[:1]
    pattern = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    weights = torch.nn.functional.interpolate(pattern, size=90, mode="bilinear").permute(0, 2, 3, 1)
    codes = torch.from_numpy(fitted["in/c"]).requires_grad_()
    field = fitted_model.field(codes)
    views = render_views(field, camera, 90, RenderSettings())
    (ours,) = torch.autograd.grad((weights * (views.rgb - 1)).sum(), codes, retain_graph=True)
    mask = _image(fitted, "out/mask")[:1]
    colors = _reference_surface(fitted, field, camera, mask)[1]
    (theirs,) = torch.autograd.grad((weights[mask] * colors).sum(), codes)
    assert torch.cosine_similarity(ours, theirs).item() > 0.999


def _reference_surface(
    archive: np.lib.npyio.NpzFile, field: DvrField, camera: Cameras, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Points and colours [K, 3] at the reference's own depths of its first camera."""
    origins, directions = camera.rays(90, 90)
    depth = _image(archive, "out/d")[:1]
    points, _ = surface_points(
        field, origins[mask][None], directions[mask][None], depth[mask][None], mask[mask][None]
    )
    return points[0], field.color(points)[0]


def test_gradients_match_the_reference(fitted: np.lib.npyio.NpzFile, fitted_model: DvrModel) -> None:
    model = fitted_model
    for parameter in (model.decoder.fc_out.bias, model.decoder.fc_p.weight):
        parameter.requires_grad_(True)
    codes = torch.from_numpy(fitted["in/c"]).requires_grad_()
    field, camera = model.field(codes), _cameras(fitted)[:1]
    mask = _image(fitted, "out/mask")[:1]
    points, colors = _reference_surface(fitted, field, camera, mask)
    (of_colors,) = torch.autograd.grad(colors.sum(), codes, retain_graph=True)
    wanted = (codes, model.decoder.fc_out.bias, model.decoder.fc_p.weight)
    of_points = torch.autograd.grad(points.sum(), wanted, retain_graph=True, allow_unused=True)
    model.requires_grad_(False)
    _same_direction(of_colors[0], fitted["out/grad_c_sum_rgb_fg"][0])
    _same_direction(of_points[0][0], fitted["out/grad_c_sum_pworld_f64"][0])
    parameters = torch.cat([of_points[1], of_points[2].reshape(-1)])
    _same_direction(parameters, fitted["out/grad_fc_out_bias_fc_p_weight_sum_pworld"][0])

    origins, directions = camera.rays(90, 90)
    (of_misses,) = torch.autograd.grad(field.color((origins + directions)[~mask][None]).sum(), codes)
    _same_direction((of_colors + of_misses)[0], fitted["out/grad_c_sum_rgb"][0])


def _same_direction(ours: Tensor, reference: np.ndarray) -> None:
    theirs = torch.from_numpy(reference).to(ours.dtype)
    assert (ours - theirs).norm() <= 1e-3 * theirs.norm()


def test_colors_and_normals_match_the_reference(fitted: np.lib.npyio.NpzFile, fitted_model: DvrModel) -> None:
    field, cameras = fitted_model.field(torch.from_numpy(fitted["in/c"])), _cameras(fitted)
    origins, directions = cameras.rays(90, 90)
    mask, depth = _image(fitted, "out/mask"), _image(fitted, "out/d")
    every = torch.zeros_like(mask)
    every[:, ::3, ::3] = True
    chosen = every & mask
    points = (origins + depth[..., None] * directions)[chosen]
    with torch.no_grad():
        assert (field.color(points[None])[0] - _image(fitted, "out/rgb")[chosen]).abs().max() <= 5e-5
        # The first 64 hits in the reference's order, x slow.
        places = (origins + depth[..., None] * directions)[0].transpose(0, 1)[mask[0].T][:64]
        normals = surface_normals(field, places[None], 1e-3)[0]
    # The reference's normals point inwards.
    assert (normals + torch.from_numpy(fitted["out/normals_first64fg"][0])).abs().max() < 5e-3


def test_views_are_lit_like_the_training_images() -> None:
    from backend.datasets.procedural import views
    from backend.rendering import shading

    assert (shading.LIGHT, shading.AMBIENT) == (views.LIGHT, views.AMBIENT)
