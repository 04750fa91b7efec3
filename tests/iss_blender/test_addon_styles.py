"""Styles in the scene: new looks of results and of own meshes, looking back, chains, refusals."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.iss_blender.bpy_scene import box_arrays, read

GREEN, YELLOW, RED = (0.0, 0.8, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0)


def record(stage: SimpleNamespace, obj: Any) -> Any:
    return stage.object_record.read_record(obj)


def stylize(stage: SimpleNamespace, style: str = "wooden", **changes: Any) -> Any:
    wanted = stage.bpy.context.scene.iss_style
    for name, value in {"style": style, **changes}.items():
        setattr(wanted, name, value)
    assert stage.ops.stylize() == {"FINISHED"}
    stage.settle()
    return stage.bpy.context.view_layer.objects.active


def colors(obj: Any) -> np.ndarray:
    return read(obj.data.color_attributes.active_color.data, "color_srgb", 4)[:, :3]


def own_box(stage: SimpleNamespace, *, quads: bool = True, uv: bool = False) -> Any:
    """The artist's own cube, active, with a material of theirs."""
    if quads:
        stage.bpy.ops.mesh.primitive_cube_add(size=2.0)
        obj = stage.bpy.context.view_layer.objects.active
        if not uv:
            obj.data.uv_layers.remove(obj.data.uv_layers[0])
    else:
        box = box_arrays()
        mesh = stage.data.meshes.new("own")
        mesh.from_pydata(box["vertices"].tolist(), [], box["faces"].tolist())
        obj = stage.data.objects.new("own", mesh)
        stage.bpy.context.scene.collection.objects.link(obj)
        stage.bpy.context.view_layer.objects.active = obj
    return obj


def test_a_look_takes_name_and_transform_and_hides_the_original(stage: SimpleNamespace) -> None:
    first = stage.make()
    first.location, first.rotation_euler, first.scale = (1, 2, 3), (0.1, 0.2, 0.3), (2, 1, 1)
    first.modifiers.new("Bevel", "BEVEL")
    before = read(first.data.vertices, "co", 3)
    look = stylize(stage, strength=0.5, seed=7)
    assert look != first and look.name == "a red chair" and first.name == "a red chair (original)"
    assert look.matrix_basis == first.matrix_basis and [m.name for m in look.modifiers] == ["Bevel"]
    assert first.hide_get() and first.hide_render and not look.hide_get() and not look.hide_render
    assert np.array_equal(read(look.data.vertices, "co", 3), before)
    assert np.allclose(colors(look), GREEN, atol=1e-4) and not np.allclose(colors(first), GREEN, atol=0.1)
    known = record(stage, look)
    assert known.recipe["styles"] == [{"style": "wooden", "mode": "texture", "strength": 0.5, "seed": 7}]
    assert look["iss_decoder"] == b"wooden" and not record(stage, first).recipe.get("styles")
    assert look["iss_id"] != first["iss_id"] and "iss_original_mesh" not in first
    assert [m.name for m in look.data.materials] == ["ISS Colors"]


def test_styles_chain_and_branch(stage: SimpleNamespace) -> None:
    first = stage.make()
    wooden = stylize(stage, "wooden")
    icy = stylize(stage, "icy")
    assert [s["style"] for s in record(stage, icy).recipe["styles"]] == ["wooden", "icy"]
    assert icy["iss_decoder"] == b"wooden>icy"
    assert (icy.name, wooden.name) == ("a red chair", "a red chair (wooden)")
    assert stage.addon_styles.first_original(icy) == first
    zebra = stylize(stage, "zebra", base="ORIGINAL")
    assert [s["style"] for s in record(stage, zebra).recipe["styles"]] == ["zebra"]
    assert first.hide_get() and not icy.hide_get() and not zebra.hide_get()
    assert zebra.location.x > icy.location.x + 0.4 and zebra.location.y == icy.location.y


def test_styles_queued_for_one_object_stand_side_by_side(stage: SimpleNamespace) -> None:
    first = stage.make()
    for style in ("wooden", "zebra"):
        stage.bpy.context.scene.iss_style.style = style
        assert stage.ops.stylize() == {"FINISHED"}
    stage.settle()
    wooden, zebra = stage.addon_styles.looks_of(first)
    assert zebra.location.x > wooden.location.x and first.name == "a red chair (original)"
    assert len(record(stage, zebra).recipe["styles"]) == 1
    for look in (wooden, zebra):
        stage.data.objects.remove(look)
    stage.bpy.context.view_layer.objects.active = first
    assert stage.ops.show_original() == {"FINISHED"} and not first.hide_get() and not first.hide_render


