"""Cameras: closed forms of the conventions, and DVR's reference geometry."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.cameras import Cameras, camera_matrix, look_at, pixel_grid, random_cameras, sample_pixels
from backend.errors import SettingError


def test_azimuth_and_elevation_place_the_camera() -> None:
    centers = look_at([0, 90, 180, 0], [0, 0, 0, 30], 2.0).centers()
    expected = [[0, 0, 2], [2, 0, 0], [0, 0, -2], [0, 1, np.sqrt(3)]]
    assert torch.allclose(centers, torch.tensor(expected, dtype=torch.float32), atol=1e-6)


def test_front_view_shows_plus_x_right_and_plus_y_up() -> None:
    points = torch.tensor([[[0.0, 0, 0], [0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.5]]])
    pixels, depths = look_at(0.0, 0.0, 2.0).project(points)
    assert torch.allclose(depths, torch.tensor([[2.0, 2.0, 2.0, 1.5]]))
    shift = 0.3 * 2.1875 / 2  # focal times offset over depth
    assert torch.allclose(pixels[0], torch.tensor([[0, 0], [shift, 0], [0, -shift], [0, 0]]), atol=1e-6)


def test_views_are_rotations_that_keep_up_up() -> None:
    cameras = random_cameras(
        50, torch.Generator().manual_seed(3), distance=(1.5, 2.5), elevation_deg=(-20, 60)
    )
    turn = cameras.world_mat[:, :3, :3]
    assert torch.allclose(turn @ turn.mT, torch.eye(3).expand(50, 3, 3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(turn), torch.ones(50), atol=1e-5)
    reach = cameras.centers().norm(dim=-1)
    elevation = torch.rad2deg(torch.asin(cameras.centers()[:, 1] / reach))
    assert reach.min() >= 1.5 - 1e-5 and reach.max() <= 2.5 + 1e-5
    assert elevation.min() >= -20.01 and elevation.max() <= 60.01
    # No roll: the camera's right axis is horizontal, its down axis points below the horizon.
    assert turn[:, 0, 1].abs().max() < 1e-6 and (turn[:, 1, 1] < 0).all()


def test_random_cameras_repeat_with_their_seed() -> None:
    draws = [random_cameras(4, torch.Generator().manual_seed(s)).world_mat for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_rays_pass_through_their_pixels_at_unit_depth() -> None:
    cameras = look_at([10, 200], 25, 1.9)
    origins, directions = cameras.rays(4, 6)
    assert origins.shape == directions.shape == (2, 4, 6, 3)
    pixels, depths = cameras.project((origins + 1.7 * directions).reshape(2, -1, 3))
    assert torch.allclose(depths, torch.full((2, 24), 1.7), atol=1e-5)
    assert torch.allclose(pixels, pixel_grid(4, 6).reshape(1, 24, 2).expand(2, -1, -1), atol=1e-5)


def test_pixel_grid_is_row_column_with_inclusive_ends() -> None:
    grid = pixel_grid(3, 5)
    assert grid.shape == (3, 5, 2)
    assert grid[0, 0].tolist() == [-1, -1] and grid[2, 4].tolist() == [1, 1]
    assert grid[0, 1].tolist() == [-0.5, -1] and grid[1, 0].tolist() == [-1, 0]


def test_moved_scales_the_distance_only() -> None:
    cameras = look_at([30, 60], 20, 1.2)
    far = cameras.moved(1.5)
    assert torch.allclose(far.centers(), 1.5 * cameras.centers(), atol=1e-6)
    assert torch.equal(far.world_mat[:, :3, :3], cameras.world_mat[:, :3, :3])
    assert torch.allclose(cameras.moved(torch.tensor([1.0, 2.0])).centers()[1], 2 * cameras.centers()[1])


def test_indexing_keeps_the_batch() -> None:
    cameras = look_at([0, 90, 180], 0, 2)
    assert len(cameras[1]) == 1 and len(cameras[:2]) == 2 and len(cameras) == 3


@pytest.mark.parametrize(("elevation", "distance"), [(90.0, 2.0), (-95.0, 2.0), (0.0, 0.0), (10.0, -1.0)])
def test_impossible_cameras_are_refused(elevation: float, distance: float) -> None:
    with pytest.raises(SettingError, match="No upright camera"):
        look_at(0.0, elevation, distance)


def _reference_cameras(archive: np.lib.npyio.NpzFile, index: int) -> Cameras:
    # The reference's scale_mat is part of our world_mat: both map object space to camera space.
    matrices = {k: torch.from_numpy(archive[f"in/{k}_mat"][index]) for k in ("camera", "world", "scale")}
    return Cameras((matrices["world"] @ matrices["scale"])[None], matrices["camera"])


@pytest.mark.parametrize("index", [0, 1])
def test_rays_and_projection_match_the_reference(reference_dir: Path, index: int) -> None:
    archive = np.load(reference_dir / "dvr.npz")
    cameras = _reference_cameras(archive, index)
    expected = {k: torch.from_numpy(archive[f"out/{k}"][index]) for k in ("ray_origin", "ray_dir", "p_world")}
    # The reference enumerates pixels with x slow and y fast.
    origins, directions = (r[0].transpose(0, 1).reshape(-1, 3) for r in cameras.rays(4, 6))
    _close(origins, expected["ray_origin"])
    _close(directions, expected["ray_dir"])

    pixels = torch.from_numpy(archive["in/rand_pixels"][index])[None]
    depths = torch.from_numpy(archive["in/rand_depth"][index])[None]
    _close(cameras.unproject(pixels, depths)[0], expected["p_world"])
    seen = expected["p_world"] @ cameras.world_mat[0, :3, :3].T + cameras.world_mat[0, :3, 3]
    _close(cameras.project(expected["p_world"][None])[1][0], (seen @ cameras.camera_mat[:3, :3].T)[:, 2])


def test_nearest_reading_matches_the_reference(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "dvr.npz")
    read = sample_pixels(
        torch.from_numpy(archive["in/nearest_image"]), torch.from_numpy(archive["in/rand_pixels"])
    )
    assert torch.equal(read, torch.from_numpy(archive["out/nearest_values"]))


def test_default_lens_is_shapenets() -> None:
    assert camera_matrix().diagonal().tolist() == [2.1875, 2.1875, 1, 1]


def _close(ours: torch.Tensor, reference: torch.Tensor) -> None:
    assert (ours - reference).abs().max() <= 1e-5 * reference.abs().max()
