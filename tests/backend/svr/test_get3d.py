"""GET3D: every stage against the reference, marching tetrahedra on a ball, views in register, refusals."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.cameras import look_at
from backend.config import MeshSettings
from backend.errors import CheckpointError, SettingError
from backend.mesh import TriMesh
from backend.svr.get3d import Get3dModel
from backend.svr.get3d_geometry import (
    TetrahedronGrid,
    edge_crossings,
    surface_topology,
    tetrahedron_grid,
    triangle_table,
    with_a_surface,
)
from backend.svr.get3d_synthesis import spread

CLOSE = 1e-5
PLANES_CLOSE = 1e-4
"""A long chain of modulated convolutions, and what is read from it."""


@pytest.fixture(scope="module")
def archive(reference_dir: Path) -> dict[str, np.ndarray]:
    with np.load(reference_dir / "get3d.npz") as opened:
        return dict(opened)


@pytest.fixture(scope="module")
def model(archive: dict[str, np.ndarray]) -> Get3dModel:
    weights = {k[3:]: torch.from_numpy(v).float() for k, v in archive.items() if k.startswith("sd/")}
    model = Get3dModel.from_public(weights, resolution=int(archive["in/tet_res"]), grid_cells=4)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def code(archive: dict[str, np.ndarray]) -> torch.Tensor:
    rows = [archive["out/ws_geo_row0"], archive["out/ws_tex_row0"]]
    return torch.from_numpy(np.concatenate(rows, axis=1))


@pytest.fixture(scope="module")
def grid(archive: dict[str, np.ndarray]) -> TetrahedronGrid:
    tetrahedra = torch.from_numpy(archive["in/tets"]).long()
    return TetrahedronGrid(torch.from_numpy(archive["in/tet_vertices_raw"]) - 0.5, tetrahedra)


def _error(ours: torch.Tensor, reference: np.ndarray) -> float:
    assert ours.shape == reference.shape
    return float(np.abs(ours.numpy() - reference).max() / np.abs(reference).max())


def test_mapping_matches_the_reference(model: Get3dModel, archive: dict[str, np.ndarray]) -> None:
    noise_geo, noise_tex = torch.from_numpy(archive["in/z_geo"]), torch.from_numpy(archive["in/z_tex"])
    assert _error(model.mapping_geo(noise_geo), archive["out/ws_geo_row0"]) <= CLOSE
    assert _error(model.mapping(noise_tex), archive["out/ws_tex_row0"]) <= CLOSE
    assert _error(model.mapping(noise_tex, 0.7), archive["out/ws_tex_trunc07_row0"]) <= CLOSE


def test_planes_and_networks_match_the_reference(
    model: Get3dModel, code: torch.Tensor, archive: dict[str, np.ndarray]
) -> None:
    synthesis = model.synthesis
    assert list(synthesis.rows) == archive["in/num_ws_geo_tex"].tolist()
    planes_rows = synthesis.generator.tri_plane_synthesis.rows
    assert list(planes_rows) == archive["in/num_ws_triplane_geo_tex"].tolist()
    geometry, texture = spread(code[:, :512], synthesis.rows[0]), spread(code[:, 512:], synthesis.rows[1])
    planes = synthesis.planes(geometry, texture)
    for ours, name in ((planes.geometry, "sdf"), (planes.texture, "tex")):
        reference = archive[f"out/{name}_planes_every16"]
        assert _error(ours.flatten(1, 2)[..., ::16, ::16], reference) <= PLANES_CLOSE
    points = torch.from_numpy(archive["in/rand_points"])
    distance = synthesis.distance(planes, points, geometry)
    assert _error(distance[..., None], archive["out/rand_points_sdf"]) <= PLANES_CLOSE
    assert (
        _error(synthesis.deformation(planes, points, geometry), archive["out/rand_points_def"])
        <= PLANES_CLOSE
    )
    points = torch.from_numpy(archive["in/surface_points"])
    features = synthesis.texture_features(planes, points, texture)
    assert _error(features, archive["out/tex_feature_at_points"]) <= PLANES_CLOSE
    assert _error(synthesis.colors(features, texture), archive["out/rgb_at_points"]) <= PLANES_CLOSE


def _canonical(faces: np.ndarray) -> np.ndarray:
    """Each face with its smallest vertex first, all sorted."""
    first = faces.argmin(axis=1)[:, None]
    turned = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)
    return turned[np.lexsort(turned.T[::-1])]


def test_the_mesh_is_the_reference_s(
    model: Get3dModel, code: torch.Tensor, grid: TetrahedronGrid, archive: dict[str, np.ndarray]
) -> None:
    shape = model.surface(code, grid=grid)
    assert _error(shape.vertices, archive["out/mesh_v"]) <= PLANES_CLOSE
    assert np.array_equal(_canonical(shape.faces.numpy()), _canonical(archive["out/mesh_f"]))
    raw = torch.from_numpy(archive["out/raw_def"])
    assert _error(model.bounded_deformation(raw), archive["out/deformation"]) <= CLOSE
    colors = model.colors(shape, torch.from_numpy(archive["in/surface_points"])[0])
    expected = ((archive["out/rgb_at_points"][0] + 1) / 2).clip(0, 1)
    assert np.abs(colors.numpy() - expected).max() <= PLANES_CLOSE


def test_a_grid_fills_the_cube_without_gaps() -> None:
    grid = tetrahedron_grid(3)
    corners = grid.vertices[grid.tetrahedra].double()
    volumes = torch.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
    assert len(volumes) == 6 * 27 and torch.allclose(volumes, torch.full_like(volumes, 1 / 162), rtol=1e-6)


def _mesh(grid: TetrahedronGrid, distances: torch.Tensor) -> TriMesh:
    found = surface_topology(distances, grid.tetrahedra)
    points = edge_crossings(grid.vertices[found.edges], distances[found.edges]).numpy()
    return TriMesh(points, found.faces.numpy(), np.zeros_like(points))


def test_a_ball_becomes_a_closed_outward_mesh_of_its_volume() -> None:
    grid = tetrahedron_grid(20)
    mesh = _mesh(grid, 0.4 - grid.vertices.norm(dim=1))
    assert mesh.is_watertight() and mesh.euler_number() == 2
    assert mesh.volume() == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.01)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.4).max() < 0.05**2 / 0.4


def test_every_sign_pattern_gives_a_patch_between_the_signs() -> None:
    assert (triangle_table()[[0, 15]] == -1).all()
    counts = (triangle_table()[..., 0] >= 0).sum(1)
    assert counts.tolist() == [0, 1, 1, 2, 1, 2, 2, 1, 1, 2, 2, 1, 2, 1, 1, 0]


def test_crossings_are_differentiable_in_distances_and_positions() -> None:
    positions = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]], requires_grad=True)
    distances = torch.tensor([[0.25, -0.75]], requires_grad=True)
    point = edge_crossings(positions, distances)
    assert torch.allclose(point, torch.tensor([[0.25, 0.0, 0.0]]))
    point[0, 0].backward()
    # x = a / (a - b): dx/da = -b / (a - b)^2, dx/db = a / (a - b)^2.
    assert torch.allclose(distances.grad, torch.tensor([[0.75, 0.25]]))
    assert torch.allclose(positions.grad[0, :, 0], torch.tensor([0.75, 0.25]))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_field_of_one_sign_gets_a_surface_without_gradients(sign: float) -> None:
    grid = tetrahedron_grid(4)
    distances = torch.full((len(grid.vertices),), 0.3 * sign, requires_grad=True)
    forced = with_a_surface(distances, grid.vertices)
    outer = grid.vertices.abs().amax(1) == 0.5
    assert float(forced.detach()[grid.vertices.norm(dim=1).argmin()]) == 1 and (forced[outer] == -1).all()
    forced.sum().backward()
    assert not distances.grad[outer].any()
    both = torch.tensor([1.0, -1.0])
    assert with_a_surface(both, torch.zeros(2, 3)) is both


@pytest.fixture(scope="module")
def tiny() -> Get3dModel:
    """Random weights, two blocks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Get3dModel((4, 4), grid_cells=6).eval().requires_grad_(False)


