"""The panels draw in every state, with known icons, properties and operators, and never raise."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from iss_blender.object_record import ObjectRecord, write_record

FAKE = Path(__file__).with_name("fake_artist_backend.py")
PANELS = {
    "panel": ("ISS_PT_main", "ISS_MT_device", "ISS_MT_bundle"),
    "panel_results": ("ISS_PT_board", "ISS_PT_result", "ISS_PT_prompts", "ISS_PT_options"),
    "panel_setup": ("ISS_PT_backend",),
}
FAILED = "cannot be drawn"


class Layout:
    """Stands for Blender's layout: notes texts, refuses unknown icons, properties and operators."""

    def __init__(self, bpy: Any, texts: list[str], buttons: list[str]) -> None:
        self._bpy, self.texts, self.buttons = bpy, texts, buttons
        function = bpy.types.UILayout.bl_rna.functions["label"]
        self._icons = set(function.parameters["icon"].enum_items.keys())

    def _inner(self, *_: Any, **__: Any) -> "Layout":
        return self

    row = column = box = grid_flow = _inner

    def _note(self, text: str, icon: str) -> None:
        assert icon in self._icons, icon
        self.texts.append(text)

    def label(self, *, text: str = "", icon: str = "NONE", translate: bool = True) -> None:
        self._note(text, icon)

    def progress(self, *, factor: float, text: str) -> None:
        assert 0 <= factor <= 1
        self._note(text, "NONE")

    def menu(self, name: str, *, text: str, icon: str) -> None:
        assert hasattr(self._bpy.types, name)
        self._note(text, icon)

    def prop(self, data: Any, name: str, *, icon: str = "NONE", **options: Any) -> None:
        assert name.startswith('["') or hasattr(data, name), name
        self._note(options.get("text", ""), icon)

    def operator(self, idname: str, *, text: str = "", icon: str = "NONE") -> Any:
        category, name = idname.split(".")
        found = getattr(getattr(self._bpy.ops, category), name).get_rna_type()
        self._note(text, icon)
        self.buttons.append(idname)
        return SimpleNamespace(**{p.identifier: None for p in found.properties})


@pytest.fixture
def drawing(addon: SimpleNamespace) -> SimpleNamespace:
    """`draw` draws every panel that polls true and returns all texts."""
    bpy = addon.bpy

    def draw() -> str:
        texts: list[str] = []
        addon.buttons = []
        for module, names in PANELS.items():
            for name in names:
                cls = getattr(getattr(addon, module), name)
                if not hasattr(cls, "poll") or cls.poll(bpy.context):
                    cls.draw(SimpleNamespace(layout=Layout(bpy, texts, addon.buttons)), bpy.context)
        return "\n".join(texts)

    addon.draw, addon.current = draw, addon.session.current()
    return addon


def use_fake(drawing: SimpleNamespace) -> None:
    preferences = drawing.settings.preferences()
    preferences.command = f'"{sys.executable}" "{FAKE}"'
    preferences.source = "COMMAND"


def tick_until(drawing: SimpleNamespace, done: Any) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, drawing.current.trouble
        drawing.addon_timer.tick()
        time.sleep(0.003)


def test_a_fresh_installation_shows_set_up_and_how_to_allow_the_network(drawing: SimpleNamespace) -> None:
    text = drawing.draw()
    assert FAILED not in text
    assert "iss.set_up" in drawing.buttons and "iss.generate" not in drawing.buttons
    assert "Blender is not allowed to go" in text and "iss.open_preferences" in drawing.buttons


@pytest.mark.parametrize(("source", "told"), [("PYTHON", "No Python is chosen."), ("COMMAND", "is empty")])
def test_an_incomplete_choice_says_what_is_missing(drawing: SimpleNamespace, source: str, told: str) -> None:
    drawing.settings.preferences().source = source
    text = drawing.draw().replace("\n", " ")
    assert told in text and FAILED not in text


def test_a_set_up_shows_its_step_then_its_failure(drawing: SimpleNamespace, tmp_path: Path) -> None:
    environment = sys.modules[f"{drawing.session.__package__}.environment"]
    plan = sys.modules[f"{drawing.session.__package__}.setup_plan"]
    failing = (
        "import sys, time; print('Collecting torch', flush=True); time.sleep(0.5); sys.exit('No space left')"
    )
    steps = [plan.Step("a", "PyTorch", (sys.executable, "-c", failing), "1")]
    setup = environment.EnvironmentSetup(tmp_path / "env", steps=steps)
    drawing.current.start_setup(setup)
    tick_until(drawing, lambda: drawing.current.setup_event is not None)
    text = drawing.draw()
    assert "Step 1 of 1: PyTorch" in text and "iss.cancel_set_up" in drawing.buttons
    tick_until(drawing, lambda: setup.state == "failed")
    text = drawing.draw().replace("\n", " ")
    assert "Free some disk space" in text and "Continue Set Up" in text
    assert "iss.copy" in drawing.buttons and FAILED not in text


def test_a_cancelled_set_up_can_go_on(drawing: SimpleNamespace, tmp_path: Path) -> None:
    environment = sys.modules[f"{drawing.session.__package__}.environment"]
    plan = sys.modules[f"{drawing.session.__package__}.setup_plan"]
    steps = [plan.Step("a", "PyTorch", (sys.executable, "-c", "import time; time.sleep(60)"), "1")]
    setup = environment.EnvironmentSetup(tmp_path / "env", steps=steps)
    drawing.current.start_setup(setup)
    assert drawing.bpy.ops.iss.cancel_set_up() == {"FINISHED"}
    assert setup.state == "cancelled" and "Continue Set Up" in drawing.draw()