def test_looking_back_and_to_the_original(stage: SimpleNamespace) -> None:
    first = stage.make()
    look = stylize(stage)
    assert list(look["iss_style_steps"]) == [0, 1, 2] and look["iss_style_step"] == 2
    for position, shown in ((1, YELLOW), (0, RED), (2, GREEN)):
        look["iss_style_step"] = position
        stage.addon_timer.tick()
        assert np.allclose(colors(look), shown, atol=1e-4) and look["iss_style_shown"] == position
    look["iss_style_step"] = 9
    stage.addon_timer.tick()
    assert look["iss_style_step"] == 2
    assert stage.ops.show_original() == {"FINISHED"}
    assert look.hide_get() and not first.hide_get() and stage.bpy.context.view_layer.objects.active == first
    assert stage.ops.show_original() == {"FINISHED"}
    assert first.hide_get() and not look.hide_get()


def test_a_saved_look_can_be_meshed_finer_styled_further_and_regenerated(
    stage: SimpleNamespace, tmp_path: Path
) -> None:
    stage.make()
    stylize(stage)
    stage.bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    stage.bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    (look,) = (obj for obj in stage.results() if "iss_decoder" in obj)
    assert look["iss_decoder"] == b"wooden"
    stage.bpy.context.view_layer.objects.active = look
    look["iss_style_step"] = 0
    stage.addon_timer.tick()
    assert np.allclose(colors(look), RED, atol=1e-4)
    assert stage.ops.remesh() == {"FINISHED"}
    job = stage.current.client.jobs[-1]
    assert bytes(job.arrays["decoder"]) == b"wooden" and job.params["changes"]["mesh"]["resolution"] == 192
    stage.settle()
    assert np.allclose(colors(look), GREEN, atol=1e-4) and "iss_style_step" not in look
    assert record(stage, look).scores == pytest.approx((0.2, 0.5, 0.6)) and "iss_iteration_shown" not in look
    twice = stylize(stage, "icy")
    assert twice["iss_decoder"] == b"wooden>icy"
    assert stage.ops.regenerate() == {"FINISHED"}
    assert stage.current.client.jobs[-1].name == "generate"
    stage.settle()
    assert twice["iss_decoder"] == b"wooden>icy" and np.allclose(colors(twice), GREEN, atol=1e-4)
    assert len(record(stage, twice).recipe["styles"]) == 2


def test_the_shown_iteration_is_what_is_styled(stage: SimpleNamespace) -> None:
    obj = stage.make()
    obj["iss_iteration"] = 2
    stage.settle()
    known = record(stage, obj)
    stylize(stage)
    job = stage.current.client.jobs[-1]
    assert job.arrays["code"].tolist() == known.codes[2].tolist()
    assert job.params["recipe"]["start_code"] == known.codes[2].tolist()
    assert job.params["recipe"]["settings"]["stage2"]["steps"] == 0


def test_a_preview_shows_on_the_object_and_cancel_takes_it_back(stage: SimpleNamespace) -> None:
    for obj in (stage.make(), own_box(stage)):
        mesh, name = obj.data, obj.name
        stage.bpy.context.view_layer.objects.active = obj
        stage.bpy.context.scene.iss_style.style = "slow"
        stage.ops.stylize()
        stage.pump(lambda obj=obj: "iss_original_mesh" in obj)
        assert obj.data != mesh and len(obj.data.vertices) == len(mesh.vertices)
        stage.ops.cancel()
        stage.settle()
        assert obj.data == mesh and obj.name == name and not obj.hide_get()
    assert len([mesh for mesh in stage.data.meshes if mesh.users]) == 2


def test_another_style_can_be_queued_while_one_is_shown(stage: SimpleNamespace) -> None:
    for obj in (stage.make(), own_box(stage)):
        stage.bpy.context.view_layer.objects.active = obj
        wanted = stage.bpy.context.scene.iss_style
        wanted.style, wanted.output = "slow", "ATTRIBUTE"
        stage.ops.stylize()
        stage.pump(lambda obj=obj: "iss_original_mesh" in obj)
        wanted.style = "zebra"
        assert stage.ops.stylize() == {"FINISHED"}
        slow = next(job for job in stage.current.client.jobs if not job.ended)
        stage.ops.cancel(job_id=slow.id)
        stage.settle()
        (look,) = stage.addon_styles.looks_of(obj)
        assert np.allclose(colors(look), GREEN, atol=1e-4) and obj.hide_get()
        assert "iss_original_mesh" not in obj and "iss_original_mesh" not in look


