"""Operators on results in the scene: the object is the document, and everything they need is on it."""

import json
import secrets
from dataclasses import replace
from typing import Any, ClassVar

import bpy
from bpy.props import StringProperty

from . import object_marks, settings
from .addon_scene import board_objects, find_object, own_id, select_only
from .assets import mark_as_asset
from .bake import BakeError, bake_colors
from .job_requests import (
    REPLACE,
    JobRequest,
    Place,
    blend_request,
    branch_request,
    promote_request,
    refine_request,
    regenerate_request,
    vary_request,
)
from .journal import new_job_id
from .mesh_import import why_not_replaceable
from .object_record import ObjectRecord, read_record
from .operators import Refusal, SessionOperator, register_classes, submit, unregister_classes
from .operators_generate import previews
from .session import Session

LONGEST_RECIPE = 10**6
"""Characters of a pasted recipe."""


def result_of(obj: "bpy.types.Object | None") -> ObjectRecord:
    """The finished result on an object; Refusal where it is none."""
    record = read_record(obj) if obj is not None else None
    if record is None or record.preview or not len(record.code):
        raise Refusal("Select a finished result of this add-on.")
    return record


def in_place(obj: "bpy.types.Object", record: ObjectRecord) -> Place:
    """The object itself as the place of a new mesh."""
    problem = why_not_replaceable(obj)
    if problem is not None:
        raise Refusal(f"{problem.message} {problem.remedy}")
    return Place(
        REPLACE,
        own_id(obj, new_job_id()),
        height=record.height_m,
        board=str(obj.get(object_marks.BOARD, "")),
    )


def beside(obj: "bpy.types.Object", record: ObjectRecord) -> Place:
    """The right side of the object."""
    return Place(location=tuple(obj.location), height=record.height_m, beside=own_id(obj, new_job_id()))


def on_device(request: JobRequest, chosen: Any) -> JobRequest:
    """The request on the device that the panel chose: a recipe from another computer may name one that
    this one lacks."""
    recipe = {**request.params["recipe"], "device": chosen.device}
    return replace(request, params={**request.params, "recipe": recipe})


class ResultOperator(SessionOperator):
    """Base of operators on the active result."""

    @classmethod
    def poll(cls, context: "bpy.types.Context") -> bool:
        """Active where the active object is a result."""
        obj = context.active_object
        return obj is not None and "iss" in obj

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        obj = context.active_object
        self.work(context, session, obj, result_of(obj))

    def work(
        self,
        context: "bpy.types.Context",
        session: Session,
        obj: "bpy.types.Object",
        record: ObjectRecord,
    ) -> None:
        """What the operator does with the result."""
        raise NotImplementedError


class ISS_OT_regenerate(ResultOperator, bpy.types.Operator):
    """Make this result again from its recipe, into the same object"""

    bl_idname, bl_label = "iss.regenerate", "Regenerate"

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        chosen, place = context.scene.iss, in_place(obj, record)
        if object_marks.BLEND in obj:
            codes = (object_marks.code_of(obj, key) for key in (object_marks.CODE_A, object_marks.CODE_B))
            weight = float(obj[object_marks.BLEND])
            request = blend_request(record.recipe, *codes, place, weight=weight, title=obj.name)
        else:
            request = regenerate_request(record, place, preview_every=chosen.preview_every)
        submit(session, on_device(request, chosen))


class ISS_OT_refine(ResultOperator, bpy.types.Operator):
    """Tune this result further towards its words; the best shape is kept"""

    bl_idname, bl_label = "iss.refine", "Refine"

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        chosen = context.scene.iss
        request = refine_request(
            record, in_place(obj, record), steps=chosen.refine_steps, preview_every=chosen.preview_every
        )
        submit(session, on_device(request, chosen))


class ISS_OT_vary(ResultOperator, bpy.types.Operator):
    """Same words, new seed: another shape beside this one"""

    bl_idname, bl_label = "iss.vary", "Vary"

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        chosen = context.scene.iss
        seed = secrets.randbelow(settings.GREATEST_SEED)
        request = vary_request(record, beside(obj, record), seed=seed, preview_every=chosen.preview_every)
        submit(session, on_device(request, chosen))


class ISS_OT_branch(ResultOperator, bpy.types.Operator):
    """Same shape to start from, new words: tune a copy towards the prompt in the panel"""

    bl_idname, bl_label = "iss.branch", "Branch"

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        chosen = context.scene.iss
        if not chosen.prompt.strip():
            raise Refusal("Type the new words into the prompt first.")
        request = branch_request(
            record,
            beside(obj, record),
            prompt=chosen.prompt,
            steps=chosen.refine_steps,
            preview_every=chosen.preview_every,
        )
        submit(session, on_device(request, chosen))


class ISS_OT_blend(ResultOperator, bpy.types.Operator):
    """Make the shapes between the two selected results; a slider then moves each of them"""

    bl_idname, bl_label = "iss.blend", "Blend"

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        others = [o for o in context.selected_objects if o != obj and "iss" in o]
        if len(others) != 1:
            raise Refusal("Select exactly two results: the active one is the start, the other the end.")
        other, chosen = result_of(others[0]), context.scene.iss
        if len(other.code) != len(record.code) or other.recipe.get("bundle") != record.recipe.get("bundle"):
            raise Refusal("These two results come from different models and have nothing in between.")
        count = chosen.blend_count
        weights = [(i + 1) / (count + 1) for i in range(count)] if count > 1 else [chosen.blend_weight]
        right = max((obj, others[0]), key=lambda o: o.location.x)
        place = replace(beside(right, record), board=new_job_id() if count > 1 else "")
        title = f"{record.prompt or obj.name} + {other.prompt or others[0].name}"
        for weight in weights:
            request = blend_request(record.recipe, record.code, other.code, place, weight=weight, title=title)
            submit(session, on_device(request, chosen))


