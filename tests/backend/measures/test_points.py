"""Point sets: shifted grids, spheres, areas of samples, refusals."""

import numpy as np
import pytest

from backend.errors import MeshError
from backend.judges.solid import overlap
from backend.measures.points import chamfer_distance, f_score, sample_surface
from backend.mesh import TriMesh


def _grid(spacing: float) -> np.ndarray:
    axis = np.arange(5) * spacing
    return np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)


def test_identical_and_shifted_sets() -> None:
    points = _grid(1.0)
    assert chamfer_distance(points, points) == 0.0 and f_score(points, points, 1e-9) == 1.0
    shifted = points + np.array([0.25, 0.0, 0.0])
    assert chamfer_distance(points, shifted) == pytest.approx(0.25, abs=1e-12)
    assert f_score(points, shifted, 0.2) == 0.0 and f_score(points, shifted, 0.3) == 1.0


def test_a_missing_part_costs_completeness_only() -> None:
    whole = np.array([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0]])
    half = whole[:2]
    # Accuracy 0; completeness (0 + 0 + 1 + 2) / 4.
    assert chamfer_distance(half, whole) == pytest.approx((0 + 0.75) / 2)
    # Precision 1, recall 1/2: harmonic mean 2/3.
    assert f_score(half, whole, 0.5) == pytest.approx(2 / 3)


def test_samples_follow_area_and_fill_their_own_box() -> None:
    # Two rectangles, 3 x 1 and 1 x 1, side by side in the plane z = 7: box 4 x 1, so x in [-1/2, 1/2].
    corners = [[0, 0, 7], [3, 0, 7], [3, 1, 7], [0, 1, 7], [3, 0, 7], [4, 0, 7], [4, 1, 7], [3, 1, 7]]
    faces = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    mesh = TriMesh(np.array(corners, np.float32), np.array(faces, np.int32), np.zeros((8, 3), np.float32))
    points = sample_surface(mesh, 20_000, np.random.default_rng(0))
    assert points.shape == (20_000, 3) and points.dtype == np.float32
    assert np.abs(points).max(axis=0) == pytest.approx([0.5, 0.125, 0.0], abs=1e-3)
    # 20,000 draws: the deviation of a share is below 0.004.
    assert float((points[:, 0] < 0.25).mean()) == pytest.approx(0.75, abs=0.015)
    assert points.mean(axis=0) == pytest.approx([0.0, 0.0, 0.0], abs=0.01)


def test_spheres_of_two_radii() -> None:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert chamfer_distance(directions, 0.5 * directions) == pytest.approx(0.5, abs=0.01)


def test_shapes_without_a_surface_are_refused() -> None:
    line = TriMesh(
        np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.float32),
        np.array([[0, 1, 2]], np.int32),
        np.zeros((3, 3), np.float32),
    )
    with pytest.raises(MeshError, match="no surface"):
        sample_surface(line, 10, np.random.default_rng(0))
    with pytest.raises(MeshError, match="empty"):
        chamfer_distance(np.zeros((0, 3)), np.zeros((3, 3)))


def test_volumetric_iou_of_shifted_boxes() -> None:
    box = np.zeros((8, 8, 8), dtype=bool)
    box[:4, 2:6, 2:6] = True
    assert overlap(box, box) == 1.0
    assert overlap(box, np.roll(box, 2, axis=0)) == pytest.approx(1 / 3)  # 2 of 6 layers
    assert overlap(box, np.roll(box, 4, axis=0)) == 0.0
    assert overlap(np.zeros_like(box), np.zeros_like(box)) == 0.0
