"""Runs inside Blender's window: lists the models, opens the preferences on the add-on, takes pictures, and
asks for Use Full CLIP while Blender may not go online."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from window_tools import (
    EXTENSION,
    OUT,
    opened,
    part,
    play,
    preferences,
    seen,
    session,
    settled,
    take_picture,
    until,
)


def enlarged() -> Any:
    """The preferences in the place of the 3D view, on the add-on's page; the 3D view comes back with None."""
    window = bpy.context.window_manager.windows[0]
    area = next(a for a in window.screen.areas if a.type == "VIEW_3D")
    area.type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "ISS"
    with bpy.context.temp_override(window=window, area=area):
        bpy.ops.preferences.addon_expand(module=EXTENSION)
        bpy.ops.screen.screen_full_area(use_hide_panels=True)
    return next(a for a in window.screen.areas if a.type == "PREFERENCES")


def refused(operator: Any, **values: Any) -> str:
    """What an operator says when it will not do it."""
    try:
        operator(**values)
    except RuntimeError as problem:
        return str(problem)
    return ""


def steps() -> Iterator[float]:
    """The session of an artist; yields seconds to wait."""
    yield from opened()
    bpy.ops.iss.list_models()
    yield from until(lambda: session().models.known and settled())
    seen["clips"] = [card["name"] for card in session().models.clips]
    seen["known"] = [card["name"] for card in session().models.known]
    seen["installed"] = [card["name"] for card in session().bundles]
    area = enlarged()
    yield 2.0
    take_picture("31_models")
    window = bpy.context.window_manager.windows[0]
    region = next(r for r in area.regions if r.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        for _ in range(12):
            bpy.ops.view2d.scroll_down(deltay=80)
    yield 1.5
    take_picture("32_models_below")
    seen["not_accepted"] = refused(bpy.ops.iss.use_full_clip)
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.iss.use_full_clip("INVOKE_DEFAULT")
    yield 1.5
    take_picture("33_full_clip")
    seen["online"] = bool(bpy.app.online_access)
    bpy.ops.iss.use_full_clip(accept=True)
    yield from until(settled)
    seen["offline_told"] = part("session").current().trouble.message
    yield 1.0
    take_picture("34_offline")
    seen["chosen"] = bpy.context.scene.iss.bundle
    seen["ended"] = preferences().source
    assert OUT.is_dir()


play(steps())
