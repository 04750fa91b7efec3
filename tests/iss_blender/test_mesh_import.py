"""Scene numbers of imported results in bpy: bounds, floor, axes, colours, replacement, save, undo."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iss_blender.object_record import ObjectRecord, read_record
from tests.iss_blender.bpy_scene import box_arrays, empty_scene, read, srgb_to_linear

pytestmark = pytest.mark.bpy

RECIPE = {"prompt": "a red chair", "seed": 2**62 + 1, "settings": {"mesh": {"resolution": 64}}}


def record(**changes: Any) -> ObjectRecord:
    values: dict[str, Any] = {
        "job_id": "20260101-000000-abcdef",
        "recipe": RECIPE,
        "code": np.array([0.1, -2.5, 3.0], np.float32),
        "codes": np.arange(6, dtype=np.float32).reshape(2, 3),
        "scores": (0.2, 0.3),
        "best_step": 1,
        "backend_version": "0.1.0",
        "height_m": 1.6,
    }
    return ObjectRecord(**{**values, **changes})


@pytest.fixture
def scene(blender: Any) -> Any:
    return empty_scene(blender)


def world_bounds(obj: Any) -> np.ndarray:
    points = read(obj.data.vertices, "co", 3) + np.array(obj.location, np.float32)
    return np.stack([points.min(axis=0), points.max(axis=0)])


def test_a_result_stands_on_the_floor_below_the_cursor_with_its_front_to_minus_y(scene: Any) -> None:
    from iss_blender.mesh_import import import_result

    scene.cursor.location = (2.0, -3.0, 5.0)
    obj = import_result(box_arrays(), record())
    # The box is 0.4 x 0.8 x 0.5 in SVR space, so a height of 1.6 m doubles it: 0.8 wide, 1.0 deep.
    np.testing.assert_allclose(world_bounds(obj), [[1.6, -3.5, 0.0], [2.4, -2.5, 1.6]], atol=1e-6)
    assert tuple(obj.location) == (2.0, -3.0, 0.0) and tuple(obj.scale) == (1, 1, 1)
    assert obj.name == obj.data.name == "a red chair"
    assert [c.name for c in obj.users_collection] == ["ISS"]


def test_axes_corner_by_corner(blender: Any) -> None:
    from iss_blender.mesh_import import to_blender

    svr = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0, 0.5], [0, 0, -0.5], [0, 0, 0], [0, 1, 0]], np.float32)
    expected = [[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 2]]
    np.testing.assert_allclose(to_blender(svr, 2.0), expected, atol=1e-6)


def test_faces_look_outwards_and_volume_is_that_of_the_box(scene: Any) -> None:
    from iss_blender.mesh_import import import_result

    obj = import_result(box_arrays(), record())
    points, faces = read(obj.data.vertices, "co", 3), np.array([p.vertices[:] for p in obj.data.polygons])
    a, b, c = (points[faces[:, i]].astype(float) for i in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(0.8 * 1.0 * 1.6, rel=1e-6)
    assert len(obj.data.edges) == 18 and not obj.data.validate(verbose=False)


def test_a_flat_shape_does_not_become_huge(blender: Any) -> None:
    from iss_blender.mesh_import import FLATTEST, to_blender

    rug = box_arrays((-0.5, 0.0, -0.5), (0.5, 0.001, 0.5))["vertices"]
    extent = np.ptp(to_blender(rug, 1.0), axis=0)
    np.testing.assert_allclose(extent, [1 / FLATTEST, 1 / FLATTEST, 0.001 / FLATTEST], rtol=1e-4)


def test_colours_are_linear_in_the_attribute_and_as_sent_in_srgb(scene: Any) -> None:
    from iss_blender.mesh_import import ATTRIBUTE, import_result

    arrays = box_arrays()
    obj = import_result(arrays, record())
    attributes = obj.data.color_attributes
    attribute = attributes[ATTRIBUTE]
    assert (attribute.data_type, attribute.domain) == ("FLOAT_COLOR", "POINT")
    linear = read(attribute.data, "color", 4)
    np.testing.assert_allclose(linear[:, :3], srgb_to_linear(arrays["colors"]), atol=2e-6)
    np.testing.assert_array_equal(linear[:, 3], 1)
    # Blender's own way back is a fast approximation.
    np.testing.assert_allclose(read(attribute.data, "color_srgb", 4)[:, :3], arrays["colors"], atol=5e-4)
    assert attributes.active_color.name == ATTRIBUTE
    assert attributes[attributes.render_color_index].name == ATTRIBUTE


def test_smooth_by_angle_keeps_the_edges_of_a_box_sharp(scene: Any) -> None:
    from iss_blender.mesh_import import import_result

    mesh = import_result(box_arrays(), record()).data
    assert all(polygon.use_smooth for polygon in mesh.polygons)
    sharp = [edge for edge in mesh.edges if edge.use_edge_sharp]
    assert len(sharp) == 12  # the box's own edges, not the diagonals of its sides


def test_replacement_keeps_transform_modifiers_and_the_artists_material(blender: Any, scene: Any) -> None:
    from iss_blender.mesh_import import import_result, replace_result

    obj = import_result(box_arrays(), record(preview=True))
    obj.location, obj.rotation_euler, obj.scale = (1, 2, 3), (0, 0, 0.5), (2, 2, 2)
    obj.name = "my chair"
    obj.modifiers.new("Bevel", "BEVEL")
    blue = blender.data.materials.new("artist's blue")
    obj.data.materials[0] = blue
    mesh = obj.data
    replace_result(obj, box_arrays((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)), record(scores=(0.5,), best_step=0))
    assert obj.data == mesh and obj.name == "my chair"
    assert (tuple(obj.location), tuple(obj.scale)) == ((1, 2, 3), (2, 2, 2))
    assert obj.rotation_euler.z == pytest.approx(0.5)
    assert [m.type for m in obj.modifiers] == ["BEVEL"]
    assert list(mesh.materials) == [blue]
    np.testing.assert_allclose(np.ptp(read(mesh.vertices, "co", 3), axis=0), [1.6, 1.6, 1.6], rtol=1e-6)
    kept = read_record(obj)
    assert kept is not None and kept.score == 0.5 and not kept.preview
    assert len(mesh.color_attributes) == 1


def test_replacement_waits_while_the_artist_edits(blender: Any, scene: Any) -> None:
    from iss_blender.mesh_import import MeshImportError, import_result, replace_result

    obj = import_result(box_arrays(), record())
    blender.context.view_layer.objects.active = obj
    blender.ops.object.mode_set(mode="EDIT")
    with pytest.raises(MeshImportError, match="edit mode"):
        replace_result(obj, box_arrays(), record())
    blender.ops.object.mode_set(mode="OBJECT")
    replace_result(obj, box_arrays(), record())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices": np.zeros((0, 3), np.float32)}, "empty or misshapen"),
        ({"faces": np.array([[0, 1, 8]], np.int32)}, "do not belong together"),
        ({"faces": np.array([[0, 1, -1]], np.int32)}, "do not belong together"),
        ({"colors": np.zeros((7, 3), np.float32)}, "do not belong together"),
        ({"vertices": np.full((8, 3), np.nan, np.float32)}, "NaN"),
        ({"faces": np.array([[0, 1, 1]], np.int32)}, "no face with an area"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_leave_nothing(
    blender: Any, scene: Any, change: dict[str, Any], message: str
) -> None:
    from iss_blender.mesh_import import MeshImportError, import_result

    with pytest.raises(MeshImportError, match=message):
        import_result({**box_arrays(), **change}, record())
    assert not blender.data.objects and not blender.data.meshes


def test_a_refused_replacement_leaves_the_old_mesh(scene: Any) -> None:
    from iss_blender.mesh_import import MeshImportError, import_result, replace_result

    obj = import_result(box_arrays(), record())
    with pytest.raises(MeshImportError):
        replace_result(obj, {"vertices": np.zeros((3, 3), np.float32)}, record())
    assert len(obj.data.polygons) == 12


def test_save_and_reload_keep_mesh_colours_and_record(blender: Any, scene: Any, tmp_path: Path) -> None:
    from iss_blender.mesh_import import ATTRIBUTE, import_result

    arrays = box_arrays()
    import_result(arrays, record())
    path = str(tmp_path / "kept.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    blender.ops.wm.read_factory_settings(use_empty=True)
    blender.ops.wm.open_mainfile(filepath=path)
    obj = blender.data.objects["a red chair"]
    kept = read_record(obj)
    assert kept is not None and kept.recipe == RECIPE and kept.recipe["seed"] == 2**62 + 1
    np.testing.assert_array_equal(kept.code, record().code)
    np.testing.assert_array_equal(kept.codes, record().codes)
    assert (kept.score, kept.best_step, kept.backend_version) == (pytest.approx(0.3), 1, "0.1.0")
    assert kept.height_m == pytest.approx(1.6)
    linear = read(obj.data.color_attributes[ATTRIBUTE].data, "color", 4)[:, :3]
    np.testing.assert_allclose(linear, srgb_to_linear(arrays["colors"]), atol=2e-6)


def test_the_record_is_appended_to_another_file(blender: Any, scene: Any, tmp_path: Path) -> None:
    from iss_blender.mesh_import import import_result

    import_result(box_arrays(), record())
    path = str(tmp_path / "library.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    blender.ops.wm.read_factory_settings(use_empty=True)
    with blender.data.libraries.load(path) as (there, here):
        here.objects = list(there.objects)
    kept = read_record(here.objects[0])
    assert kept is not None and kept.prompt == "a red chair"


def test_one_undo_step_takes_one_result_back(blender: Any, scene: Any) -> None:
    from iss_blender.mesh_import import import_result

    blender.ops.ed.undo_push(message="before")
    import_result(box_arrays(), record())
    blender.ops.ed.undo_push(message="a red chair")
    assert "a red chair" in blender.data.objects
    blender.ops.ed.undo()
    assert "a red chair" not in blender.data.objects
    blender.ops.ed.redo()
    assert read_record(blender.data.objects["a red chair"]) is not None


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("a  red\nchair", "a red chair"),
        ("", "ISS result"),
        ("\x00\x07", "ISS result"),
        ("one two three four five six seven eight nine tens", "one two three four five six seven eight nine"),
        ("x" * 80, "x" * 48),
    ],
)  # fmt: skip
def test_names_come_from_words(blender: Any, words: str, name: str) -> None:
    from iss_blender.mesh_import import object_name

    assert object_name(words) == name
    assert len(object_name("🚗" * 40).encode("utf-8")) <= 58


def test_a_second_result_shares_collection_and_material(blender: Any, scene: Any) -> None:
    from iss_blender.mesh_import import import_result

    first, second = (import_result(box_arrays(), record()) for _ in range(2))
    assert (first.name, second.name) == ("a red chair", "a red chair.001")
    assert first.users_collection == second.users_collection
    assert first.data.materials[0] == second.data.materials[0]
    assert len(blender.data.materials) == 1
