"""Styled objects in the scene: a new look beside its hidden original, colours on the way, and looking back.

A look of a result has a mesh of its own. A look of an artist's own mesh is a copy of that object with other
colours: as a colour attribute and, where the request came with texels, as a picture for its UV map.
"""

import json
from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np

from . import mesh_import, object_marks, style_marks
from .bake import MARGIN_PX, picture_of
from .job_requests import Place
from .jobs import Job
from .materials import color_material, texture_material
from .mesh_import import ATTRIBUTE, MeshImportError
from .object_record import ObjectRecord, read_record
from .protocol import Array, Fields
from .session import SceneWork
from .style_requests import style_words
from .triangle_raster import spread

OWN_STYLE = "iss_own_style"
"""On a look of an own mesh: the style as it was run, as JSON."""
_ORIGINAL = "original"


def is_look(job: Job) -> bool:
    """Whether the job's result becomes a new look beside its original."""
    return "look" in job.params


def place_look(work: SceneWork, place: Place, original: "bpy.types.Object | None") -> "bpy.types.Object":
    """The styled object with the original's transform and name; the original is hidden. MeshImportError."""
    own = work.job.name == "stylize_mesh"
    if original is None:
        if own:
            raise MeshImportError(
                "gone",
                "The object that was styled is not there any more.",
                "Undo its deletion, stylize again.",
            )
        return _fresh_result(work, place)
    if own:
        obj = _copied(original, original.data.copy())
        _dress(obj, work)
    else:
        record = _record_of(work, place)
        obj = _copied(original, bpy.data.meshes.new(original.name))
        obj.data.materials.append(color_material(ATTRIBUTE))
        mesh_import.replace_result(obj, work.arrays, record)
    _hand_over_name(original, obj)
    object_marks.mark_result(obj, work.job.id)
    obj[style_marks.STYLED_FROM] = str(original[object_marks.ID])
    keep_style(obj, work.fields, work.arrays)
    if own and "texels" in work.job.arrays:
        style_marks.forget_iterates(obj)  # the picture would not follow
    set_hidden(original, True)
    set_hidden(obj, False)
    return obj


def keep_style(obj: "bpy.types.Object", fields: Fields, arrays: Mapping[str, Array]) -> None:
    """What a result's style left goes onto its object, with the slider over iterations."""
    style_marks.keep_style(obj, fields, arrays)
    if style_marks.STEPS in obj:
        last = len(obj[style_marks.STEPS]) - 1
        slider = obj.id_properties_ui(style_marks.WANTED_STEP)
        slider.update(min=0, max=last, description="Whose colours to show; the last is the best")


def show_colors(obj: "bpy.types.Object", colors: Array) -> None:
    """Other colours [N, 3] (sRGB) on the mesh of an object, whose geometry stays. MeshImportError."""
    mesh = obj.data
    if len(colors) != len(mesh.vertices):
        raise MeshImportError(
            "changed",
            f"{obj.name!r} has {len(mesh.vertices):,} vertices now, {len(colors):,} were styled.",
            "Stylize it again.",
        )
    attribute = mesh.color_attributes.get(ATTRIBUTE)
    if attribute is not None and (attribute.domain, attribute.data_type) != ("POINT", "FLOAT_COLOR"):
        mesh.color_attributes.remove(attribute)
        attribute = None
    if attribute is None:
        attribute = mesh.color_attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
    rgba = np.ones((len(colors), 4), np.float32)
    rgba[:, :3] = colors
    attribute.data.foreach_set("color_srgb", rgba.reshape(-1))
    mesh.color_attributes.active_color = attribute
    mesh.color_attributes.render_color_index = mesh.color_attributes.find(ATTRIBUTE)
    mesh.update()


def show_own_preview(obj: "bpy.types.Object", colors: Array) -> None:
    """Colours on the way, on a copy of the mesh that the caller has put into the object."""
    show_colors(obj, colors)
    _dress_data(obj.data, color_material(ATTRIBUTE))


def follow_step(obj: "bpy.types.Object") -> bool:
    """Show the iteration that the object's slider asks for; True where something changed."""
    position = style_marks.wanted_step(obj)
    if position is None or obj.mode != "OBJECT" or obj.library is not None or obj.data.library is not None:
        return False
    colors = style_marks.iterate_colors(obj, position)
    if colors is None or len(colors) != len(obj.data.vertices):
        obj[style_marks.WANTED_STEP] = obj[style_marks.SHOWN_STEP]
        return True
    show_colors(obj, colors)
    obj[style_marks.SHOWN_STEP] = position
    return True


def place_remeshed(work: SceneWork, target: "bpy.types.Object") -> None:
    """The same shape with another mesh; its record keeps everything but the mesh settings."""
    record = read_record(target)
    if record is None:
        raise MeshImportError("gone", f"{target.name!r} is no result any more.", "Regenerate it.")
    fresh = ObjectRecord(**{**vars(record), "recipe": dict(work.fields["recipe"]), "preview": False})
    mesh_import.replace_result(target, work.arrays, fresh)
    style_marks.forget_iterates(target)


