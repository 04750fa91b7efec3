"""Jobs and the scene, with the add-on enabled in bpy and a fake backend that answers at once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


def record(stage: SimpleNamespace, obj: Any) -> Any:
    return stage.object_record.read_record(obj)


def test_generate_places_a_result(stage: SimpleNamespace) -> None:
    stage.bpy.context.scene.cursor.location = (1.0, 2.0, 3.0)
    obj = stage.make(height=2.0)
    assert stage.results() == [obj] and obj.name == "a red chair"
    assert tuple(obj.location) == (1.0, 2.0, 0.0)
    assert obj.dimensions.z == pytest.approx(2.0)
    assert obj.select_get()
    known = record(stage, obj)
    assert (known.recipe["seed"], known.best_step, len(known.codes)) == (3, 1, 3)
    assert obj["iss_iteration"] == obj["iss_iteration_shown"] == 1


def test_a_prompt_with_quotes_newlines_and_emoji_reaches_the_recipe(stage: SimpleNamespace) -> None:
    words = 'a "red" chair \U0001f680 with é'
    assert record(stage, stage.make(words)).recipe["prompt"] == words


def test_the_first_mesh_is_there_before_the_result(stage: SimpleNamespace) -> None:
    stage.chosen.prompt = "slow"
    stage.ops.generate()
    stage.pump(stage.results)
    (obj,) = stage.results()
    assert record(stage, obj).preview and len(obj.data.polygons) == 8
    stage.ops.cancel()
    stage.settle()
    assert stage.results() == []


def test_stop_and_keep_ends_with_a_result(stage: SimpleNamespace) -> None:
    stage.chosen.prompt = "a slow chair"
    assert stage.ops.generate() == {"FINISHED"}
    running = lambda: stage.current.client.running  # noqa: E731
    stage.pump(lambda: running() and running().can_stop and stage.results())
    assert stage.ops.stop_and_keep(job_id=running().id) == {"FINISHED"}
    stage.settle()
    (obj,) = stage.results()
    assert not record(stage, obj).preview and len(record(stage, obj).code)


def test_each_result_is_one_undo_step(stage: SimpleNamespace) -> None:
    stage.bpy.ops.ed.undo_push(message="start")
    stage.make("first")
    stage.make("second")
    assert len(stage.results()) == 2
    stage.bpy.ops.ed.undo()
    assert [obj.name for obj in stage.results()] == ["first"]
    stage.bpy.ops.ed.undo()
    assert stage.results() == []
    stage.bpy.ops.ed.redo()
    assert [obj.name for obj in stage.results()] == ["first"]
    addon_scene, marks = stage.addon_scene, stage.object_marks
    (obj,) = stage.results()
    assert addon_scene.find_object(obj[marks.ID]) == obj


def test_a_saved_file_keeps_recipe_and_code(stage: SimpleNamespace, tmp_path: Path) -> None:
    before = record(stage, stage.make())
    assert stage.current.placed
    stage.bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    assert not stage.current.placed
    stage.bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    (obj,) = stage.results()
    after = record(stage, obj)
    assert after.recipe == before.recipe and after.scores == before.scores
    assert after.code.tolist() == before.code.tolist() and after.codes.tolist() == before.codes.tolist()
    assert stage.current.waiting == []
    stage.bpy.context.view_layer.objects.active = obj
    assert stage.ops.regenerate() == {"FINISHED"}


def test_opening_a_file_without_saving_offers_the_result(stage: SimpleNamespace) -> None:
    stage.make()
    stage.bpy.ops.wm.read_homefile(use_empty=True)
    assert [entry.title for entry in stage.current.waiting] == ["a red chair"]
    assert stage.ops.recover() == {"FINISHED"}
    stage.settle()
    assert [obj.name for obj in stage.results()] == ["a red chair"]
    assert stage.current.waiting == []


def test_regenerate_and_refine_keep_the_object_and_what_the_artist_did(stage: SimpleNamespace) -> None:
    obj = stage.make()
    obj.location = (5, 0, 0)
    obj.modifiers.new("Bevel", "BEVEL")
    own = stage.data.materials.new("own")
    obj.data.materials[0] = own
    assert stage.ops.regenerate() == {"FINISHED"}
    stage.settle()
    stage.chosen.refine_steps = 5
    assert stage.ops.refine() == {"FINISHED"}
    stage.settle()
    assert stage.results() == [obj] and tuple(obj.location) == (5, 0, 0)
    assert [m.name for m in obj.modifiers] == ["Bevel"] and obj.data.materials[0] == own
    assert len(record(stage, obj).codes) == 6 and obj["iss_iteration"] == 4
    assert "iss_original_mesh" not in obj
    assert len([mesh for mesh in stage.data.meshes if mesh.users]) == 1


def test_a_failed_change_gives_the_object_its_mesh_back(stage: SimpleNamespace) -> None:
    obj = stage.make()
    mesh, before = obj.data, record(stage, obj)
    known = stage.object_record
    known.write_record(obj, known.ObjectRecord(**{**before.__dict__, "recipe": {"prompt": "slow fail"}}))
    stage.ops.regenerate()
    stage.pump(lambda: "iss_original_mesh" in obj)
    assert obj.data != mesh
    stage.ops.cancel()
    stage.settle()
    assert obj.data == mesh and not record(stage, obj).preview
    assert len(record(stage, obj).code) == 4


def test_vary_and_branch_stand_beside_the_original(stage: SimpleNamespace) -> None:
    first = stage.make()
    assert stage.ops.vary() == {"FINISHED"}
    stage.settle()
    varied = stage.bpy.context.view_layer.objects.active
    assert varied != first and record(stage, varied).prompt == "a red chair"
    assert "start_code" not in record(stage, varied).recipe
    edge = first.location.x + max(corner[0] for corner in first.bound_box)
    assert varied.location.x + min(corner[0] for corner in varied.bound_box) > edge
    stage.chosen.prompt = "a blue chair"
    assert stage.ops.branch() == {"FINISHED"}
    stage.settle()
    branched = stage.bpy.context.view_layer.objects.active
    assert branched not in (first, varied) and record(stage, branched).prompt == "a blue chair"
    assert record(stage, branched).codes[0].tolist() == record(stage, varied).code.tolist()


def test_blend_makes_an_in_between_with_a_slider(stage: SimpleNamespace) -> None:
    a = stage.make(seed=1)
    b = stage.make(seed=5)
    a.select_set(True)
    b.select_set(True)
    stage.bpy.context.view_layer.objects.active = a
    stage.chosen.blend_weight = 0.25
    assert stage.ops.blend() == {"FINISHED"}
    stage.settle()
    mixed = stage.bpy.context.view_layer.objects.active
    expected = 0.75 * record(stage, a).code + 0.25 * record(stage, b).code
    assert record(stage, mixed).code.tolist() == pytest.approx(expected.tolist())
    mixed["iss_blend"] = 1.0
    stage.settle()
    assert record(stage, mixed).code.tolist() == pytest.approx(record(stage, b).code.tolist())
    assert mixed["iss_blend_shown"] == 1.0 and len(stage.results()) == 3
    assert stage.ops.regenerate() == {"FINISHED"}
    stage.settle()
    assert record(stage, mixed).code.tolist() == pytest.approx(record(stage, b).code.tolist())
    assert mixed["iss_blend"] == 1.0


def test_the_iteration_slider_changes_the_mesh(stage: SimpleNamespace) -> None:
    obj = stage.make()
    width = obj.dimensions.x
    obj["iss_iteration"] = 2
    stage.settle()
    stage.bpy.context.view_layer.update()
    assert obj["iss_iteration_shown"] == 2 and obj.dimensions.x > width
    assert record(stage, obj).best_step == 1
    obj["iss_iteration"] = 99
    stage.settle()
    assert obj["iss_iteration"] == 2


def test_a_board_is_a_row_of_drafts_and_promoting_keeps_one(stage: SimpleNamespace) -> None:
    stage.make(variations=3)
    row = stage.results()
    assert len({obj["iss_board"] for obj in row}) == 1
    ordered = stage.addon_scene.board_objects(row[0]["iss_board"])
    assert [record(stage, obj).recipe["seed"] for obj in ordered] == [3, 4, 5]
    assert ordered[0].location.x < ordered[1].location.x < ordered[2].location.x
    chosen_one, code = ordered[1], record(stage, ordered[1]).code.tolist()
    assert stage.ops.promote(object_id=chosen_one["iss_id"]) == {"FINISHED"}
    stage.settle()
    assert stage.results() == [chosen_one] and "iss_board" not in chosen_one
    assert stage.bpy.context.view_layer.objects.active == chosen_one
    assert record(stage, chosen_one).codes[0].tolist() == code


def test_a_duplicate_is_changed_instead_of_its_original(stage: SimpleNamespace) -> None:
    first = stage.make()
    copy = first.copy()
    copy.data = first.data.copy()
    stage.bpy.context.scene.collection.objects.link(copy)
    stage.bpy.context.view_layer.objects.active = copy
    old = first.data
    assert stage.ops.refine() == {"FINISHED"}
    stage.settle()
    assert copy["iss_id"] != first["iss_id"]
    assert len(record(stage, first).codes) == 3 and first.data == old
    assert len(record(stage, copy).codes) == 21


def test_a_result_waits_while_its_object_is_edited(stage: SimpleNamespace) -> None:
    obj = stage.make()
    stage.ops.regenerate()
    stage.bpy.ops.object.mode_set(mode="EDIT")
    stage.pump(lambda: all(job.ended for job in stage.current.client.jobs))
    for _ in range(5):
        stage.addon_timer.tick()
    assert stage.current.scene_work
    stage.bpy.ops.object.mode_set(mode="OBJECT")
    stage.settle()
    assert obj.data.polygons and not stage.current.scene_work


def test_prompts_of_a_text_become_a_row(stage: SimpleNamespace) -> None:
    text = stage.data.texts.new("prompts")
    text.write("a chair\n# not this\n\na table\n")
    stage.chosen.prompt_text = text
    assert stage.ops.generate_from_text() == {"FINISHED"}
    stage.settle()
    assert sorted(obj.name for obj in stage.results()) == ["a chair", "a table"]


def test_refusals_are_sentences(stage: SimpleNamespace) -> None:
    stage.chosen.prompt = "  "
    with pytest.raises(RuntimeError, match="Type what to make"):
        stage.ops.generate()
    stage.chosen.image_path = "/nowhere/x.png"
    with pytest.raises(RuntimeError, match="cannot be read"):
        stage.ops.generate()
    with pytest.raises(RuntimeError, match="Choose a text"):
        stage.ops.generate_from_text()
    with pytest.raises(RuntimeError, match="not allowed to go online"):
        stage.ops.set_up()
    with pytest.raises(RuntimeError, match="poll"):
        stage.ops.refine()
    stage.make(image_path="")
    with pytest.raises(RuntimeError, match="exactly two"):
        stage.ops.blend()


def test_the_queue_is_saved_for_the_batch_script(stage: SimpleNamespace, tmp_path: Path) -> None:
    from iss_blender.prompt_list import read_prompts

    for prompt in ("slow", "second", "third"):
        stage.chosen.prompt = prompt
        stage.ops.generate()
    assert stage.ops.save_queue(filepath=str(tmp_path / "q.json")) == {"FINISHED"}
    assert [row.title for row in read_prompts(tmp_path / "q.json")] == ["slow", "second", "third"]
    stage.ops.cancel()


def test_history_recall_and_favourites(stage: SimpleNamespace) -> None:
    stage.make("a chair", quality="fine", seed=11)
    stage.make("a table", quality="normal", seed=12)
    stage.ops.favourite(prompt="a chair")
    assert [e.prompt for e in stage.current.history.listed()] == ["a chair", "a table"]
    stage.ops.recall(prompt="a chair")
    assert (stage.chosen.prompt, stage.chosen.quality, stage.chosen.seed) == ("a chair", "fine", 11)
    stage.ops.forget_prompt(prompt="a chair")
    with pytest.raises(RuntimeError, match="not in the history"):
        stage.ops.recall(prompt="a chair")


def test_recipe_back_to_the_panel(stage: SimpleNamespace) -> None:
    stage.make("a chair", seed=11, height=2.5)
    stage.chosen.prompt, stage.chosen.seed, stage.chosen.height = "x", 0, 1.0
    assert stage.ops.recipe_to_panel() == {"FINISHED"}
    assert (stage.chosen.prompt, stage.chosen.seed, stage.chosen.height) == ("a chair", 11, 2.5)


def test_bake_and_asset(stage: SimpleNamespace) -> None:
    obj = stage.make()
    stage.chosen.bake_size = "512"
    assert stage.ops.bake() == {"FINISHED"}
    assert any(image.size[0] == 512 for image in stage.data.images)
    assert stage.ops.mark_asset() == {"FINISHED"}
    assert "chair" in [tag.name for tag in obj.asset_data.tags]


def test_errors_and_deaths_leave_the_panel_usable(stage: SimpleNamespace) -> None:
    stage.make("fail")
    (failed,) = stage.current.listed_jobs()
    assert failed.failure.remedy
    stage.ops.dismiss_job(job_id=failed.id)
    assert not stage.current.listed_jobs()
    stage.make("die")
    assert stage.current.trouble is not None
    assert stage.ops.restart_backend() == {"FINISHED"}
    stage.make("a chair")
    assert [obj.name for obj in stage.results()] == ["a chair"]


def test_the_doctor_reports_from_the_panel(stage: SimpleNamespace) -> None:
    assert stage.ops.doctor() == {"FINISHED"}
    stage.pump(lambda: stage.current.doctor.done)
    assert all(check["passed"] for check in stage.current.doctor.checks), stage.current.doctor.checks
    assert stage.ops.free_memory() == {"FINISHED"}
    assert stage.ops.stop_backend() == {"FINISHED"}
    assert stage.current.state == stage.jobs.STOPPED


def test_a_tick_of_an_idle_session_is_short(stage: SimpleNamespace) -> None:
    stage.make()
    assert stage.addon_timer.tick() == stage.session.IDLE_TICK_S


def test_undoing_a_moved_slider_does_not_undo_itself(stage: SimpleNamespace) -> None:
    stage.bpy.ops.ed.undo_push(message="start")
    obj = stage.make()
    obj["iss_iteration"] = 2
    stage.bpy.ops.ed.undo_push(message="slider")  # as moving it in the panel does
    stage.settle()
    stage.bpy.ops.ed.undo()
    stage.settle()
    (obj,) = stage.results()
    assert obj["iss_iteration"] == obj["iss_iteration_shown"] == 1
    stage.bpy.ops.ed.undo()
    assert stage.results() == []