def test_an_own_mesh_gets_a_picture_and_keeps_its_geometry(stage: SimpleNamespace) -> None:
    box = own_box(stage, uv=True)
    own = stage.data.materials.new("own")
    box.data.materials.append(own)
    box.location, box.scale = (4, 5, 6), (1, 2, 1)
    stage.bpy.context.view_layer.update()
    stage.chosen.bake_size = "512"
    look = stylize(stage, "brick", subject="a house", mode="shape-texture")
    job = stage.current.client.jobs[-1]
    assert job.name == "stylize_mesh" and job.params["subject"] == "a house"
    assert job.params["style"]["mode"] == "texture"
    sent = job.arrays["vertices"]
    assert np.ptp(sent, axis=0).tolist() == [2, 2, 4]  # wide, high, deep: y up, scaled as it stands
    assert look.name == "Cube" and box.hide_get() and box.data.materials[0] == own
    assert look.data != box.data and tuple(look.location) == (4, 5, 6)
    assert np.array_equal(read(look.data.vertices, "co", 3), read(box.data.vertices, "co", 3))
    assert [len(p.vertices) for p in look.data.polygons] == [4] * 6
    (image,) = (i for i in stage.data.images if i.size[0] == 512)
    pixels = np.array(image.pixels[:]).reshape(512, 512, 4)
    assert image.packed_file and np.allclose(pixels[300, 250, :3], GREEN, atol=0.01)
    assert look.data.materials[0].get("iss_material") == "texture"
    assert np.allclose(colors(look), GREEN, atol=1e-4) and "iss_style_step" not in look


def test_a_mesh_without_uv_map_is_unwrapped_on_a_copy(stage: SimpleNamespace) -> None:
    box = own_box(stage, quads=False)
    look = stylize(stage, "brick", output="PICTURE")
    assert not box.data.uv_layers and [layer.name for layer in look.data.uv_layers] == ["ISS UV"]
    assert len(stage.data.objects) == 2 and len(look.data.materials) == 1
    uv = read(look.data.uv_layers[0].data, "uv", 2)
    assert uv.min() >= 0 and uv.max() <= 1 and np.ptp(uv) > 0.3


def test_texels_lie_on_the_surface(stage: SimpleNamespace) -> None:
    box = own_box(stage, uv=True)
    mesh = stage.addon_own_mesh.read_own_mesh(box, picture_size=512)
    points = mesh.arrays["samples"]
    assert len(points) == len(mesh.arrays["texels"]) > 50_000
    assert np.allclose(np.abs(points).max(axis=1), 1.0, atol=1e-4) and mesh.look["uv_map"] == "UVMap"


def test_an_own_mesh_with_colours_of_vertices(stage: SimpleNamespace) -> None:
    box = own_box(stage)
    look = stylize(stage, output="ATTRIBUTE")
    assert not stage.data.images and not look.data.uv_layers
    look["iss_style_step"] = 1
    stage.addon_timer.tick()
    assert np.allclose(colors(look), YELLOW, atol=1e-4)
    again = stylize(stage, "icy", output="ATTRIBUTE")
    assert look.name == "Cube (wooden)" and again.name == "Cube"
    assert stage.addon_styles.first_original(again) == box


def test_an_edited_result_is_styled_as_it_is(stage: SimpleNamespace) -> None:
    obj = stage.make()
    obj.data.vertices[0].co.x += 0.2
    look = stylize(stage, own_mesh=True, output="ATTRIBUTE")
    assert look.data.vertices[0].co.x == pytest.approx(obj.data.vertices[0].co.x)
    assert stage.current.client.jobs[-1].params["subject"] == "a red chair"


def test_broken_topology_is_fine(stage: SimpleNamespace) -> None:
    mesh = stage.data.meshes.new("fan")
    corners = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (-1, 0, 0), (9, 9, 9)]
    faces = [(0, 1, 2), (0, 1, 3), (0, 1, 4)]  # three at one edge; a vertex belongs to none
    mesh.from_pydata(corners, [], faces)
    fan = stage.data.objects.new("fan", mesh)
    stage.bpy.context.scene.collection.objects.link(fan)
    stage.bpy.context.view_layer.objects.active = fan
    look = stylize(stage, output="ATTRIBUTE")
    assert len(look.data.vertices) == 6 and len(look.data.materials) == 1


