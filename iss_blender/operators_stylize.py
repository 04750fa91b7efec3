"""Operators of styles and their settings: a new look for any mesh object, its original, a finer mesh."""

from typing import Any, ClassVar

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import addon_solid_view, addon_styles, object_marks, style_marks
from .addon_own_mesh import FEW_VERTICES, OwnMeshError, read_own_mesh
from .addon_scene import ORIGINAL as HELD_MESH
from .addon_scene import own_id, select_only
from .job_requests import REPLACE, Place
from .journal import new_job_id
from .object_record import ObjectRecord, read_record
from .operators import Refusal, SessionOperator, register_classes, submit, unregister_classes
from .operators_results import in_place, result_of
from .session import Session
from .settings import GREATEST_SEED
from .style_requests import (
    SHAPE,
    TEXTURE,
    StyleWish,
    remesh_request,
    style_words,
    stylize_mesh_request,
    stylize_request,
)

CURRENT, ORIGINAL = "CURRENT", "ORIGINAL"
AUTO, ATTRIBUTE, PICTURE = "AUTO", "ATTRIBUTE", "PICTURE"


class ISS_StyleSettings(bpy.types.PropertyGroup):
    """What the style panel asks for; saved with the scene."""

    style: StringProperty(name="Style", description="The look, in a few words: wooden, marble, zebra, icy")
    mode: EnumProperty(
        name="Mode",
        items=(
            (TEXTURE, "Texture", "Colours only; the shape stays as it is"),
            (SHAPE, "Shape + Texture", "Colours, and the shape leans towards the words"),
        ),
        default=TEXTURE,
    )
    strength: FloatProperty(
        name="Strength",
        description="Texture: share of the new colours, 1 and above is all. Shape: how far it may go",
        default=1.0,
        min=0.05,
        max=4.0,
        soft_max=2.0,
    )
    seed: IntProperty(name="Seed", description="Another seed, another variant", min=0, max=GREATEST_SEED)
    steps: IntProperty(
        name="Iterations", description="Of tuning; -1 leaves it to the model", default=-1, min=-1, max=1000
    )
    base: EnumProperty(
        name="From",
        items=(
            (CURRENT, "This Look", "Style what is there further"),
            (ORIGINAL, "Original", "Start again from the shape without styles; the look stands beside"),
        ),
        default=CURRENT,
    )
    own_mesh: BoolProperty(
        name="Mesh as It Is",
        description="Style the mesh with all that was edited or sculpted; colours only",
        default=False,
    )
    output: EnumProperty(
        name="Write To",
        items=(
            (AUTO, "Automatic", f"A picture where the mesh has fewer than {FEW_VERTICES} vertices"),
            (ATTRIBUTE, "Colour Attribute", "Colours of the vertices"),
            (PICTURE, "Picture", "A texture for the active UV map; a mesh without one is unwrapped"),
        ),
        default=AUTO,
    )
    subject: StringProperty(
        name="It Is", description="What the object is, such as a chair; empty lets the model guess"
    )
    resolution: IntProperty(
        name="Resolution", description="Grid cells per side of the mesh", default=192, min=16, max=512
    )


class ISS_OT_stylize(SessionOperator, bpy.types.Operator):
    """Give the selected object a new look; the original is kept, hidden"""

    bl_idname, bl_label = "iss.stylize", "Stylize"

    @classmethod
    def poll(cls, context: "bpy.types.Context") -> bool:
        """Active where there is an object; what cannot be styled is told when it is tried."""
        return context.active_object is not None

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        wanted, obj = context.scene.iss_style, context.active_object
        words = " ".join(wanted.style.split())
        if not words:
            raise Refusal('Type a style, for example "wooden" or "zebra".')
        place = Place(location=tuple(obj.location))
        if wanted.base == ORIGINAL and (first := addon_styles.first_original(obj)) is not obj:
            place = Place(location=tuple(obj.location), beside=own_id(obj, new_job_id()))
            obj = first
        record = read_record(obj)
        if record is not None and record.preview and HELD_MESH not in obj:
            raise Refusal(f"{obj.name!r} is still being made. Wait for it, or cancel its job.")
        own = styles_own_mesh(obj, wanted)
        mode = TEXTURE if own else wanted.mode
        wish = StyleWish(words, mode, round(wanted.strength, 4), wanted.seed, wanted.steps)
        (stylize_mesh if own else stylize_result)(context, session, obj, wish, place)


def styles_own_mesh(obj: "bpy.types.Object", wanted: Any) -> bool:
    """Whether the object's mesh is styled as it is, not as a result's shape."""
    record = read_record(obj)
    return wanted.own_mesh or record is None or not len(record.code)


def stylize_result(
    context: "bpy.types.Context", session: Session, obj: "bpy.types.Object", wish: StyleWish, place: Place
) -> None:
    """Queue a new look of a result's shape."""
    record, chosen = shown_record(obj), context.scene.iss
    at = in_place(obj, record)
    place = Place(REPLACE, at.object_id, place.location, record.height_m, place.beside)
    decoder = decoder_of(obj, record)
    request = stylize_request(
        record, wish, place, decoder=decoder, device=chosen.device, preview_every=chosen.preview_every
    )
    submit(session, request)


