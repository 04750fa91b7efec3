"""Meshing of analytic fields: position, volume, topology, closedness, colour, refusals, cancel."""

import functools

import numpy as np
import pytest
import torch

from backend import meshing
from backend.config import MeshSettings
from backend.errors import EmptyShapeError, MemoryShortError, NumericalError
from backend.meshing import extract_mesh
from backend.svr.base import Field


class Analytic(Field):
    """A field given by a function of points [..., 3]; the colour is the position."""

    def __init__(self, function):
        self.function = function
        self.asked = 0

    def occupancy(self, points):
        assert points.shape[0] == 1 and points.dtype == torch.float32
        self.asked += points.shape[1]
        return self.function(points)

    def color(self, points):
        return points + 0.5

    def __getitem__(self, index):
        return self

    def detach(self):
        return self


def ball(radius=0.4, center=(0.0, 0.0, 0.0), slope=10.0):
    return lambda p: slope * (radius - (p - torch.tensor(center)).norm(dim=-1))


def torus(p):
    ring = torch.stack([p[..., [0, 2]].norm(dim=-1) - 0.3, p[..., 1]], dim=-1)
    return 0.1 - ring.norm(dim=-1)


def box(half, center=(0.0, 0.0, 0.0)):
    return lambda p: (torch.tensor(half) - (p - torch.tensor(center)).abs()).amin(dim=-1)


def mesh_of(function, iso_logit=0.0, **settings):
    return run(extract_mesh(Analytic(function), MeshSettings(**settings), iso_logit))


def run(generator):
    try:
        while True:
            next(generator)
    except StopIteration as stop:
        return stop.value


def smallest_area(mesh):
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    return np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    ).min()


def test_sphere_has_its_radius_volume_topology_and_colours():
    mesh = mesh_of(ball(0.4, (0.03, 0.0, -0.02)), resolution=64)
    radius = np.linalg.norm(mesh.vertices - [0.03, 0.0, -0.02], axis=1)
    np.testing.assert_allclose(radius, 0.4, atol=1.1 * meshing.EDGE_MARGIN / 64)
    assert mesh.volume() == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=2e-3)
    assert mesh.is_watertight() and mesh.euler_number() == 2
    outward = (mesh.face_normals * (mesh.vertices[mesh.faces].mean(axis=1) - [0.03, 0.0, -0.02])).sum(axis=1)
    assert (outward > 0).all() and outward.mean() > 0.399
    np.testing.assert_allclose(mesh.colors, mesh.vertices + 0.5, atol=1e-6)


def test_iso_level_moves_the_surface():
    mesh = mesh_of(ball(0.4, slope=10.0), iso_logit=1.0, resolution=32)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.3, atol=5e-5)


def test_refinement_finds_the_surface_of_a_strongly_curved_field():
    """exp of the distance: linear interpolation is off, the secant steps are not."""

    def steep(p):
        return torch.exp(40 * (0.3 - p.norm(dim=-1))) - 1

    def error(steps):
        mesh = mesh_of(steep, resolution=32, refine_steps=steps)
        return np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.3).max()

    assert error(0) > 1e-3
    assert error(6) < 1e-4


def test_torus_has_one_handle():
    mesh = mesh_of(torus, resolution=64)
    assert mesh.is_watertight() and mesh.euler_number() == 0 and mesh.component_count() == 1
    assert mesh.volume() == pytest.approx(2 * np.pi**2 * 0.3 * 0.1**2, rel=5e-3)


@pytest.mark.parametrize("height", [0.0, 0.1, 0.1094])
def test_thin_plate_between_coarse_samples_is_found(height):
    """0.03 thick on a coarse grid of 1/32 = 0.031."""
    mesh = mesh_of(box((0.3, 0.015, 0.3), (0.0, height, 0.0)), resolution=128)
    assert mesh.is_watertight() and mesh.component_count() == 1
    assert mesh.volume() == pytest.approx(0.6 * 0.6 * 0.03, rel=0.03)


def test_thin_rod_beside_a_body_is_found():
    def pair(p):
        rod = 0.015 - (p[..., [0, 2]] - torch.tensor([0.36, 0.36])).norm(dim=-1)
        rod = torch.minimum(rod, 0.4 - p[..., 1].abs())
        return torch.maximum(ball(0.25, slope=1.0)(p), rod)

    mesh = mesh_of(pair, resolution=128)
    assert mesh.is_watertight() and mesh.component_count() == 2


def test_speck_is_removed_and_a_substantial_part_kept():
    def three(p):
        speck, part = ball(0.04, (0.4, 0.4, 0.4)), ball(0.12, (-0.35, -0.35, -0.35))
        return torch.stack([ball(0.25)(p), speck(p), part(p)]).amax(dim=0)

    assert mesh_of(three, resolution=64, speck_fraction=0.0).component_count() == 3
    cleaned = mesh_of(three, resolution=64, speck_fraction=0.02)
    assert cleaned.component_count() == 2
    assert cleaned.vertices.max() < 0.3


