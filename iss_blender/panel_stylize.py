"""The panel of styles: words and strength, what they apply to, Stylize, and looking back afterwards."""

import json
from typing import Any

import bpy

from . import addon_solid_view, addon_styles, object_marks, style_marks
from .materials import PICTURES
from .object_record import ObjectRecord, read_record
from .operators_stylize import AUTO, PICTURE, styles_own_mesh
from .panel_parts import SidebarPanel, draw_text, never_raises, operator, register_classes, unregister_classes
from .panel_results import is_ready
from .style_requests import SHAPE, style_words


class ISS_PT_style(SidebarPanel, bpy.types.Panel):
    """A new look for the selected object"""

    bl_idname, bl_label, bl_parent_id, bl_order = "ISS_PT_style", "Style", "ISS_PT_main", 1

    @classmethod
    def poll(cls, context: Any) -> bool:
        obj = context.active_object
        return is_ready() and obj is not None and obj.type == "MESH"

    @never_raises
    def draw(self, context: Any) -> None:
        layout, obj, wanted = self.layout, context.active_object, context.scene.iss_style
        record = read_record(obj)
        draw_chain(layout, context, obj, record)
        draw_hidden_look(layout, context, obj)
        row = layout.row(align=True)
        row.scale_y = 1.2
        row.prop(wanted, "style", text="", placeholder="wooden")
        own = styles_own_mesh(obj, wanted)
        modes = layout.row(align=True)
        modes.enabled = not own
        modes.prop(wanted, "mode", expand=True)
        row = layout.row(align=True)
        row.prop(wanted, "strength", slider=True)
        row.prop(wanted, "seed")
        if record is not None and len(record.code):
            layout.prop(wanted, "own_mesh")
        if own:
            column = layout.column(align=True)
            column.prop(wanted, "subject", placeholder="a chair")
            column.prop(wanted, "output")
            if wanted.output in (AUTO, PICTURE):
                column.prop(context.scene.iss, "bake_size")
            if wanted.mode == SHAPE:
                draw_text(layout, context, "Of a mesh only the texture is styled.", icon="INFO")
        if addon_styles.original_of(obj) is not None:
            layout.row(align=True).prop(wanted, "base", expand=True)
        row = layout.row()
        row.scale_y = 1.4
        operator(row, "iss.stylize", icon="BRUSH_DATA")
        draw_looking_back(layout, obj)
        if record is not None and len(record.code) and not record.preview:
            row = layout.row(align=True)
            row.prop(wanted, "resolution")
            operator(row, "iss.remesh", icon="MOD_REMESH")


def draw_chain(layout: Any, context: Any, obj: Any, record: ObjectRecord | None) -> None:
    """What the object is, and the styles it went through."""
    words = style_words(record.recipe) if record is not None else ()
    if not words and addon_styles.OWN_STYLE in obj:
        words = (str(json.loads(obj[addon_styles.OWN_STYLE]).get("style", "")),)
    name = record.prompt if record is not None and record.prompt else obj.name
    draw_text(layout, context, " + ".join((name, *words)), icon="MATERIAL")


def draw_hidden_look(layout: Any, context: Any, obj: Any) -> None:
    """That the Solid view shows the other kind of colours, with a button for this one's."""
    view = context.space_data
    if view is not None and view.type == "VIEW_3D" and addon_solid_view.hides_look(view.shading, obj):
        kind = "a picture" if addon_solid_view.color_type_of(obj) == PICTURES else "colours of vertices"
        draw_text(layout, context, f"This look is {kind}, which Solid does not show now.", icon="HIDE_ON")
        operator(layout, "iss.show_in_solid", icon="SHADING_SOLID")


def draw_looking_back(layout: Any, obj: Any) -> None:
    """The slider over iterations, and the way to the original."""
    if style_marks.STEPS in obj:
        steps, at = obj[style_marks.STEPS], int(obj[style_marks.WANTED_STEP])
        row = layout.row(align=True)
        row.prop(obj, f'["{style_marks.WANTED_STEP}"]', text="Look Back", slider=True)
        best = "best" if at == len(steps) - 1 else "before" if at == 0 else ""
        row.label(text=f"iteration {steps[at]} {best}".strip() if 0 <= at < len(steps) else "")
    if addon_styles.original_of(obj) is not None:
        operator(layout, "iss.show_original", icon="LOOP_BACK")
    elif addon_styles.looks_of(obj):
        operator(layout, "iss.show_original", text="Show Look", icon="LOOP_FORWARDS")
    elif obj.hide_render and object_marks.ID in obj:
        operator(layout, "iss.show_original", text="Show Again", icon="HIDE_OFF")


CLASSES = (ISS_PT_style,)


def register() -> None:
    """Register the panel."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take it back."""
    unregister_classes(CLASSES)