def test_views_show_the_mesh_and_pull_on_the_code(tiny: Get3dModel) -> None:
    code = tiny.sample_codes(1, torch.Generator().manual_seed(0)).requires_grad_()
    views = tiny.render(code, look_at([0.0, 90.0], 15.0, 1.2), 24)
    assert views.rgb.shape == (2, 24, 24, 3) and views.mask.any() and not views.mask.all()
    assert (views.rgb[~views.mask] == 1).all() and torch.isinf(views.depth[~views.mask]).all()
    assert (views.background_rgb[views.mask] == 1).all()
    (gradient,) = torch.autograd.grad(views.depth[views.mask].sum() + views.rgb.sum(), code)
    assert gradient[:, :512].any() and gradient[:, 512:].any()


def test_gradients_are_those_of_finite_differences(tiny: Get3dModel) -> None:
    double = copy.deepcopy(tiny).double()
    code = double.sample_codes(1, torch.Generator().manual_seed(0)).double()
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    direction = torch.randn(code.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def total(amount: torch.Tensor) -> torch.Tensor:
        return double.surface(code + amount * direction).vertices.square().sum()

    (gradient,) = torch.autograd.grad(total(shift), shift)
    step = 1e-6
    with torch.no_grad():
        slope = (total(torch.tensor(step)) - total(torch.tensor(-step))) / (2 * step)
    assert float(gradient) == pytest.approx(float(slope), rel=1e-4)


def test_extracted_meshes_are_closed_and_coloured(model: Get3dModel, code: torch.Tensor) -> None:
    work = model.extract_mesh(code, MeshSettings(resolution=16, speck_fraction=0.0))
    done = []
    while True:
        try:
            done.append(next(work))
        except StopIteration as finished:
            mesh = finished.value
            break
    assert done == sorted(done) and done[-1] == 1.0
    assert mesh.is_watertight() and mesh.volume() > 0
    assert np.abs(mesh.vertices).max() < 0.5
    assert mesh.colors.std() > 0


def test_codes_are_drawn_from_the_mapping(model: Get3dModel) -> None:
    codes = model.sample_codes(3, torch.Generator().manual_seed(5))
    again = model.sample_codes(3, torch.Generator().manual_seed(5))
    average = model.sample_codes(1, torch.Generator(), truncation=0.0)
    assert codes.shape == (3, 1024) and torch.equal(codes, again) and not torch.equal(codes[0], codes[1])
    assert torch.equal(average[0, :512], model.mapping_geo.w_avg)


def test_refusals(model: Get3dModel) -> None:
    with pytest.raises(SettingError, match="no image encoder"):
        model.encode(torch.zeros(1, 3, 8, 8))
    with pytest.raises(SettingError, match="no field"):
        model.field(torch.zeros(1, 1024))
    weights = dict(model.state_dict())
    weights["mapping.fc8.bias"] = weights.pop("mapping.fc0.bias")
    with pytest.raises(CheckpointError, match=r"missing: mapping.fc0.bias; unknown: mapping.fc8.bias"):
        Get3dModel.from_public(weights)
    with pytest.raises(CheckpointError, match="not the weights of GET3D"):
        Get3dModel.from_public({"mapping.fc0.bias": torch.zeros(3)})
    assert Get3dModel.from_public(model.state_dict()).architecture() == {
        **model.architecture(), "resolution": 90, "grid_cells": 64,
    }  # fmt: skip