@pytest.mark.parametrize("function", [ball(0.37, (0.05, 0.02, 0.0)), torus, ball(0.6), box((0.2, 0.3, 0.01))])
def test_sparse_and_dense_sampling_give_the_same_mesh(function, monkeypatch):
    sparse_field = Analytic(function)
    sparse = run(extract_mesh(sparse_field, MeshSettings(resolution=64)))
    monkeypatch.setattr(meshing, "sample_grid", functools.partial(meshing.sample_grid, levels=0))
    dense_field = Analytic(function)
    dense = run(extract_mesh(dense_field, MeshSettings(resolution=64)))
    np.testing.assert_array_equal(sparse.faces, dense.faces)
    np.testing.assert_allclose(sparse.vertices, dense.vertices, atol=1e-6)
    assert sparse_field.asked < 0.4 * dense_field.asked


def test_sparse_sampling_asks_a_small_share_of_the_dense_grid():
    field = Analytic(ball(0.3))
    run(extract_mesh(field, MeshSettings(resolution=128)))
    assert field.asked < 129**3 / 12


@pytest.mark.parametrize("kind", ["smooth", "steps", "signs"])
@pytest.mark.parametrize("seed", [0, 1])
def test_any_field_gives_a_watertight_mesh_without_flat_faces(kind, seed):
    """Noise with ambiguous cells, plateaus and values exactly on the iso level, cut by the cube."""
    noise = torch.randn(1, 1, 14, 14, 14, generator=torch.Generator().manual_seed(seed))
    noise = {"smooth": noise, "steps": noise.round(), "signs": noise.sign()}[kind]

    def function(p):
        grid = 2 * p.reshape(1, 1, 1, -1, 3)
        return torch.nn.functional.grid_sample(noise, grid, align_corners=True).reshape(1, -1)

    mesh = mesh_of(function, resolution=26, speck_fraction=0.0)
    assert mesh.is_watertight() and mesh.volume() > 0
    assert smallest_area(mesh) > 0


@pytest.mark.parametrize(
    "function",
    [
        box((0.25, 0.25, 0.25)),  # every face on grid points
        lambda p: torch.sin(4 * np.pi * p).prod(dim=-1),  # zeros on grid planes, edges that touch
        lambda p: 20 * (0.25 - p.norm(dim=-1)).sign(),  # saturated
        lambda p: torch.maximum(box((0.1,) * 3, (0.1,) * 3)(p), box((0.1,) * 3, (-0.1,) * 3)(p)),
    ],
)
def test_symmetric_and_saturated_fields_stay_watertight(function):
    mesh = mesh_of(function, resolution=32, speck_fraction=0.0)
    assert mesh.is_watertight() and smallest_area(mesh) > 0


def test_shape_cut_by_the_cube_is_closed_at_its_sides():
    mesh = mesh_of(lambda p: p[..., 0], resolution=32)
    assert mesh.is_watertight() and mesh.euler_number() == 2
    assert mesh.volume() == pytest.approx(0.5, rel=2e-3)
    np.testing.assert_allclose(mesh.bounds, [[0, -0.5, -0.5], [0.5, 0.5, 0.5]], atol=2e-4)


def test_other_bounds_scale_the_mesh():
    mesh = run(extract_mesh(Analytic(ball(0.8)), MeshSettings(resolution=32), bound=1.0))
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.8, atol=1e-4)


def test_face_budget_is_kept_and_colours_are_those_of_the_new_vertices():
    mesh = mesh_of(ball(0.4), resolution=48, max_faces=800)
    assert len(mesh.faces) <= 800 and mesh.is_watertight()
    np.testing.assert_allclose(mesh.colors, mesh.vertices + 0.5, atol=1e-6)


def test_field_without_a_surface_is_explained():
    with pytest.raises(EmptyShapeError, match=r"empty.*greatest sample is -3"):
        mesh_of(lambda p: torch.full(p.shape[:-1], -3.0), resolution=32)
    with pytest.raises(EmptyShapeError, match="above 0 everywhere"):
        mesh_of(lambda p: torch.full(p.shape[:-1], 2.0), resolution=64)


def test_nan_is_a_named_fault():
    with pytest.raises(NumericalError, match="NaN"):
        mesh_of(lambda p: p[..., 0] / 0 * 0, resolution=16)


def test_progress_rises_and_comes_after_every_chunk():
    calls = []

    def watched(p):
        calls.append(p.shape[1])
        return ball()(p)

    generator = extract_mesh(Analytic(watched), MeshSettings(resolution=64))
    fractions, before = [], 0
    for fraction in generator:
        assert len(calls) - before <= 1
        before = len(calls)
        fractions.append(fraction)
    assert max(calls) <= meshing.CPU_CHUNK
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1


def test_closing_the_generator_cancels():
    field = Analytic(ball())
    generator = extract_mesh(field, MeshSettings(resolution=64))
    next(generator)
    asked = field.asked
    generator.close()
    assert field.asked == asked < 65**3


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out of memory"), RuntimeError("can't allocate memory: 9 bytes")]
)
def test_short_memory_halves_the_chunks_and_ends_in_an_explained_error(error):
    def small_machine(limit):
        def function(p):
            if p.shape[1] > limit:
                raise error
            return ball()(p)

        return function

    assert mesh_of(small_machine(3000), resolution=16).is_watertight()
    with pytest.raises(MemoryShortError, match="256 points"):
        mesh_of(small_machine(10), resolution=16)
