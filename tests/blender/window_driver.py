"""Runs inside Blender's window: presses Generate, watches the mesh appear, cancels a second job.

What it sees goes to seen.json and into screenshots in the folder that the environment names. Steps run from
a timer, as a user's clicks would come: the event loop goes on in between.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

EXTENSION = "bl_ext.user_default.iss_text_to_3d"
OUT = Path(os.environ["ISS_WINDOW_OUT"])
BUNDLE = os.environ["ISS_WINDOW_BUNDLE"]
PROMPT = "a red chair with a high back"
PATIENCE_S = 900.0

seen: dict[str, Any] = {}


def session() -> Any:
    """The add-on's session."""
    return sys.modules[f"{EXTENSION}.iss_blender.session"].current()


def take_picture(name: str) -> None:
    """The whole screen, as PNG."""
    subprocess.run(["import", "-window", "root", str(OUT / f"{name}.png")], check=True)


def show_panel() -> bool:
    """Open the sidebar on the add-on's tab, which exists after the first drawing only."""
    for area in bpy.context.window_manager.windows[0].screen.areas:
        if area.type == "VIEW_3D":
            area.spaces[0].show_region_ui = True
            region = next(region for region in area.regions if region.type == "UI")
            try:
                region.active_panel_category = "ISS"
            except (AttributeError, TypeError):  # no tab has been drawn yet
                return False
    return True


def results() -> list[Any]:
    """Objects of this add-on."""
    return [obj for obj in bpy.data.objects if "iss" in obj]


def look_at_selection() -> None:
    """Move the 3D view to what is selected."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.view_selected()


def steps() -> Iterator[float]:
    """The session of an artist; yields seconds to wait."""
    for obj in list(bpy.data.objects):
        if obj.type == "MESH":
            bpy.data.objects.remove(obj)
    while not show_panel():
        yield 0.5
    show_panel()
    yield 2.0
    take_picture("1_panel")
    settings = bpy.context.scene.iss
    settings.prompt, settings.random_seed, settings.seed = PROMPT, False, 1
    settings.bundle, settings.height = BUNDLE, 1.1
    settings.quality = "normal"
    pressed = time.monotonic()
    seen["pressed"] = sorted(bpy.ops.iss.generate("INVOKE_DEFAULT"))
    longest, last, pictured = 0.0, time.monotonic(), False
    while session().listed_jobs() or session().scene_work:
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if results() and "first_mesh_s" not in seen:
            seen["first_mesh_s"] = now - pressed
        running = session().client.running
        if running is not None and running.progress.get("phase") in ("guide", "mesh") and not pictured:
            pictured = True
            yield 0.2
            take_picture("2_running")
            last = time.monotonic()
        if now - pressed > PATIENCE_S:
            break
        yield 0.05
    seen["result_s"], seen["longest_pause_s"] = time.monotonic() - pressed, longest
    seen["trouble"] = str(session().trouble)
    seen["objects"] = [
        {"name": o.name, "size": list(o.dimensions), "location": list(o.location), "prompt": o["iss_prompt"]}
        for o in results()
    ]
    for obj in results():
        obj.select_set(True)
    look_at_selection()
    yield 2.0
    take_picture("3_result")

    settings.prompt, settings.steps = "a blue table", settings.bl_rna.properties["steps"].hard_max
    bpy.ops.iss.generate("INVOKE_DEFAULT")
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE_S:
        running = session().client.running
        if running is not None and running.progress.get("phase") == "guide":
            break
        yield 0.1
    job = session().client.running
    yield 1.0
    take_picture("4_second_job")
    asked = time.monotonic()
    bpy.ops.iss.cancel(job_id=job.id)
    while not job.ended and time.monotonic() - asked < 30:
        yield 0.02
    seen["cancel_s"], seen["cancel_state"] = time.monotonic() - asked, job.state
    yield 1.0
    seen["after_cancel"] = [o.name for o in results()]
    take_picture("5_cancelled")
    bpy.ops.wm.save_as_mainfile(filepath=str(OUT / "window.blend"))
    seen["ended"] = True


def advance() -> float | None:
    """The timer: one step, or the end with whatever was seen, also after an exception."""
    wait = None
    try:
        wait = next(work, None)
    finally:
        if wait is None:
            if sys.exc_info()[0] is not None:
                seen["problem"] = traceback.format_exc()
            (OUT / "seen.json").write_text(json.dumps(seen), "utf-8")
            bpy.ops.wm.quit_blender()
    return wait


work = steps()
bpy.app.timers.register(advance, first_interval=4.0)