def original_of(obj: "bpy.types.Object | None") -> "bpy.types.Object | None":
    """The object that a look was made from; None where it is no look or the original was deleted."""
    wanted = str(obj.get(style_marks.STYLED_FROM, "")) if obj is not None else ""
    if not wanted:
        return None
    same = (o for o in bpy.data.objects if o.get(object_marks.ID) == wanted and o.library is None)
    return next(same, None)


def first_original(obj: "bpy.types.Object") -> "bpy.types.Object":
    """The object at the start of a chain of looks; the object itself where it is no look."""
    seen = {obj.name}
    while (before := original_of(obj)) is not None and before.name not in seen:
        obj = before
        seen.add(obj.name)
    return obj


def looks_of(obj: "bpy.types.Object") -> "list[bpy.types.Object]":
    """The looks that were made from an object."""
    mine = obj.get(object_marks.ID)
    return [o for o in bpy.data.objects if mine and o.get(style_marks.STYLED_FROM) == mine]


def set_hidden(obj: "bpy.types.Object", hidden: bool) -> None:
    """Hide or show in views and renders; an object of another scene is left alone."""
    if obj.name in bpy.context.view_layer.objects:
        obj.hide_set(hidden)
    obj.hide_render = hidden


def _record_of(work: SceneWork, place: Place) -> ObjectRecord:
    return ObjectRecord.of_result(work.fields, work.arrays, job_id=work.job.id, height_m=place.height)


def _fresh_result(work: SceneWork, place: Place) -> "bpy.types.Object":
    """The look of a result whose original is gone, or in another file."""
    obj = mesh_import.import_result(
        work.arrays, _record_of(work, place), name=work.job.title, location=place.location
    )
    object_marks.mark_result(obj, work.job.id)
    keep_style(obj, work.fields, work.arrays)
    return obj


def _copied(original: "bpy.types.Object", mesh: "bpy.types.Mesh") -> "bpy.types.Object":
    """A copy of the object, with its modifiers and parent, that has this mesh."""
    obj = original.copy()
    obj.data = mesh
    for collection in original.users_collection or (bpy.context.scene.collection,):
        if collection.library is None:
            collection.objects.link(obj)
    if not obj.users_collection:
        bpy.context.scene.collection.objects.link(obj)
    return obj


def _dress(obj: "bpy.types.Object", work: SceneWork) -> None:
    """Write the colours of a look of an own mesh, and the picture where one was asked for."""
    try:
        show_colors(obj, work.arrays["colors"])
    except MeshImportError:
        mesh = obj.data
        bpy.data.objects.remove(obj)
        bpy.data.meshes.remove(mesh)
        raise
    obj[OWN_STYLE] = json.dumps(work.fields.get("style") or {})
    material = color_material(ATTRIBUTE)
    if "texels" in work.job.arrays:
        material = _picture_material(obj, work)
    _dress_data(obj.data, material)
    for slot in obj.material_slots:
        slot.material = material


def _dress_data(mesh: "bpy.types.Mesh", material: "bpy.types.Material") -> None:
    for index in range(len(mesh.materials)):
        mesh.materials[index] = material
    if not len(mesh.materials):
        mesh.materials.append(material)


def _picture_material(obj: "bpy.types.Object", work: SceneWork) -> "bpy.types.Material":
    """Colours at texels as a packed picture, shown through the UV map that they were taken from."""
    look: dict[str, Any] = work.job.params["look"]
    size, name = int(look["size"]), str(look["uv_map"])
    layers = obj.data.uv_layers
    layer = layers.get(name)
    if layer is None:
        layer = layers.new(name=name)
        layer.data.foreach_set("uv", work.job.arrays["uv"].reshape(-1))
    layers.active = layer
    layer.active_render = True
    texels = work.job.arrays["texels"]
    image, filled = np.zeros((size * size, 3), np.float32), np.zeros(size * size, bool)
    image[texels], filled[texels] = work.arrays["sample_colors"], True
    pixels = np.ones((size, size, 4), np.float32)
    pixels[..., :3] = spread(image.reshape(size, size, 3), filled.reshape(size, size), MARGIN_PX)
    return texture_material(f"{obj.name} style", picture_of(f"{obj.name} style", pixels), layer.name)


def _hand_over_name(original: "bpy.types.Object", look: "bpy.types.Object") -> None:
    """The look takes the name; the original's says in brackets what it is."""
    record = read_record(original)
    words = style_words(record.recipe) if record is not None else ()
    if not words and OWN_STYLE in original:
        words = (str(json.loads(original[OWN_STYLE]).get("style", "")),)
    suffix = f" ({words[-1] if words else _ORIGINAL})"
    name = original.name
    plain = name.partition(suffix)[0] if suffix in name else name
    original.name = f"{plain[: 62 - len(suffix.encode())]}{suffix}"
    look.name = plain
