"""An artist's own mesh: geometry untouched, colours out, refusals explained."""

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from backend.bundles import Bundle, load_bundle
from backend.cameras import look_at
from backend.config import StylizeSettings
from backend.errors import MeshError, PromptError
from backend.events import Preview, Progress
from backend.mesh import TriMesh
from backend.recipe import Style
from backend.rendering.raster import render_mesh
from backend.rendering.surface_views import mesh_views
from backend.stylize_mesh import GREY, MOST_FACES, SurfacePaint, own_mesh, stylize_mesh
from tests.backend.tiny_bundle import TINY_SETTINGS, write_tiny_bundle

QUICK = StylizeSettings(steps=3, views=2, pool=3, palettes=2, palette_steps=1, fit_steps=20, fit_points=64)
STYLE = Style(style="blue", settings=QUICK)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("own")))


def _sphere(scale: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    ball = trimesh.creation.icosphere(subdivisions=3)
    return (ball.vertices * scale + shift).astype(np.float32), ball.faces.astype(np.int32)


def _drive(work: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def test_colours_change_and_geometry_stays(bundle: Bundle) -> None:
    vertices, faces = _sphere(3.0, shift=10.0)
    samples = vertices[:7]
    work = stylize_mesh(
        bundle,
        own_mesh(vertices, faces),
        STYLE,
        TINY_SETTINGS,
        subject="a table",
        samples=samples,
        preview_every=2,
    )
    events, painted = _drive(work)
    assert np.array_equal(painted.mesh.vertices, vertices) and np.array_equal(painted.mesh.faces, faces)
    assert np.abs(painted.mesh.colors - GREY).mean() > 0.02
    assert painted.mesh.colors.min() >= 0 and painted.mesh.colors.max() <= 1
    # A point on the surface has the colour of the vertex there.
    np.testing.assert_allclose(painted.sample_colors, painted.mesh.colors[:7], atol=1e-5)
    assert len(painted.scores) == 5 and painted.scores[painted.best_step] == max(painted.scores[1:])
    assert painted.iterates.shape == (len(painted.iterate_steps), len(vertices), 3)
    assert painted.iterate_steps[0] == 0 and (painted.iterates[0] == round(255 * GREY)).all()
    assert [event.step for event in events if isinstance(event, Preview)] == [2, 4]
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert last.step == last.total


def test_scale_and_place_do_not_matter_and_a_style_repeats(bundle: Bundle) -> None:
    colors = []
    for scale, shift in ((1.0, 0.0), (1.0, 0.0), (512.0, 0.0)):
        mesh = own_mesh(*_sphere(scale, shift))
        colors.append(_drive(stylize_mesh(bundle, mesh, STYLE, TINY_SETTINGS))[1].mesh.colors)
    assert np.array_equal(colors[0], colors[1])
    np.testing.assert_allclose(colors[0], colors[2], atol=0.02)
    other = _drive(stylize_mesh(bundle, mesh, STYLE.replace(seed=5), TINY_SETTINGS))[1].mesh.colors
    assert not np.array_equal(colors[0], other)


def test_a_weak_style_keeps_most_of_the_old_colours(bundle: Bundle) -> None:
    vertices, faces = _sphere()
    old = np.tile(np.float32([1, 0, 0]), (len(vertices), 1))
    style = STYLE.replace(strength=0.05)
    painted = _drive(stylize_mesh(bundle, own_mesh(vertices, faces, old), style, TINY_SETTINGS))[1]
    assert np.abs(painted.mesh.colors - old).max() <= 0.05 + 1e-6


def test_a_stopped_style_says_so(bundle: Bundle) -> None:
    mesh = own_mesh(*_sphere())
    painted = _drive(stylize_mesh(bundle, mesh, STYLE, TINY_SETTINGS, stop=lambda: True))[1]
    assert painted.stopped and painted.style.settings.steps == 0


def test_views_of_a_mesh_agree_with_the_rasteriser(bundle: Bundle) -> None:
    vertices, faces = _sphere(0.4)
    colors = np.clip(vertices + 0.5, 0, 1)
    mesh, cameras = TriMesh(vertices, faces, colors), look_at([10.0, 200.0], 15.0, 1.8)
    views = mesh_views(mesh, cameras, 32, lit=False)
    wanted, _ = render_mesh(mesh, cameras, 32, shading="none", supersample=1)
    torch.testing.assert_close(views.images(views.old), wanted, rtol=0, atol=1e-4)
    assert mesh_views(mesh, cameras, 32).shade.max() <= 1 + 1e-6


def test_a_surface_can_be_painted_in_any_colours() -> None:
    generator = torch.Generator().manual_seed(0)
    paint = SurfacePaint(1.0, generator, torch.device("cpu"))
    points = torch.rand(500, 3, generator=generator) - 0.5
    wanted = (points[:, 1:2] > 0).float().expand(-1, 3)
    optimizer = torch.optim.Adam(paint.parameters(), lr=0.02)
    for _ in range(60):
        loss = (paint.color(points, points) - wanted).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05


def test_odd_meshes_are_fine(bundle: Bundle) -> None:
    # Three triangles on one edge (non-manifold), open, with a vertex that nothing uses.
    vertices = np.float32([[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [-1, 0, 0], [50, 50, 50]])
    faces = np.int32([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    painted = _drive(stylize_mesh(bundle, own_mesh(vertices, faces), STYLE, TINY_SETTINGS))[1]
    assert painted.mesh.colors.shape == (6, 3) and np.isfinite(painted.mesh.colors).all()


def test_refusals(bundle: Bundle) -> None:
    vertices, faces = _sphere()
    with pytest.raises(MeshError, match="no faces"):
        own_mesh(vertices, faces[:0])
    many = np.broadcast_to(faces[:1], (MOST_FACES + 1, 3))
    with pytest.raises(MeshError, match="2,000,001 triangles") as caught:
        own_mesh(vertices, many)
    assert "Decimate" in caught.value.remedy
    with pytest.raises(MeshError, match="NaN"):
        own_mesh(vertices * np.float32("nan"), faces)
    with pytest.raises(MeshError, match="names vertex"):
        own_mesh(vertices[:5], faces)
    with pytest.raises(MeshError, match="one place"):
        own_mesh(vertices * 0, faces)
    mesh = own_mesh(vertices, faces)
    with pytest.raises(PromptError, match="empty"):
        next(stylize_mesh(bundle, mesh, STYLE.replace(style=" "), TINY_SETTINGS))
    with pytest.raises(MeshError, match="Only the texture"):
        next(stylize_mesh(bundle, mesh, STYLE.replace(mode="shape-texture"), TINY_SETTINGS))
    with pytest.raises(MeshError, match="points to colour"):
        next(stylize_mesh(bundle, mesh, STYLE, TINY_SETTINGS, samples=np.zeros((3, 2), np.float32)))
