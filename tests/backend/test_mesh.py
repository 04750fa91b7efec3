"""TriMesh against closed forms (box, nested and loose parts), and PLY / GLB read back."""

import json
import struct

import numpy as np
import pytest
import trimesh

from backend.errors import MeshError, OutputError
from backend.mesh import TriMesh
from backend.mesh_export import encode_glb, encode_ply, save_mesh, srgb_to_linear

GREY = 0.5


def box(size=(1.0, 1.0, 1.0), center=(0.0, 0.0, 0.0), color=GREY):
    shape = trimesh.creation.box(extents=size)
    return TriMesh(shape.vertices + np.array(center), shape.faces, np.full((8, 3), color))


def sphere(radius=0.5, subdivisions=4):
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return TriMesh(shape.vertices, shape.faces, shape.vertices + 0.5)


def union(*parts):
    offsets = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
    return TriMesh(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=True)]),
        np.concatenate([p.colors for p in parts]),
    )


def test_box_has_its_volume_area_and_topology():
    mesh = box((0.2, 0.3, 0.4), center=(5.0, 0.0, 0.0))
    assert mesh.volume() == pytest.approx(0.024, rel=1e-5)
    assert mesh.area() == pytest.approx(2 * (0.06 + 0.08 + 0.12), rel=1e-5)
    assert mesh.is_watertight() and mesh.euler_number() == 2 and mesh.component_count() == 1
    np.testing.assert_allclose(mesh.bounds, [[4.9, -0.15, -0.2], [5.1, 0.15, 0.2]], atol=1e-6)


def test_normals_of_a_sphere_point_away_from_its_centre():
    mesh = sphere()
    np.testing.assert_allclose(mesh.vertex_normals, mesh.vertices / 0.5, atol=0.02)
    centers = mesh.vertices[mesh.faces].mean(axis=1)
    assert (np.einsum("ij,ij->i", mesh.face_normals, centers) > 0.45).all()


def test_inside_out_mesh_is_turned_and_a_right_one_kept():
    mesh = box()
    flipped = TriMesh(mesh.vertices, mesh.faces[:, ::-1], mesh.colors)
    assert flipped.volume() == pytest.approx(-1)
    assert flipped.outward().volume() == pytest.approx(1)
    assert mesh.outward() is mesh


def test_watertight_refuses_a_hole_a_flipped_face_and_a_doubled_face():
    mesh = box()
    one_flipped = mesh.faces.copy()
    one_flipped[0] = one_flipped[0, ::-1]
    assert not TriMesh(mesh.vertices, mesh.faces[1:], mesh.colors).is_watertight()
    assert not TriMesh(mesh.vertices, one_flipped, mesh.colors).is_watertight()
    assert not TriMesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces]), mesh.colors).is_watertight()
    assert not TriMesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3))).is_watertight()


def test_specks_go_but_thin_parts_stay():
    body, speck = box(), box((0.05, 0.05, 0.05), (2, 0, 0), 0.1)
    rod = box((0.02, 1.0, 0.02), (-2, 0, 0), 0.9)
    cleaned = union(speck, body, rod).without_specks(0.02)
    assert cleaned.component_count() == 2
    assert cleaned.volume() == pytest.approx(1 + 0.0004, rel=1e-5)
    assert 0.1 not in cleaned.colors
    assert union(speck, body).without_specks(0.0).component_count() == 2


def test_enclosed_small_void_is_filled():
    void = box((0.1, 0.1, 0.1))
    hollow = union(box(), TriMesh(void.vertices, void.faces[:, ::-1], void.colors))
    assert hollow.volume() == pytest.approx(0.999, rel=1e-5)
    assert hollow.without_specks(0.02).volume() == pytest.approx(1.0, rel=1e-5)


def test_decimation_keeps_the_budget_the_shape_the_colours_and_the_closedness():
    mesh = sphere(subdivisions=5)
    small = mesh.decimate(1000)
    assert len(small.faces) <= 1000 and small.is_watertight() and small.euler_number() == 2
    assert small.volume() == pytest.approx(mesh.volume(), rel=0.01)
    np.testing.assert_allclose(small.colors, small.vertices + 0.5, atol=0.05)
    assert mesh.decimate(0) is mesh and mesh.decimate(10**6) is mesh


