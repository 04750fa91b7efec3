"""Carries out in the scene what the session brings: meshes on the way, results, jobs that ended without one.

Objects are found again by the id on them at each step, never kept. One undo step is pushed per result.
"""

import dataclasses
import logging

import bpy

from . import addon_solid_view, addon_styles, mesh_import, object_marks
from .job_requests import (
    NEW,
    REPLACE,
    JobRequest,
    Place,
    blend_request,
    iteration_request,
)
from .jobs import CANCELLED, FAILED, Job
from .mesh_import import MeshImportError
from .object_record import ObjectRecord, read_record, write_record
from .session import PREVIEW, RESULT, SceneWork, Session, Trouble

log = logging.getLogger(__name__)

ORIGINAL = "iss_original_mesh"
"""Pointer from an object that shows previews to the mesh it had before."""
GAP = 0.3
"""Between neighbours, as a share of the height."""
_HANDS_ON = ("TRANSFORM_OT_", "MESH_OT_", "OBJECT_OT_", "VIEW3D_OT_select", "VIEW3D_OT_cursor", "SCULPT_OT_",
             "PAINT_OT_", "GPENCIL_OT_", "CURVE_OT_", "ED_OT_")  # fmt: skip
"""Operators during which an artist's data must not change: they hold on to it until the mouse is let go."""


def is_hands_on() -> bool:
    """Whether Blender is in the middle of something that a change of the scene would disturb."""
    if bpy.app.is_job_running("RENDER"):
        return True
    for window in bpy.context.window_manager.windows:
        for operator in getattr(window, "modal_operators", ()):
            if operator.bl_idname.startswith(_HANDS_ON):
                return True
    return False


def carry_out_one(session: Session) -> bool:
    """Do the next piece of scene work that can be done now; True when something was done."""
    for _ in range(len(session.scene_work)):
        work = session.scene_work.popleft()
        target = find_object(_target_id(work.job))
        if target is not None and target.mode != "OBJECT":
            if work.kind != PREVIEW:
                session.scene_work.append(work)  # waits until the artist is done with it
            continue
        try:
            _carry_out(session, work)
        except MeshImportError as problem:
            session.trouble = Trouble(problem.message, problem.remedy, problem.code)
            _restore(target)
            addon_solid_view.put_back(session.previewed.get(work.job.id, {}))
        return True
    return False


def find_object(object_id: str) -> "bpy.types.Object | None":
    """The object with this id; None where it was deleted or undone."""
    if not object_id:
        return None
    for obj in bpy.data.objects:
        if obj.get(object_marks.ID) == object_id and obj.library is None:
            return obj
    return None


def own_id(obj: "bpy.types.Object", fresh: str) -> str:
    """The object's id, made its own first: a duplicate still has that of its original."""
    mine = obj.get(object_marks.ID)
    twins = [o for o in bpy.data.objects if o.get(object_marks.ID) == mine and o.library is None]
    if not mine or len(twins) > 1:
        obj[object_marks.ID] = fresh
    return str(obj[object_marks.ID])


def board_objects(board: str) -> "list[bpy.types.Object]":
    """The objects of a variation board, from left to right."""
    found = [o for o in bpy.data.objects if board and o.get(object_marks.BOARD) == board]
    return sorted(found, key=lambda o: o.location.x)


def follow_sliders(session: Session, obj: "bpy.types.Object | None") -> JobRequest | None:
    """What the sliders of an object ask for now; None while its last wish is on the way."""
    if obj is None or object_marks.ID not in obj or obj.mode != "OBJECT" or obj.library is not None:
        return None
    addon_styles.follow_step(obj)
    object_id = str(obj[object_marks.ID])
    iteration, weight = object_marks.wanted_iteration(obj), object_marks.wanted_weight(obj)
    if (iteration is None and weight is None) or _is_awaited(session, object_id):
        return None
    record = read_record(obj)
    if record is None:
        return None
    place = Place(REPLACE, object_id, height=record.height_m)
    if iteration is not None:
        if not 0 <= iteration < len(record.codes):
            object_marks.settle_sliders(obj)
            return None
        return iteration_request(record, iteration, place)
    assert weight is not None
    codes = (object_marks.code_of(obj, key) for key in (object_marks.CODE_A, object_marks.CODE_B))
    return blend_request(record.recipe, *codes, place, weight=weight, title=obj.name)