def refused(stage: SimpleNamespace, match: str, **changes: Any) -> None:
    wanted = stage.bpy.context.scene.iss_style
    for name, value in {"style": "wooden", **changes}.items():
        setattr(wanted, name, value)
    jobs = len(stage.current.client.jobs)
    with pytest.raises(RuntimeError, match=match):
        stage.ops.stylize()
    assert len(stage.current.client.jobs) == jobs


def test_what_cannot_be_styled_is_explained(stage: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    obj = stage.make()
    refused(stage, "Type a style", style="  ")
    known = stage.object_record
    whole = record(stage, obj)
    known.write_record(obj, known.ObjectRecord(**{**vars(whole), "preview": True}))
    refused(stage, "still being made")
    known.write_record(obj, whole)
    stylize(stage)
    look = stage.bpy.context.view_layer.objects.active
    del look["iss_decoder"]
    refused(stage, "its tuned decoder is not on it any more")
    with pytest.raises(RuntimeError, match="tuned decoder"):
        stage.ops.remesh()
    empty = stage.data.objects.new("points", stage.data.meshes.new("points"))
    stage.bpy.context.scene.collection.objects.link(empty)
    stage.bpy.context.view_layer.objects.active = empty
    refused(stage, "has no faces")
    light = stage.data.objects.new("lamp", stage.data.lights.new("lamp", "POINT"))
    stage.bpy.context.scene.collection.objects.link(light)
    stage.bpy.context.view_layer.objects.active = light
    refused(stage, "is no mesh")
    box = own_box(stage)
    monkeypatch.setattr(stage.addon_own_mesh, "MOST_FACES", 11)
    refused(stage, "12 triangles; at most 11")
    monkeypatch.undo()
    stage.bpy.ops.object.mode_set(mode="EDIT")
    refused(stage, "is being edited")
    stage.bpy.ops.object.mode_set(mode="OBJECT")
    box.scale = (0, 0, 0)
    stage.bpy.context.view_layer.update()
    refused(stage, "in one place")
    assert obj.name in stage.data.objects


def test_linked_data_is_refused(stage: SimpleNamespace, tmp_path: Path) -> None:
    own_box(stage)
    stage.bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    stage.bpy.ops.wm.read_homefile(use_empty=True)
    with stage.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, into):
        into.objects = ["Cube"]
    linked = stage.data.objects["Cube"]
    stage.bpy.context.scene.collection.objects.link(linked)
    stage.bpy.context.view_layer.objects.active = linked
    refused(stage, "linked from another file")


def test_a_mesh_that_changed_or_went_meanwhile_is_told(stage: SimpleNamespace) -> None:
    box = own_box(stage)
    stage.chosen.preview_every = 0
    stage.bpy.context.scene.iss_style.style = "wooden"
    stage.bpy.context.scene.iss_style.output = "ATTRIBUTE"
    stage.ops.stylize()
    box.data.vertices.add(1)
    stage.settle()
    assert "9 vertices now, 8 were styled" in stage.current.trouble.message
    assert len(stage.data.objects) == 1 and not box.hide_get()
    stage.ops.stylize()
    stage.data.objects.remove(box)
    stage.settle()
    assert "not there any more" in stage.current.trouble.message


def test_the_look_of_a_deleted_result_comes_alone(stage: SimpleNamespace) -> None:
    obj = stage.make()
    stage.chosen.preview_every = 0
    stage.bpy.context.scene.iss_style.style = "wooden"
    stage.ops.stylize()
    stage.data.objects.remove(obj)
    stage.settle()
    (look,) = stage.results()
    assert look["iss_decoder"] == b"wooden" and record(stage, look).recipe["styles"]


def test_a_failed_style_leaves_the_object_and_tells(stage: SimpleNamespace) -> None:
    obj = stage.make()
    mesh = obj.data
    wanted = stage.bpy.context.scene.iss_style
    wanted.style = "fail"
    assert stage.ops.stylize() == {"FINISHED"}
    stage.settle()
    assert obj.data == mesh and stage.results() == [obj] and not obj.hide_get()
    (failed,) = stage.current.listed_jobs()
    assert failed.failure.remedy and failed.title == "fail: a red chair"
