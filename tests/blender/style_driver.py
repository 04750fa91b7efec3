"""Runs inside Blender's window: styles a result, looks back over its iterations and to the original, styles
an artist's own mesh, cancels a style, and meshes the look again from the saved file."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from window_tools import (
    OUT,
    look_at_selection,
    opened,
    part,
    play,
    results,
    running,
    seen,
    session,
    settled,
    take_picture,
    until,
    view_regions,
)

BUNDLE = os.environ["ISS_WINDOW_BUNDLE"]


def average(obj: Any) -> list[float]:
    """Mean linear colour of the object's vertices."""
    colors = [tuple(c.color)[:3] for c in obj.data.color_attributes.active_color.data]
    return [sum(channel) / len(colors) for channel in zip(*colors, strict=True)]


def stylize(words: str) -> Iterator[float]:
    """Press Stylize and wait; a picture when the first new colours are there."""
    bpy.context.scene.iss_style.style = words
    begun = time.monotonic()
    bpy.ops.iss.stylize("INVOKE_DEFAULT")
    yield 0.2
    while not settled():
        if f"preview_{words}_s" not in seen and any("iss_original_mesh" in obj for obj in bpy.data.objects):
            seen[f"preview_{words}_s"] = time.monotonic() - begun
            yield 0.3
            take_picture(f"7_stylizing_{words}")
        yield 0.05
    seen[f"{words}_s"] = time.monotonic() - begun
    seen[f"{words}_trouble"] = str(session().trouble)
    look_at_selection()
    yield 1.0
    take_picture(f"8_{words}")


def looking_back(look: Any) -> Iterator[float]:
    """From the best iteration to the first, and back; then to the original and back."""
    at = look["iss_style_step"]
    colors = [average(look)]
    for position in (0, at):
        look["iss_style_step"] = position
        yield from until(lambda position=position: look["iss_style_shown"] == position)
        colors.append(average(look))
    seen["looked_back"] = colors
    bpy.ops.iss.show_original()
    yield 0.5
    take_picture("9_original")
    seen["original_shown"] = [look.hide_get(), bpy.context.view_layer.objects.active.hide_get()]
    bpy.ops.iss.show_original()


def stripes() -> Iterator[float]:
    """The mesh with few vertices in Solid, without grid and outlines."""
    main, _ = view_regions()
    space = next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == "VIEW_3D").spaces[
        0
    ]
    seen["solid_shows"] = space.shading.color_type
    seen["view"] = [main.x, main.y, main.width, main.height]
    space.overlay.show_overlays = False
    yield 2.0
    take_picture("8_zebra_solid")
    space.overlay.show_overlays = True


def cancelled() -> Iterator[float]:
    """A style that is cancelled leaves nothing."""
    before = sorted(obj.name for obj in bpy.data.objects)
    bpy.context.scene.iss_style.style = "marble"
    bpy.context.scene.iss_style.steps = 1000
    bpy.ops.iss.stylize("INVOKE_DEFAULT")
    yield from until(lambda: running() is not None and running().progress.get("phase") == "stylize")
    yield 0.5
    asked = time.monotonic()
    bpy.ops.iss.cancel()
    yield from until(settled)
    seen["cancel_s"] = time.monotonic() - asked
    seen["left"] = [before, sorted(obj.name for obj in bpy.data.objects)]
    bpy.context.scene.iss_style.steps = -1


def reopened() -> Iterator[float]:
    """Save, open, and mesh the look again with another resolution."""
    path = str(OUT / "styled.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    seen["file_bytes"] = os.path.getsize(path)
    bpy.ops.wm.open_mainfile(filepath=path)
    yield 1.0
    look = next(obj for obj in results() if "iss_decoder" in obj)
    seen["decoder_bytes"] = len(look["iss_decoder"])
    part("addon_scene").select_only(look)
    faces, color = len(look.data.polygons), average(look)
    bpy.context.scene.iss_style.resolution = 48
    bpy.ops.iss.remesh()
    yield from until(settled)
    seen["remeshed"] = [faces, len(look.data.polygons), color, average(look), str(session().trouble)]


def steps() -> Iterator[float]:
    """The session of an artist; yields seconds to wait."""
    yield from opened()
    settings = bpy.context.scene.iss
    settings.prompt, settings.random_seed, settings.seed = "a chair", False, 1
    settings.bundle, settings.quality = BUNDLE, "draft"
    bpy.ops.iss.generate("INVOKE_DEFAULT")
    yield from until(lambda: results() and settled())
    (first,) = results()
    yield from stylize("wooden")
    look = bpy.context.view_layer.objects.active
    seen["look"] = [look.name, first.name, first.hide_get(), look.hide_get()]
    yield from looking_back(look)
    bpy.ops.mesh.primitive_monkey_add(size=0.8, location=(1.2, 0, 0.5))
    monkey = bpy.context.view_layer.objects.active
    settings.bake_size = "512"
    yield from stylize("zebra")
    yield from stripes()
    own = bpy.context.view_layer.objects.active
    seen["own"] = [own.name, monkey.name, len(own.data.vertices) == len(monkey.data.vertices)]
    yield from cancelled()
    yield from reopened()
    seen["ended"] = True


play(steps())
