"""Panels of what was made: the selected result, its variation board, prompts, and finer settings."""

from typing import Any

import bpy

from . import object_marks
from . import session as sessions
from .addon_scene import board_objects
from .object_record import ObjectRecord, read_record
from .panel_parts import (
    SidebarPanel,
    draw_text,
    never_raises,
    operator,
    register_classes,
    unregister_classes,
)

MOST_PROMPTS = 10
_CLOSED = {"DEFAULT_CLOSED"}


def is_ready() -> bool:
    """Whether the backend can be started; before that, Set up is all there is to see."""
    session = sessions.current()
    return session is not None and session.backend.problem is None


class ISS_PT_result(SidebarPanel, bpy.types.Panel):
    """The selected result and what can be made from it"""

    bl_idname, bl_label, bl_parent_id, bl_order = "ISS_PT_result", "Result", "ISS_PT_main", 1

    @classmethod
    def poll(cls, context: Any) -> bool:
        obj = context.active_object
        return obj is not None and "iss" in obj and obj.type == "MESH"

    @never_raises
    def draw(self, context: Any) -> None:
        layout, obj, chosen = self.layout, context.active_object, context.scene.iss
        record = read_record(obj)
        if record is None:
            draw_text(layout, context, "The recipe on this object cannot be read any more.", icon="ERROR")
            return
        words = obj.name if object_marks.BLEND in obj else record.prompt or "From an image"
        draw_text(layout, context, words, icon="MESH_DATA")
        if record.preview:
            layout.label(text="Still being made", icon="SORTTIME")
            return
        draw_facts(layout, obj, record)
        for warning in record.warnings:
            draw_text(layout, context, warning, icon="INFO")
        if object_marks.ITERATION in obj:
            row = layout.row(align=True)
            row.prop(obj, f'["{object_marks.ITERATION}"]', text="Iteration", slider=True)
            at = int(obj[object_marks.ITERATION])
            best = "best" if at == record.best_step else ""
            told = f"{record.scores[at]:.3f} {best}" if 0 <= at < len(record.scores) else best
            row.label(text=told.strip())
        if object_marks.BLEND in obj:
            layout.prop(obj, f'["{object_marks.BLEND}"]', text="Between", slider=True)
        grid = layout.grid_flow(columns=2, even_columns=True, align=True)
        operator(grid, "iss.regenerate", icon="FILE_REFRESH")
        operator(grid, "iss.vary", icon="MOD_NOISE")
        operator(grid, "iss.refine", icon="MODIFIER")
        operator(grid, "iss.branch", icon="SCULPTMODE_HLT")
        layout.prop(chosen, "refine_steps")
        draw_blend(layout, context)
        row = layout.row(align=True)
        operator(row, "iss.copy_recipe", icon="COPYDOWN")
        operator(row, "iss.recipe_to_panel", icon="TRIA_UP")
        row = layout.row(align=True)
        operator(row, "iss.bake", text="Bake", icon="TEXTURE")
        row.prop(chosen, "bake_size", text="")
        operator(row, "iss.mark_asset", text="", icon="ASSET_MANAGER")


def draw_facts(layout: Any, obj: Any, record: ObjectRecord) -> None:
    """Seed, score and size in one line."""
    parts = [f"seed {record.recipe.get('seed', 0)}"]
    if record.score is not None:
        parts.append(f"score {record.score:.3f}")
    parts.append(f"{len(obj.data.polygons):,} faces")
    row = layout.row()
    row.active = False
    row.label(text="  ·  ".join(parts))


def draw_blend(layout: Any, context: Any) -> None:
    """Shown where a second result is selected."""
    active = context.active_object
    others = [o for o in context.selected_objects if o != active and "iss" in o]
    if len(others) != 1:
        return
    chosen = context.scene.iss
    box = layout.box()
    draw_text(box, context, f"Between {active.name} and {others[0].name}", icon="ARROW_LEFTRIGHT")
    row = box.row(align=True)
    row.prop(chosen, "blend_count", text="Count")
    if chosen.blend_count == 1:
        row.prop(chosen, "blend_weight", text="", slider=True)
    operator(box, "iss.blend", icon="ARROW_LEFTRIGHT")


