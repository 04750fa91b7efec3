"""Buttons beside the way from prompt to result: choices, copies, rows, what was lost, the history."""

import importlib
import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.iss_blender.conftest import EXTENSION
from tests.iss_blender.test_addon_session import FAKE


def test_device_and_model_are_chosen(stage: SimpleNamespace) -> None:
    assert stage.ops.choose(what="device", value="cpu") == {"FINISHED"}
    assert stage.ops.choose(what="bundle", value="other") == {"FINISHED"}
    assert (stage.chosen.device, stage.chosen.bundle) == ("cpu", "other")
    with pytest.raises(RuntimeError, match="cannot be chosen"):
        stage.ops.choose(what="prompt", value="x")


def test_copies_are_refused_while_there_is_nothing(stage: SimpleNamespace) -> None:
    for what in ("report", "setup", "log"):
        with pytest.raises(RuntimeError, match="nothing to copy"):
            stage.ops.copy(what=what)
    assert stage.ops.doctor() == {"FINISHED"}
    stage.pump(lambda: stage.current.doctor.done)
    assert stage.ops.copy(what="report") == {"FINISHED"}


def test_a_recipe_is_copied_and_pasted(stage: SimpleNamespace, monkeypatch: Any) -> None:
    stage.make("a green lamp")
    assert stage.ops.copy_recipe() == {"FINISHED"}
    with pytest.raises(RuntimeError, match="holds no recipe"):
        stage.ops.paste_recipe()  # a Blender without a window has no clipboard
    recipe = {"prompt": "a blue bench", "seed": 9, "bundle": "other"}
    operators = importlib.import_module(f"{EXTENSION}.iss_blender.operators_results")
    text = json.dumps({"recipe": recipe})
    context = SimpleNamespace(window_manager=SimpleNamespace(clipboard=text), scene=stage.bpy.context.scene)
    operators.ISS_OT_paste_recipe.run(None, context, stage.current)
    chosen = stage.chosen
    assert (chosen.prompt, chosen.seed, chosen.bundle, chosen.random_seed) == (
        "a blue bench",
        9,
        "other",
        False,
    )


def test_a_row_is_selected_from_and_discarded(stage: SimpleNamespace) -> None:
    stage.chosen.variations = 3
    assert stage.ops.generate() == {"FINISHED"}
    stage.settle()
    first, *_ = stage.results()
    marks = stage.object_marks
    assert stage.ops.select_result(object_id=first[marks.ID]) == {"FINISHED"}
    assert stage.bpy.context.view_layer.objects.active == first
    with pytest.raises(RuntimeError, match="not in the scene any more"):
        stage.ops.select_result(object_id="gone")
    assert stage.ops.discard_board(board=first[marks.BOARD]) == {"FINISHED"}
    assert stage.results() == []


def test_a_failed_job_is_run_again(stage: SimpleNamespace) -> None:
    stage.make("a fail chair")
    (failed,) = stage.current.listed_jobs()
    assert stage.ops.retry(job_id=failed.id) == {"FINISHED"}
    stage.settle()
    (again,) = stage.current.listed_jobs()
    assert again.id != failed.id and again.failure is not None
    with pytest.raises(RuntimeError, match="press Generate"):
        stage.ops.retry(job_id=failed.id)


def test_what_was_cut_off_is_run_again_or_discarded(stage: SimpleNamespace) -> None:
    import addon_utils

    for prompt in ("a slow chair", "a slow table"):
        stage.chosen.prompt = prompt
        assert stage.ops.generate() == {"FINISHED"}
        stage.pump(lambda: stage.current.client.running)
        addon_utils.disable(EXTENSION, default_set=True)
        addon_utils.enable(EXTENSION, default_set=True)
        stage.current, stage.chosen = stage.session.current(), stage.bpy.context.scene.iss
        preferences = stage.settings.preferences()
        preferences.command, preferences.source = f'"{sys.executable}" "{FAKE}"', "COMMAND"
        if prompt == "a slow chair":
            assert stage.ops.discard_lost(what="interrupted") == {"FINISHED"}
            assert not stage.current.interrupted
    assert [entry.title for entry in stage.current.interrupted] == ["a slow table"]
    assert stage.ops.rerun() == {"FINISHED"}
    client, end = stage.current.client, time.monotonic() + 30
    while not (client.running and client.running.can_stop) and time.monotonic() < end:
        stage.addon_timer.tick()
        time.sleep(0.005)
    assert client.running.title == "a slow table" and not stage.current.interrupted


def test_the_history_is_cleared_but_for_favourites(stage: SimpleNamespace) -> None:
    for prompt in ("a chair", "a lamp"):
        stage.make(prompt)
    stage.ops.favourite(prompt="a lamp")
    assert stage.ops.clear_history() == {"FINISHED"}
    assert [entry.prompt for entry in stage.current.history.listed()] == ["a lamp"]


def test_preferences_cannot_open_without_a_window_and_say_so(stage: SimpleNamespace) -> None:
    with pytest.raises(RuntimeError, match="did not work"):
        stage.ops.open_preferences(section="SYSTEM")