def stylize_mesh(
    context: "bpy.types.Context", session: Session, obj: "bpy.types.Object", wish: StyleWish, place: Place
) -> None:
    """Queue new colours for a mesh as it is."""
    chosen, wanted = context.scene.iss, context.scene.iss_style
    few = obj.type == "MESH" and len(obj.data.vertices) < FEW_VERTICES
    as_picture = wanted.output == PICTURE or (wanted.output == AUTO and few)
    try:
        mesh = read_own_mesh(obj, picture_size=int(chosen.bake_size) if as_picture else 0)
    except OwnMeshError as problem:
        raise Refusal(str(problem)) from problem
    place = Place(
        REPLACE, own_id(obj, new_job_id()), place.location, max(obj.dimensions.z, 0.001), place.beside
    )
    record = read_record(obj)
    subject = wanted.subject.strip() or (record.prompt if record is not None else "")
    request = stylize_mesh_request(
        mesh.arrays,
        wish,
        place,
        name=obj.name,
        subject=subject,
        recipe={"bundle": chosen.bundle, "device": chosen.device},
        look=mesh.look,
        preview_every=chosen.preview_every,
    )
    submit(session, request)


def shown_record(obj: "bpy.types.Object") -> ObjectRecord:
    """The record of a result whose recipe repeats the shape that is shown: an in-between or an iteration
    other than the best is no recipe's own result, so its code becomes the recipe's start."""
    record = read_record(obj)
    if record is not None and HELD_MESH in obj:  # it shows another style that is still being made
        record = ObjectRecord(**{**vars(record), "preview": False})
    else:
        record = result_of(obj)
    shown = obj.get(object_marks.ITERATION_SHOWN)
    code = record.code
    if shown is not None and 0 <= int(shown) < len(record.codes):
        code = record.codes[int(shown)]
    elif object_marks.BLEND not in obj:
        return record
    if object_marks.BLEND not in obj and int(shown or 0) == record.best_step:
        return record
    settings = dict(record.recipe.get("settings") or {})
    settings["stage2"] = {**settings.get("stage2", {}), "steps": 0}
    recipe = {**record.recipe, "settings": settings, "start_code": [float(number) for number in code]}
    return ObjectRecord(**{**vars(record), "recipe": recipe, "code": code})


def decoder_of(obj: "bpy.types.Object", record: ObjectRecord) -> Any:
    """The tuned decoder on an object; None where it was never styled, Refusal where it was lost."""
    decoder = style_marks.decoder_of(obj)
    if decoder is None and style_words(record.recipe):
        raise Refusal(
            f"{obj.name!r} was styled, but its tuned decoder is not on it any more. Press Regenerate, or "
            "switch on Mesh as It Is."
        )
    return decoder


class ISS_OT_remesh(SessionOperator, bpy.types.Operator):
    """Mesh this shape again with another resolution; its look stays"""

    bl_idname, bl_label = "iss.remesh", "Re-mesh"

    @classmethod
    def poll(cls, context: "bpy.types.Context") -> bool:
        """Active where the active object is a result."""
        return context.active_object is not None and "iss" in context.active_object

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        obj = context.active_object
        record = shown_record(obj)
        request = remesh_request(
            record,
            in_place(obj, record),
            resolution=context.scene.iss_style.resolution,
            decoder=decoder_of(obj, record),
            device=context.scene.iss.device,
        )
        submit(session, request)


class ISS_OT_show_original(SessionOperator, bpy.types.Operator):
    """Show the original instead of this look, or its newest look instead of the original; without looks, show
    an original that was left hidden"""

    bl_idname, bl_label = "iss.show_original", "Show Original"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        obj = context.active_object
        other = addon_styles.original_of(obj)
        if other is None and obj is not None:
            looks = [look for look in addon_styles.looks_of(obj) if look.name in context.view_layer.objects]
            other = looks[-1] if looks else None
        if obj is not None and other is None and obj.hide_render:
            addon_styles.set_hidden(obj, False)
            return
        if obj is None or other is None:
            raise Refusal("The original of this look is not in the file any more.")
        addon_styles.set_hidden(other, False)
        addon_styles.set_hidden(obj, True)
        select_only(other)


class ISS_OT_show_in_solid(SessionOperator, bpy.types.Operator):
    """Let this view's Solid show what the look is made of: a picture, or colours of its vertices"""

    bl_idname, bl_label = "iss.show_in_solid", "Show in Solid"

    def run(self, context: "bpy.types.Context", session: Session) -> None:
        obj, view = context.active_object, context.space_data
        if obj is None or view is None or view.type != "VIEW_3D":
            raise Refusal("Press it in a 3D view, with a look selected.")
        if color_type := addon_solid_view.color_type_of(obj):
            view.shading.color_type = color_type


CLASSES = (ISS_StyleSettings, ISS_OT_stylize, ISS_OT_remesh, ISS_OT_show_original, ISS_OT_show_in_solid)


def register() -> None:
    """Register the settings and the operators."""
    register_classes(CLASSES)
    bpy.types.Scene.iss_style = PointerProperty(type=ISS_StyleSettings)


def unregister() -> None:
    """Take them back."""
    del bpy.types.Scene.iss_style
    unregister_classes(CLASSES)