def drop_wish(obj: "bpy.types.Object | None") -> None:
    """Put an object's sliders back where they were: nobody can fulfil what they ask for."""
    if obj is not None:
        object_marks.settle_sliders(obj)


def push_undo(message: str) -> None:
    """One step in the undo history. In edit modes Blender itself makes one when the mode is left."""
    windows = bpy.context.window_manager.windows
    window = bpy.context.window or (windows[0] if windows else None)
    try:
        if window is None:
            bpy.ops.ed.undo_push(message=message)
        else:
            with bpy.context.temp_override(window=window):
                bpy.ops.ed.undo_push(message=message)
    except RuntimeError as problem:
        log.info("no undo step was made: %s", problem)


def _carry_out(session: Session, work: SceneWork) -> None:
    place = Place.from_params(work.job.params)
    target = find_object(_target_id(work.job))
    if work.kind == PREVIEW:
        _show_preview(session, work, place, target)
    elif work.kind == RESULT:
        _place_result(session, work, place, target)
    else:
        addon_solid_view.put_back(session.previewed.get(work.job.id, {}))
        if target is not None:
            _give_up(work.job, place, target)


def _show_preview(session: Session, work: SceneWork, place: Place, target: "bpy.types.Object | None") -> None:
    shown = session.previewed
    if target is None:
        if place.mode == REPLACE or work.job.id in shown:
            return  # the artist deleted it
        record = ObjectRecord(
            job_id=work.job.id,
            recipe=dict(work.job.params.get("recipe") or {}),
            height_m=place.height,
            preview=True,
        )
        _add(work, place, record, work.job.id)
    else:
        record = read_record(target) or ObjectRecord(height_m=place.height)
        if ORIGINAL not in target and not record.preview:
            target[ORIGINAL] = target.data
            target.data = target.data.copy()
        if work.job.name == "stylize_mesh":
            addon_styles.show_own_preview(target, work.arrays["colors"])
        else:
            mesh_import.replace_result(target, work.arrays, dataclasses.replace(record, preview=True))
    if work.job.id not in shown:
        shown[work.job.id] = addon_solid_view.show_colors()


def _place_result(session: Session, work: SceneWork, place: Place, target: "bpy.types.Object | None") -> None:
    job = work.job
    if addon_styles.is_look(job):
        _place_look(session, work, place, target)
        return
    if target is not None and job.name == "remesh" and "iteration" not in job.params:
        addon_styles.place_remeshed(work, target)
        push_undo(f"ISS: {target.name}")
        return
    if target is not None and job.name in ("remesh", "blend") and place.mode == REPLACE:
        # No undo step: moving the slider made one. Another one here would be an undo that undoes itself, as
        # the step before it asks for this mesh again.
        _move_slider(work, target)
        return
    record = ObjectRecord.of_result(work.fields, work.arrays, job_id=job.id, height_m=place.height)
    object_id = place.object_id if place.mode == REPLACE and target is not None else job.id
    if target is None:
        target = _add(work, place, record, object_id)
    else:
        _restore(target)
        mesh_import.replace_result(target, work.arrays, record)
    object_marks.mark_result(target, object_id, board=place.board)
    addon_styles.keep_style(target, work.fields, work.arrays)
    if len(record.codes) > 1:
        object_marks.add_iteration_slider(target, record.best_step)
        slider = target.id_properties_ui(object_marks.ITERATION)
        slider.update(min=0, max=len(record.codes) - 1, description="Which iteration's mesh to show")
    if job.name == "blend" and {"code_a", "code_b"} <= set(job.arrays):
        weight = float(work.fields.get("weight", 0.5))
        object_marks.add_blend_slider(target, job.arrays["code_a"], job.arrays["code_b"], weight)
        target.id_properties_ui(object_marks.BLEND).update(min=0.0, max=1.0, description="Between both ends")
    if job.kept:
        session.placed.add(job.id)
    session.previewed.pop(job.id, None)
    addon_solid_view.show_object(target)
    push_undo(f"ISS: {target.name}")


