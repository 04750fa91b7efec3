"""For scripts that run inside Blender's window: the steps of an artist from a timer, pictures, the panel.

Steps come from a timer, as a user's clicks would: the event loop goes on in between. What a script sees goes
to seen.json, and pictures into the same folder, which the environment names.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

EXTENSION = "bl_ext.user_default.iss_text_to_3d"
OUT = Path(os.environ["ISS_WINDOW_OUT"])
PATIENCE_S = 900.0

seen: dict[str, Any] = {}


def part(name: str) -> Any:
    """A module of the installed add-on."""
    return sys.modules[f"{EXTENSION}.iss_blender.{name}"]


def session() -> Any:
    """The add-on's session."""
    return part("session").current()


def preferences() -> Any:
    """The add-on's preferences."""
    return bpy.context.preferences.addons[EXTENSION].preferences


def take_picture(name: str) -> None:
    """The whole screen, as PNG."""
    subprocess.run(["import", "-window", "root", str(OUT / f"{name}.png")], check=True)


def take_sidebar(name: str, *, rows: int = 0) -> None:
    """The sidebar alone, as PNG; `rows` of pixels from its top, 0 for all of it."""
    _, region = view_regions()
    top = bpy.context.window_manager.windows[0].height - region.y - region.height
    crop = f"{region.width}x{rows or region.height}+{region.x}+{top}"
    target = str(OUT / f"{name}.png")
    subprocess.run(["import", "-window", "root", "-crop", crop, "+repage", target], check=True)


def view_regions() -> tuple[Any, Any]:
    """The 3D view's main region and its sidebar."""
    area = next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == "VIEW_3D")
    main, sidebar = (next(r for r in area.regions if r.type == kind) for kind in ("WINDOW", "UI"))
    return main, sidebar


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


def opened() -> Iterator[float]:
    """Steps: an empty scene with the add-on's panel in sight."""
    for obj in list(bpy.data.objects):
        if obj.type == "MESH":
            bpy.data.objects.remove(obj)
    while not show_panel():
        yield 0.5
    show_panel()
    yield 2.0


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


def running() -> Any:
    """The job under way."""
    return session().client.running


def until(condition: Callable[[], Any], *, pause: float = 0.05) -> Iterator[float]:
    """Wait for something, with patience."""
    begun = time.monotonic()
    while not condition() and time.monotonic() - begun < PATIENCE_S:
        yield pause


def settled() -> bool:
    """Whether no job runs or waits and the scene has everything."""
    client = session().client
    return all(job.ended for job in client.jobs) and not session().scene_work


def play(steps: Iterator[float]) -> None:
    """Run the steps, then end Blender with whatever was seen, also after an exception."""

    def advance() -> float | None:
        wait = None
        try:
            wait = next(steps, None)
        finally:
            if wait is None:
                if sys.exc_info()[0] is not None:
                    seen["problem"] = traceback.format_exc()
                (OUT / "seen.json").write_text(json.dumps(seen), "utf-8")
                bpy.ops.wm.quit_blender()
        return wait

    bpy.app.timers.register(advance, first_interval=4.0, persistent=True)  # also over opened files
