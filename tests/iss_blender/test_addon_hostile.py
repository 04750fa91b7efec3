"""What artists do at the wrong moment: undo, delete, open files, switch the add-on off while a job runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.iss_blender.conftest import EXTENSION


def start_slow(stage: SimpleNamespace, prompt: str = "a slow chair") -> Any:
    """A job under way whose first mesh is in the scene; it ends when it is stopped or cancelled."""
    stage.chosen.prompt = prompt
    assert stage.ops.generate() == {"FINISHED"}
    stage.pump(lambda: stage.current.client.running and stage.results())
    return stage.current.client.running


def finish(stage: SimpleNamespace, job: Any) -> None:
    assert stage.ops.stop_and_keep(job_id=job.id) == {"FINISHED"}
    stage.settle()


def test_undo_while_a_job_runs_does_not_lose_its_result(stage: SimpleNamespace) -> None:
    stage.bpy.ops.ed.undo_push(message="start")
    stage.make("a first chair")
    job = start_slow(stage)
    stage.bpy.ops.ed.undo()
    finish(stage, job)
    assert "a slow chair" in [obj.name for obj in stage.results()]
    assert stage.current.trouble is None


def test_a_deleted_preview_comes_back_as_the_result(stage: SimpleNamespace) -> None:
    job = start_slow(stage)
    (preview,) = stage.results()
    stage.bpy.data.objects.remove(preview)
    finish(stage, job)
    (obj,) = stage.results()
    assert not stage.object_record.read_record(obj).preview and stage.current.trouble is None


def test_a_branch_does_not_need_its_original_any_more(stage: SimpleNamespace) -> None:
    obj = stage.make("a chair")
    stage.chosen.prompt = "a slow chair"
    assert stage.ops.branch() == {"FINISHED"}
    stage.pump(lambda: len(stage.results()) == 2)
    stage.bpy.data.objects.remove(obj)
    finish(stage, stage.current.client.running)
    assert [o.name for o in stage.results()] == ["a slow chair"]


def test_another_file_gets_nothing_of_a_running_job_until_asked(stage: SimpleNamespace) -> None:
    job = start_slow(stage)
    stage.bpy.ops.wm.read_homefile(use_empty=True)
    assert stage.results() == []
    finish(stage, job)
    assert stage.results() == [] and [entry.id for entry in stage.current.waiting] == [job.id]
    assert stage.ops.recover() == {"FINISHED"}
    stage.settle()
    assert [obj.name for obj in stage.results()] == ["a slow chair"]


def test_a_preview_on_its_way_does_not_enter_another_file(stage: SimpleNamespace) -> None:
    stage.chosen.prompt = "a slow chair"
    assert stage.ops.generate() == {"FINISHED"}
    stage.bpy.ops.wm.read_homefile(use_empty=True)  # before the first preview came
    stage.pump(lambda: stage.current.client.running and stage.current.client.running.progress)
    for _ in range(50):
        stage.addon_timer.tick()
    assert stage.results() == []
    stage.ops.cancel()
    stage.settle()
    assert stage.results() == []


def test_switching_off_and_on_twice_leaves_no_process_and_offers_the_job(stage: SimpleNamespace) -> None:
    import addon_utils

    start_slow(stage)
    pid = stage.current.client.pid
    for _ in range(2):
        addon_utils.disable(EXTENSION, default_set=True)
        addon_utils.enable(EXTENSION, default_set=True)
    gone = not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert gone
    session = stage.session.current()
    assert [entry.title for entry in session.interrupted] == ["a slow chair"]
    assert session.trouble is None


WORDS = [
    '"', "\\", "a 'quoted' \"chair\"", "two\nlines\tand a tab", "a 🪑 café 椅子",
    "%s {0} ${HOME} `ls`; rm -rf /", "x" * 300, "\u202eright to left", "a\x00b",
]  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_odd_words_arrive_as_typed_and_name_an_object(stage: SimpleNamespace, words: str) -> None:
    stage.chosen.prompt = words
    typed = stage.chosen.prompt  # Blender itself ends a text at a null character
    obj = stage.make(typed)
    record = stage.object_record.read_record(obj)
    assert record.prompt == typed and 0 < len(obj.name.encode()) <= 63
    assert stage.current.history.find(typed) is not None


def test_a_queue_that_cannot_be_saved_is_a_sentence(stage: SimpleNamespace, tmp_path: Path) -> None:
    stage.chosen.prompt = "a chair"
    with pytest.raises(RuntimeError, match="cannot be written"):
        stage.ops.save_queue(filepath=str(tmp_path / "missing" / "queue.json"))