class ISS_OT_promote(SessionOperator, bpy.types.Operator):
    """Take this draft to full quality and discard the others of its row"""

    bl_idname, bl_label = "iss.promote", "Promote"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    object_id: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        obj = find_object(self.object_id) if self.object_id else context.active_object
        record, chosen = result_of(obj), context.scene.iss
        board = str(obj.get(object_marks.BOARD, ""))
        preset = chosen.quality if chosen.quality != "draft" else "normal"
        request = promote_request(
            record,
            replace(in_place(obj, record), board=""),
            preset=preset,
            changes=settings.stage2_changes(chosen),
            preview_every=previews(chosen, preset),
        )
        submit(session, on_device(request, chosen))
        discard_others(session, obj, board)
        select_only(obj)


class ISS_OT_discard_board(SessionOperator, bpy.types.Operator):
    """Remove all results of this row"""

    bl_idname, bl_label = "iss.discard_board", "Discard All"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    board: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        discard_others(session, None, self.board)


class ISS_OT_select_result(SessionOperator, bpy.types.Operator):
    """Select this result in the scene"""

    bl_idname, bl_label = "iss.select_result", "Select"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    object_id: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        obj = find_object(self.object_id)
        if obj is None or obj.name not in context.view_layer.objects:
            raise Refusal("This object is not in the scene any more.")
        select_only(obj)


class ISS_OT_copy_recipe(ResultOperator, bpy.types.Operator):
    """Copy the recipe to the clipboard as JSON"""

    bl_idname, bl_label = "iss.copy_recipe", "Copy Recipe"

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        text = json.dumps({"recipe": record.recipe}, indent=1, ensure_ascii=False)
        context.window_manager.clipboard = text
        self.report({"INFO"}, "Recipe copied.")


class ISS_OT_recipe_to_panel(ResultOperator, bpy.types.Operator):
    """Put this result's words, seed and model into the panel"""

    bl_idname, bl_label = "iss.recipe_to_panel", "To Panel"

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        fill_panel(context.scene.iss, record.recipe)
        context.scene.iss.height = record.height_m


class ISS_OT_paste_recipe(SessionOperator, bpy.types.Operator):
    """Put a recipe from the clipboard into the panel"""

    bl_idname, bl_label = "iss.paste_recipe", "Paste Recipe"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        text = context.window_manager.clipboard
        try:
            content = json.loads(text) if len(text) <= LONGEST_RECIPE else None
        except ValueError:
            content = None
        recipe = content.get("recipe", content) if isinstance(content, dict) else None
        if not isinstance(recipe, dict) or "prompt" not in recipe:
            raise Refusal("The clipboard holds no recipe; use Copy Recipe on a result first.")
        fill_panel(context.scene.iss, recipe)


class ISS_OT_bake(ResultOperator, bpy.types.Operator):
    """Unwrap the mesh and bake its colours into a texture, for game engines"""

    bl_idname, bl_label = "iss.bake", "Bake to Texture"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        try:
            bake_colors(obj, size=int(context.scene.iss.bake_size))
        except BakeError as problem:
            raise Refusal(f"{problem.message} {problem.remedy}") from problem


class ISS_OT_mark_asset(ResultOperator, bpy.types.Operator):
    """Put this result into the Asset Browser, with a picture and tags from its words"""

    bl_idname, bl_label = "iss.mark_asset", "Mark as Asset"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    def work(self, context: Any, session: Session, obj: Any, record: ObjectRecord) -> None:
        mark_as_asset(obj, record)


def fill_panel(chosen: Any, recipe: dict[str, Any]) -> None:
    """Put what the panel can show of a recipe into it."""
    chosen.prompt = str(recipe.get("prompt", ""))
    seed = recipe.get("seed", 0)
    chosen.seed = seed if isinstance(seed, int) and 0 <= seed <= settings.GREATEST_SEED else 0
    chosen.random_seed = False
    chosen.bundle = str(recipe.get("bundle", chosen.bundle))
    image = str(recipe.get("image", ""))
    chosen.image_path = image


def discard_others(session: Session, kept: "bpy.types.Object | None", board: str) -> None:
    """Remove a row's other objects and stop its jobs that have not ended."""
    for job in session.listed_jobs():
        if board and Place.from_params(job.params).board == board and not job.ended:
            session.cancel(job.id)
    for obj in board_objects(board):
        if obj != kept:
            mesh = obj.data
            bpy.data.objects.remove(obj)
            if mesh is not None and not mesh.users:
                bpy.data.meshes.remove(mesh)
    if kept is not None and object_marks.BOARD in kept:
        del kept[object_marks.BOARD]


CLASSES = (
    ISS_OT_regenerate,
    ISS_OT_refine,
    ISS_OT_vary,
    ISS_OT_branch,
    ISS_OT_blend,
    ISS_OT_promote,
    ISS_OT_discard_board,
    ISS_OT_select_result,
    ISS_OT_copy_recipe,
    ISS_OT_recipe_to_panel,
    ISS_OT_paste_recipe,
    ISS_OT_bake,
    ISS_OT_mark_asset,
)


def register() -> None:
    """Register the operators."""
    register_classes(CLASSES)


def unregister() -> None:
    """Take the operators back."""
    unregister_classes(CLASSES)