def test_every_state_of_a_job_is_drawn(drawing: SimpleNamespace) -> None:
    use_fake(drawing)
    assert "Generate" in drawing.draw()
    bpy, current = drawing.bpy, drawing.current
    chosen = bpy.context.scene.iss
    for prompt in ("slow", "second", "fail"):
        chosen.prompt = prompt
        bpy.ops.iss.generate()
    assert "Starting the backend" in drawing.draw()
    tick_until(drawing, lambda: [o for o in bpy.data.objects if "iss" in o])
    text = drawing.draw()
    assert "Tuning the shape 1/2" in text and "Queue: 2" in text and "Still being made" in text
    assert "Fake device" in text
    current.cancel(current.client.running.id)
    assert "Stopping..." in drawing.draw()
    tick_until(drawing, lambda: all(job.ended for job in current.client.jobs) and not current.scene_work)
    text = drawing.draw().replace("\n", " ")
    assert "fail: The words are bad." in text and "Say it differently." in text
    assert {"iss.retry", "iss.regenerate", "iss.branch"} <= set(drawing.buttons)
    assert "0.210 best" in text and FAILED not in text


def test_a_death_is_told_once_with_the_last_words_and_retried(drawing: SimpleNamespace) -> None:
    use_fake(drawing)
    bpy, current = drawing.bpy, drawing.current
    bpy.context.scene.iss.prompt = "die"
    bpy.ops.iss.generate()
    tick_until(drawing, lambda: current.trouble is not None)
    text = drawing.draw().replace("\n", " ")
    assert text.count("The backend ended with exit code 3.") == 1 and "out of luck" in text
    assert "iss.retry" in drawing.buttons
    assert drawing.buttons.count("iss.restart_backend") == 1  # that of the panel Backend
    bpy.ops.iss.dismiss()
    assert "exit code" not in drawing.draw() and not current.listed_jobs()


def test_board_and_blend_are_drawn(drawing: SimpleNamespace) -> None:
    use_fake(drawing)
    bpy, current = drawing.bpy, drawing.current
    bpy.context.scene.iss.prompt, bpy.context.scene.iss.variations = "a chair", 2
    bpy.ops.iss.generate()
    tick_until(drawing, lambda: all(job.ended for job in current.client.jobs) and not current.scene_work)
    for obj in bpy.data.objects:
        obj.select_set(True)
    text = drawing.draw()
    assert drawing.buttons.count("iss.promote") == 2 and "iss.blend" in drawing.buttons
    assert FAILED not in text


def test_what_was_lost_is_offered(drawing: SimpleNamespace) -> None:
    use_fake(drawing)
    bpy, current = drawing.bpy, drawing.current
    bpy.context.scene.iss.prompt = "a chair"
    bpy.ops.iss.generate()
    tick_until(drawing, lambda: all(job.ended for job in current.client.jobs) and not current.scene_work)
    current.file_loaded()
    text = drawing.draw().replace("\n", " ")
    assert "1 finished result is in no saved file." in text and "iss.recover" in drawing.buttons


def test_a_broken_state_ends_in_a_line_not_in_a_traceback(
    drawing: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake(drawing)
    for name in ("history", "client", "waiting", "trouble"):
        with monkeypatch.context() as patch:
            patch.setattr(drawing.current, name, object())
            assert FAILED in drawing.draw(), name
    with monkeypatch.context() as patch:
        patch.setattr(drawing.panel.sessions, "current", lambda: None)
        drawing.draw()
    assert FAILED not in drawing.draw()


def test_an_object_edited_beyond_recognition_is_drawn(drawing: SimpleNamespace) -> None:
    use_fake(drawing)
    bpy = drawing.bpy
    mesh = bpy.data.meshes.new("x")
    obj = bpy.data.objects.new("x", mesh)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj["iss"], obj["iss_board"], obj["iss_iteration"] = "{", 5, "many"
    text = drawing.draw().replace("\n", " ")
    assert "cannot be read any more" in text
    drawing.addon_timer.tick()
    with pytest.raises(RuntimeError, match="Select a finished result"):
        bpy.ops.iss.refine()


def test_what_the_backend_warned_of_stays_with_the_result(drawing: SimpleNamespace) -> None:
    use_fake(drawing)
    bpy = drawing.bpy
    obj = bpy.data.objects.new("car", bpy.data.meshes.new("car"))
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    for warnings in (("This shape has no doors of its own.",), ()):
        record = ObjectRecord(recipe={"prompt": "a car"}, scores=(0.5,), warnings=warnings)
        write_record(obj, record)
        text = drawing.draw().replace("\n", " ")
        assert "score 0.500" in text and ("no doors of its own" in text) == bool(warnings)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("cpu (x86_64, 2 threads)", "CPU"),
        ("cuda:0 (NVIDIA RTX, 24 GB)", "NVIDIA RTX, 24 GB"),
        ("cuda", "CUDA"),
        ("", "Automatic"),
    ],
)
def test_the_device_fits_its_button(addon: SimpleNamespace, told: str, shown: str) -> None:
    assert addon.panel.short_device(told) == shown


def test_an_environment_of_an_older_version_says_what_is_to_do(drawing: SimpleNamespace) -> None:
    folder = drawing.settings.environment_folder()
    folder.mkdir(parents=True)
    (folder / "setup.json").write_text("{}", "utf-8")
    drawing.settings.apply_preferences()
    text = drawing.draw().replace("\n", " ")
    assert "no working Python environment" in text and "iss.set_up" in drawing.buttons