def test_decimation_below_what_the_topology_needs_still_returns_a_closed_mesh():
    torus = trimesh.creation.torus(0.3, 0.1)
    mesh = TriMesh(torus.vertices, torus.faces, np.full((len(torus.vertices), 3), GREY))
    small = mesh.decimate(4)
    assert small.is_watertight() and len(small.faces) < len(mesh.faces)


@pytest.mark.parametrize(
    ("vertices", "faces", "colors", "said"),
    [
        (np.zeros((3, 2)), [[0, 1, 2]], np.zeros((3, 3)), "vertices"),
        (np.zeros((3, 3)), [[0, 1, 3]], np.zeros((3, 3)), "vertex 3"),
        (np.zeros((3, 3)), [[0, 1, 2]], np.zeros((2, 3)), "2 colours for 3"),
        (np.full((3, 3), np.nan), [[0, 1, 2]], np.zeros((3, 3)), "NaN"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(vertices, faces, colors, said):
    with pytest.raises(MeshError, match=said):
        TriMesh(vertices, np.array(faces), colors)


def test_ply_holds_the_srgb_bytes(tmp_path):
    mesh = sphere(subdivisions=2)
    save_mesh(mesh, tmp_path / "new" / "mesh.ply")
    assert (tmp_path / "new" / "mesh.ply").read_bytes().startswith(b"ply\nformat binary_little_endian 1.0")
    back = trimesh.load(tmp_path / "new" / "mesh.ply", process=False)
    np.testing.assert_array_equal(back.vertices, mesh.vertices)
    np.testing.assert_array_equal(back.faces, mesh.faces)
    np.testing.assert_array_equal(back.visual.vertex_colors[:, :3], np.round(mesh.colors * 255))


def test_glb_holds_linear_colours_that_show_the_same_as_the_ply(tmp_path):
    mesh = sphere(subdivisions=2)
    save_mesh(mesh, tmp_path / "mesh.glb")
    data = (tmp_path / "mesh.glb").read_bytes()
    magic, version, length, text_length, kind = struct.unpack_from("<4sIIII", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), 0x4E4F534A)
    document = json.loads(data[20 : 20 + text_length])
    body = data[28 + text_length :]
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    view = document["bufferViews"][accessor["bufferView"]]
    assert accessor["componentType"] == 5123 and accessor["normalized"]
    raw = np.frombuffer(body, "<u2", view["byteLength"] // 2, view["byteOffset"]).reshape(-1, 4) / 65535
    shown = np.where(raw <= 0.0031308, raw * 12.92, 1.055 * raw ** (1 / 2.4) - 0.055)[:, :3]
    np.testing.assert_allclose(shown, mesh.colors, atol=1e-3)


def test_glb_is_read_by_another_program_the_right_way_up(tmp_path):
    mesh = box((0.2, 0.8, 0.4), center=(0.0, 0.1, 0.3))
    save_mesh(mesh, tmp_path / "mesh.glb")
    back = trimesh.load(tmp_path / "mesh.glb", force="mesh", process=False)
    np.testing.assert_array_equal(back.vertices, mesh.vertices)
    np.testing.assert_array_equal(back.faces, mesh.faces)
    assert back.is_watertight and back.volume == pytest.approx(0.064, rel=1e-5)


def test_srgb_to_linear_known_values():
    np.testing.assert_allclose(
        srgb_to_linear(np.array([0, 0.04045, 0.5, 1.0])), [0, 0.0031308, 0.2140, 1], atol=1e-4
    )


def test_unwritable_place_and_unknown_format_are_explained(tmp_path):
    mesh = box()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        save_mesh(mesh, tmp_path / "file" / "mesh.ply")
    with pytest.raises(MeshError, match=r"\.stl"):
        save_mesh(mesh, tmp_path / "mesh.stl")
    empty = TriMesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3)))
    for encode in (encode_ply, encode_glb):
        with pytest.raises(MeshError, match="no faces"):
            encode(empty)


def test_full_disk_keeps_the_earlier_file_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    target = tmp_path / "mesh.ply"
    target.write_bytes(b"earlier result")

    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OutputError, match="No space left"):
        save_mesh(box(), target)
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.ply"]
    assert target.read_bytes() == b"earlier result"
