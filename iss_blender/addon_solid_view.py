"""What Solid views show. Blender draws vertices' colours or pictures there, one of both for all objects of a
view: what came last decides, and the panel offers the other where the active object needs it."""

import bpy

from .addon_styles import OWN_STYLE
from .materials import COLORS, PICTURES, is_baked, is_ours, show_in_solid, views_of


def color_type_of(obj: "bpy.types.Object") -> str:
    """What a Solid view has to show for the object's look to be seen; "" where it does not matter."""
    material = obj.active_material
    if material is None or not is_ours(material):
        return ""
    if is_baked(material):  # a baked result's vertices have the same colours
        return PICTURES if OWN_STYLE in obj else ""
    return COLORS


def show_colors() -> dict[int, str]:
    """Let the Solid views of all windows show vertices' colours; returns what to put back."""
    return show_in_solid(open_screens(), COLORS)


def show_object(obj: "bpy.types.Object") -> None:
    """Let the Solid views of all windows show what the object needs."""
    color_type = color_type_of(obj)
    if color_type:
        show_in_solid(open_screens(), color_type)


def put_back(before: dict[int, str]) -> None:
    """Undo `show_colors` once, but for views that were switched since."""
    for view in views_of(open_screens()):
        if view.shading.color_type == COLORS:
            view.shading.color_type = before.get(view.as_pointer(), COLORS)
    before.clear()


def hides_look(shading: "bpy.types.View3DShading", obj: "bpy.types.Object") -> bool:
    """Whether a view is Solid and shows something else than the object's look."""
    return shading.type == "SOLID" and color_type_of(obj) not in ("", shading.color_type)


def open_screens() -> "list[bpy.types.Screen]":
    """The screens of all windows."""
    return [window.screen for window in bpy.context.window_manager.windows]
