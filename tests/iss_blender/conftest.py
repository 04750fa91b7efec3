"""A Blender of its own for the tests: the bpy module with a temporary user folder, the add-on enabled in it.

The add-on is enabled the way Blender does it, as bl_ext.user_default.iss_text_to_3d, from a link to this
checkout. `addon` gives its modules; they are other objects than those imported as iss_blender.
"""

import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = "bl_ext.user_default.iss_text_to_3d"
FAKE = Path(__file__).with_name("fake_artist_backend.py")
USER_FOLDER = Path(tempfile.mkdtemp(prefix="iss-blender-"))
# Blender reads it once, when bpy is first imported, by whichever test that may be.
os.environ["BLENDER_USER_RESOURCES"] = str(USER_FOLDER)


def pytest_unconfigure() -> None:
    shutil.rmtree(USER_FOLDER, ignore_errors=True)


def module(name: str) -> ModuleType:
    """A module of the enabled add-on."""
    return importlib.import_module(f"{EXTENSION}.iss_blender.{name}")


@pytest.fixture(scope="session")
def blender() -> Any:
    """The bpy module with a link to the extension in its user folder."""
    bpy = pytest.importorskip("bpy", reason="the bpy module is not installed (pip install bpy==5.0.1)")
    place = USER_FOLDER / "extensions" / "user_default"
    place.mkdir(parents=True, exist_ok=True)
    link = place / EXTENSION.rpartition(".")[2]
    if not link.exists():
        link.symlink_to(ROOT, target_is_directory=True)
    return bpy


@pytest.fixture
def addon(blender: Any) -> Iterator[SimpleNamespace]:
    """The add-on, freshly enabled in an empty file; disabled afterwards."""
    import addon_utils

    blender.ops.wm.read_factory_settings(use_empty=True)
    shutil.rmtree(USER_FOLDER / "extensions" / ".user", ignore_errors=True)
    addon_utils.enable(EXTENSION, default_set=True)
    names = (
        "addon", "addon_own_mesh", "addon_scene", "addon_solid_view", "addon_styles", "addon_timer", "jobs",
        "job_requests", "object_marks", "object_record", "operators_stylize", "scene_studio", "style_marks",
        "panel", "panel_models", "panel_stylize", "panel_parts", "panel_results", "panel_setup", "session",
        "settings",
    )  # fmt: skip
    yield SimpleNamespace(bpy=blender, **{name: module(name) for name in names})
    addon_utils.disable(EXTENSION, default_set=True)
    assert EXTENSION not in blender.context.preferences.addons
    assert f"{EXTENSION}.iss_blender.addon" in sys.modules


@pytest.fixture
def stage(addon: SimpleNamespace) -> SimpleNamespace:
    """The add-on with the fake backend; `pump` plays the timer, which does not run in background mode."""
    bpy = addon.bpy
    preferences = addon.settings.preferences()
    preferences.command = f'"{sys.executable}" "{FAKE}"'
    preferences.source = "COMMAND"
    session = addon.session.current()
    chosen = bpy.context.scene.iss
    chosen.prompt, chosen.random_seed, chosen.seed = "a red chair", False, 3

    def pump(until: Callable[[], Any]) -> None:
        end = time.monotonic() + 30
        while not until():
            assert time.monotonic() < end, (session.state, session.trouble, session.client.jobs)
            addon.addon_timer.tick()
            time.sleep(0.003)

    def settle() -> None:
        """Until no job is under way and the scene has everything, sliders included."""
        pump(lambda: all(job.ended for job in session.client.jobs) and not session.scene_work)
        addon.addon_timer.tick()
        pump(lambda: all(job.ended for job in session.client.jobs) and not session.scene_work)

    def results() -> list[Any]:
        return [obj for obj in bpy.data.objects if "iss" in obj]

    def make(prompt: str = "a red chair", **changes: Any) -> Any:
        chosen.prompt = prompt
        for name, value in changes.items():
            setattr(chosen, name, value)
        assert bpy.ops.iss.generate() == {"FINISHED"}
        settle()
        return bpy.context.view_layer.objects.active

    addon.ops, addon.data, addon.chosen = bpy.ops.iss, bpy.data, chosen
    addon.current, addon.pump, addon.settle = session, pump, settle
    addon.results, addon.make = results, make
    return addon
