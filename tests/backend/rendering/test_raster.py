"""Mesh rasterisation against pytorch3d's stored fragments and gradients, and against closed forms."""

import numpy as np
import pytest
import torch
import trimesh

from backend.cameras import look_at
from backend.errors import MeshError
from backend.mesh import TriMesh
from backend.rendering import raster


@pytest.fixture(scope="module")
def reference(reference_dir):
    with np.load(reference_dir / "pytorch3d.npz") as archive:
        return {key: torch.from_numpy(archive[key]) for key in archive}


def run(reference, verts_ndc):
    size = tuple(int(n) for n in reference["in/image_size"])
    return raster.rasterize(verts_ndc, reference["in/faces"], size)


def test_fragments_are_pytorch3ds(reference):
    found = run(reference, reference["in/verts_ndc"])
    wanted = reference["out/pix_to_face"]
    same = found.pix_to_face == wanted
    assert (~same).float().mean() <= 0.002
    seen = same & (wanted >= 0)
    assert seen.sum() > 100
    bary = (found.bary_coords - reference["out/bary_coords"])[seen].abs().max()
    depth = (found.zbuf - reference["out/zbuf"])[seen].abs().max()
    assert bary < 1e-4 and depth < 1e-5
    assert (found.zbuf[found.pix_to_face < 0] == -1).all()
    image = raster.interpolate(found, reference["in/faces"], reference["in/vertex_colors"])
    assert (image - reference["out/image"])[same].abs().max() < 1e-4


def test_gradients_are_pytorch3ds(reference):
    verts = reference["in/verts_ndc"].clone().requires_grad_()
    colors = reference["in/vertex_colors"].clone().requires_grad_()
    found = run(reference, verts)
    agrees = (found.pix_to_face == reference["out/pix_to_face"]) & found.mask
    image = raster.interpolate(found, reference["in/faces"], colors)
    loss = (image * reference["in/weights"])[agrees].sum()
    to_verts, to_colors = torch.autograd.grad(loss, (verts, colors), retain_graph=True)
    (of_depth,) = torch.autograd.grad(found.zbuf[agrees].sum(), verts)
    for got, name in (
        (to_verts, "verts_ndc"),
        (to_colors, "vertex_colors"),
        (of_depth, "verts_ndc_of_sum_zbuf"),
    ):
        wanted = reference[f"grad/{name}"]
        assert (got - wanted).norm() < 1e-3 * wanted.norm(), name


def test_pytorch3d_is_asked_where_it_is_installed_and_changes_nothing(reference, monkeypatch):
    own = run(reference, reference["in/verts_ndc"])
    asked = []

    def stand_in(meshes, image_size, blur_radius, faces_per_pixel, perspective_correct, cull_backfaces):
        asked.append((image_size, blur_radius, faces_per_pixel, perspective_correct, cull_backfaces))
        return (reference["out/pix_to_face"][None, ..., None], None, None, None)

    monkeypatch.setattr(raster, "rasterize_meshes", stand_in)
    monkeypatch.setattr(raster, "Meshes", lambda verts, faces: (verts, faces), raising=False)
    theirs = run(reference, reference["in/verts_ndc"])
    assert asked == [((64, 96), 0.0, 1, True, False)]
    same = own.pix_to_face == theirs.pix_to_face
    assert torch.equal(own.bary_coords[same], theirs.bary_coords[same])


def ball(radius=0.4, center=(0.0, 0.0, 0.0), color=(0.9, 0.1, 0.2)):
    shape = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return TriMesh(shape.vertices + np.array(center), shape.faces, np.tile(color, (len(shape.vertices), 1)))


def test_views_show_the_sphere_where_the_rays_meet_it():
    """Mask and depth of a sphere equal those of the analytic intersection of the camera's own rays."""
    size, mesh = 41, ball(center=(0.1, 0.05, -0.05))
    cameras = look_at([0.0, 70.0], [0.0, 25.0], 1.6)
    found = raster.rasterize_views(
        torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces).long(), cameras, size
    )
    origins, directions = cameras.rays(size, size)
    offset = origins - torch.tensor([0.1, 0.05, -0.05])
    a = (directions**2).sum(-1)
    b = (offset * directions).sum(-1)
    inside = b**2 - a * ((offset**2).sum(-1) - 0.4**2)
    surely = inside.abs() > 0.01
    assert torch.equal(found.mask[surely], (inside > 0)[surely])
    clear = inside > 0.02
    depth = ((-b - inside.clamp(min=0).sqrt()) / a)[clear]
    assert (found.zbuf[clear] - depth).abs().max() < 3e-3  # sagitta of the facets


def test_position_gradient_agrees_with_finite_differences():
    mesh = ball()
    faces = torch.from_numpy(mesh.faces).long()
    cameras = look_at(30.0, 10.0, 1.6)
    weights = torch.linspace(0, 1, 15 * 15, dtype=torch.float64).reshape(1, 15, 15)
    start = torch.from_numpy(mesh.vertices).double()
    cameras = type(cameras)(cameras.world_mat.double(), cameras.camera_mat.double())

    def loss(vertices):
        found = raster.rasterize_views(vertices, faces, cameras, 15)
        return (found.zbuf * weights)[found.mask].sum()

    vertices = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(vertices), vertices)
    direction = torch.sin(torch.arange(start.numel(), dtype=torch.float64)).reshape(start.shape)
    step = 1e-6
    slope = (loss(start + step * direction) - loss(start - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)


def test_image_is_upright_white_around_and_coloured():
    """A red ball up and on the object's right is seen from the front at the top right."""
    mesh = ball(0.15, center=(0.3, 0.3, 0.0))
    rgb, mask = raster.render_mesh(mesh, look_at(0.0, 0.0, 2.0), 32, shading="none")
    assert rgb.shape == (1, 32, 32, 3) and mask.shape == (1, 32, 32)
    rows, columns = torch.nonzero(mask[0] == 1, as_tuple=True)
    assert rows.float().mean() < 14 and columns.float().mean() > 17
    assert (rgb[0][mask[0] == 0] == 1).all()
    np.testing.assert_allclose(rgb[0][mask[0] == 1].mean(0), [0.9, 0.1, 0.2], atol=1e-5)
    edge = (mask[0] > 0) & (mask[0] < 1)
    assert edge.any()


def test_soft_light_is_brightest_where_the_surface_faces_the_camera():
    rgb, mask = raster.render_mesh(ball(color=(1.0, 1.0, 1.0)), look_at(0.0, 0.0, 2.0), 33)
    red = rgb[0, ..., 0]
    column = red[16]
    inside = torch.nonzero(mask[0, 16] == 1).ravel()
    assert column[16] == pytest.approx(raster.AMBIENT + raster.HEAD + raster.SKY / 2, abs=0.01)
    assert column[inside[0]] < column[16] - 0.1 and column[inside[-1]] < column[16] - 0.1


def test_camera_inside_the_mesh_is_refused_and_an_empty_mesh_is_white():
    with pytest.raises(MeshError, match="inside the mesh"):
        raster.render_mesh(ball(), look_at(0.0, 0.0, 0.2), 8)
    empty = TriMesh(np.zeros((3, 3)), np.zeros((0, 3)), np.zeros((3, 3)))
    rgb, mask = raster.render_mesh(empty, look_at(0.0, 0.0, 2.0), 8)
    assert (rgb == 1).all() and (mask == 0).all()