class ISS_PT_board(SidebarPanel, bpy.types.Panel):
    """The drafts of one prompt side by side"""

    bl_idname, bl_label, bl_parent_id, bl_order = "ISS_PT_board", "Variation Board", "ISS_PT_main", 0

    @classmethod
    def poll(cls, context: Any) -> bool:
        obj = context.active_object
        return obj is not None and object_marks.BOARD in obj

    @never_raises
    def draw(self, context: Any) -> None:
        layout, active = self.layout, context.active_object
        board = str(active[object_marks.BOARD])
        column = layout.column(align=True)
        shown = [(obj, read_record(obj)) for obj in board_objects(board)]
        scores = [record.score for _, record in shown if record is not None and record.score is not None]
        best = max(scores, default=None)
        for obj, record in shown:
            if record is None:
                continue
            row = column.row(align=True)
            object_id = str(obj.get(object_marks.ID, ""))
            score = "" if record.score is None else f"{record.score:.3f}"
            icon = "FUND" if best is not None and record.score == best else "DOT"
            if object_marks.BLEND in obj:
                text = f"in between, {100 * float(obj[object_marks.BLEND]):.0f}%"
            else:
                text = f"{score}  seed {record.recipe.get('seed', 0)}"
            operator(row, "iss.select_result", text=text, icon=icon, object_id=object_id)
            if obj == active:
                row.label(text="", icon="RESTRICT_SELECT_OFF")
            if not record.preview:
                operator(row, "iss.promote", text="Promote", object_id=object_id)
        operator(layout, "iss.discard_board", icon="TRASH", board=board)


class ISS_PT_prompts(SidebarPanel, bpy.types.Panel):
    """Prompts used before, favourites first, and prompts from a text"""

    bl_idname, bl_label, bl_parent_id, bl_order = "ISS_PT_prompts", "Prompts", "ISS_PT_main", 2
    bl_options = _CLOSED

    @classmethod
    def poll(cls, context: Any) -> bool:
        return is_ready()

    @never_raises
    def draw(self, context: Any) -> None:
        layout, session, chosen = self.layout, sessions.current(), context.scene.iss
        if session is None:
            return
        row = layout.row(align=True)
        row.prop(chosen, "search", text="", icon="VIEWZOOM")
        operator(row, "iss.clear_history", text="", icon="TRASH")
        found = session.history.listed(search=chosen.search)
        column = layout.column(align=True)
        for entry in found[:MOST_PROMPTS]:
            row = column.row(align=True)
            star = "SOLO_ON" if entry.favourite else "SOLO_OFF"
            operator(row, "iss.favourite", text="", icon=star, prompt=entry.prompt)
            operator(row, "iss.recall", text=entry.prompt, prompt=entry.prompt)
            operator(row, "iss.forget_prompt", text="", icon="X", prompt=entry.prompt)
        if len(found) > MOST_PROMPTS:
            layout.label(text=f"{len(found) - MOST_PROMPTS} more; search for them")
        elif not found:
            layout.label(text="No prompt yet" if not chosen.search else "Nothing found")
        if session.history.problem:
            draw_text(layout, context, session.history.problem, icon="ERROR")
        row = layout.row(align=True)
        row.prop(chosen, "prompt_text", text="")
        operator(row, "iss.generate_from_text", text="Queue", icon="PRESET")
        row = layout.row(align=True)
        operator(row, "iss.paste_recipe", icon="PASTEDOWN")
        operator(row, "iss.save_queue", text="Save as Batch", icon="EXPORT")


class ISS_PT_options(SidebarPanel, bpy.types.Panel):
    """Size in the scene, and deviations from the quality preset"""

    bl_idname, bl_label, bl_parent_id, bl_order = "ISS_PT_options", "Options", "ISS_PT_main", 3
    bl_options = _CLOSED

    @classmethod
    def poll(cls, context: Any) -> bool:
        return is_ready()

    @never_raises
    def draw(self, context: Any) -> None:
        column = self.layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        for group in (
            ("height", "preview_every"),
            ("steps", "views", "candidates", "diversity"),
            ("resolution", "max_faces"),
        ):
            part = column.column(align=True)
            for name in group:
                part.prop(context.scene.iss, name)


CLASSES = (ISS_PT_board, ISS_PT_result, ISS_PT_prompts, ISS_PT_options)


def register() -> None:
    """Register the panels."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(CLASSES)