def _place_look(session: Session, work: SceneWork, place: Place, target: "bpy.types.Object | None") -> None:
    _restore(target)
    obj = addon_styles.place_look(work, place, target)
    # Several styles queued for one object stand side by side.
    shown = [o for o in addon_styles.looks_of(target) if o != obj and not o.hide_render] if target else []
    sibling = find_object(place.beside) or (shown[-1] if shown else None)
    if sibling is not None:
        _stand_right_of(obj, sibling, GAP * obj.dimensions.z)
    select_only(obj)
    addon_solid_view.show_object(obj)
    if work.job.kept:
        session.placed.add(work.job.id)
    session.previewed.pop(work.job.id, None)
    push_undo(f"ISS: {obj.name}")


def _add(work: SceneWork, place: Place, record: ObjectRecord, object_id: str) -> "bpy.types.Object":
    """A new object at its place; selected where that disturbs nobody."""
    scene = bpy.context.scene
    obj = mesh_import.import_result(
        work.arrays, record, name=work.job.title, scene=scene, location=place.location
    )
    object_marks.mark_result(obj, object_id, board=place.board)
    row = [o for o in board_objects(place.board) if o != obj]
    left = row[-1] if row else find_object(place.beside)
    if left is not None:
        _stand_right_of(obj, left, GAP * place.height)
    select_only(obj)
    return obj


def _stand_right_of(obj: "bpy.types.Object", left: "bpy.types.Object", gap: float) -> None:
    right_edge = left.location.x + max(corner[0] for corner in left.bound_box) * abs(left.scale.x)
    own_left = min(corner[0] for corner in obj.bound_box)
    obj.location = (right_edge + gap - own_left, left.location.y, left.location.z)


def select_only(obj: "bpy.types.Object") -> None:
    """Make it the active and only selected object, unless the artist is in the middle of editing one."""
    layer = bpy.context.view_layer
    active = layer.objects.active
    if (active is not None and active.mode != "OBJECT") or obj.name not in layer.objects:
        return
    for other in layer.objects.selected:
        other.select_set(False)
    obj.select_set(True)
    layer.objects.active = obj


def _move_slider(work: SceneWork, target: "bpy.types.Object") -> None:
    record = read_record(target) or ObjectRecord()
    mesh_import.replace_result(target, work.arrays, record)
    if work.job.name == "remesh":
        target[object_marks.ITERATION_SHOWN] = int(work.job.params.get("iteration", 0))
        return
    code = object_marks.code_of(work.arrays, "code")
    write_record(target, dataclasses.replace(record, code=code))
    target[object_marks.BLEND_SHOWN] = float(work.job.params.get("weight", 0.5))


def _give_up(job: Job, place: Place, target: "bpy.types.Object") -> None:
    """The job ended without a result: a preview of it goes, an object that it was to change is as before."""
    assert job.state in (FAILED, CANCELLED)
    if place.mode == NEW:
        record = read_record(target)
        if record is not None and record.preview and record.job_id == job.id:
            mesh = target.data
            bpy.data.objects.remove(target)
            if not mesh.users:
                bpy.data.meshes.remove(mesh)
        return
    object_marks.settle_sliders(target)
    _restore(target)


def _restore(target: "bpy.types.Object | None") -> None:
    """Give an object with a preview its own mesh back."""
    original = target.get(ORIGINAL) if target is not None else None
    if target is None or original is None:
        return
    preview = target.data
    target.data = original
    del target[ORIGINAL]
    if not preview.users:
        bpy.data.meshes.remove(preview)
    record = read_record(target)
    if record is not None and record.preview:
        write_record(target, dataclasses.replace(record, preview=False))


def _target_id(job: Job) -> str:
    place = Place.from_params(job.params)
    return place.object_id if place.mode == REPLACE else job.id


def _is_awaited(session: Session, object_id: str) -> bool:
    """Whether a job that changes this object runs, waits, or waits for being placed."""
    known = [job for job in session.client.jobs if not job.ended] if session.client else []
    known += [work.job for work in session.scene_work]
    return any(_target_id(job) == object_id for job in known)
