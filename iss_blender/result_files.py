"""A result as files: .blend, .glb and .ply by Blender's own exporters, a picture, a Cycles still."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .assets import mark_as_asset, mesh_arrays
from .bake import bake_colors
from .batch import BatchSettings, Item
from .materials import show_in_solid
from .mesh_import import import_result
from .object_record import ObjectRecord
from .preview_picture import draw_mesh, on_ground, save_png
from .protocol import Array, Fields
from .scene_studio import remove_object, render_still
from .style_marks import keep_style

THUMBNAIL = 256
"""Pixels of a contact sheet's cells."""


class ExportError(Exception):
    """A file that Blender refused to write."""

    code, remedy = "export", "Free disk space, or leave this format out with --formats."

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def write_files(
    folder: Path, item: Item, fields: Fields, arrays: dict[str, Array], settings: BatchSettings
) -> None:
    """Everything the batch asks for of one result, into the folder. MeshImportError, ExportError, OSError.

    The scene is as empty afterwards as before.
    """
    record = ObjectRecord.of_result(fields, arrays, job_id=item.digest[:16], height_m=item.height_m)
    obj = import_result(arrays, record, name=item.title, location=(0.0, 0.0, 0.0))
    keep_style(obj, fields, arrays)
    try:
        _write(obj, record, folder / item.stem, settings)
    except RuntimeError as problem:  # how Blender's operators report everything
        raise ExportError(str(problem).strip()) from problem
    finally:
        remove_object(obj)


def _write(obj: "bpy.types.Object", record: ObjectRecord, stem: Path, settings: BatchSettings) -> None:
    mesh = mesh_arrays(obj.data)
    thumbnail = on_ground(draw_mesh(*mesh, size=THUMBNAIL))
    with thumbnail_path(stem).open("wb") as file:
        np.save(file, thumbnail, allow_pickle=False)
    if settings.bake:
        bake_colors(obj, size=settings.bake)
    if settings.assets:
        mark_as_asset(obj, record)
    bpy.context.view_layer.update()
    obj.select_set(True)
    bpy.context.view_layer.objects.active = obj
    if "blend" in settings.formats:
        show_in_solid(bpy.data.screens)
        _run(bpy.ops.wm.save_as_mainfile, _beside(stem, ".blend"), copy=True, compress=True)
    if "glb" in settings.formats:
        _run(
            bpy.ops.export_scene.gltf,
            _beside(stem, ".glb"),
            export_format="GLB",
            use_selection=True,
            export_vertex_color="ACTIVE",
            export_all_vertex_colors=False,
            export_animations=False,
        )
    if "ply" in settings.formats:
        _run(
            bpy.ops.wm.ply_export,
            _beside(stem, ".ply"),
            export_selected_objects=True,
            export_colors="SRGB",
            export_normals=False,
            export_uv=False,
            ascii_format=False,
        )
    if "png" in settings.formats:
        save_png(on_ground(draw_mesh(*mesh, size=settings.picture_size)), _beside(stem, ".png"))
    if settings.render:
        render_still(obj, _beside(stem, ".render.png"), size=settings.picture_size)


def thumbnail_path(stem: Path) -> Path:
    """Where a result's thumbnail is kept for the contact sheet of a later run; hidden, being no output."""
    return stem.with_name(f".{stem.name}.thumbnail.npy")


def read_thumbnail(path: Path) -> Array | None:
    """A contact sheet's cell [THUMBNAIL, THUMBNAIL, 3]; None where there is none."""
    try:
        picture = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return picture if picture.shape == (THUMBNAIL, THUMBNAIL, 3) and picture.dtype == np.uint8 else None


def _beside(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _run(operator: Any, path: Path, **options: Any) -> None:
    """Call an exporter with those options that this version of Blender has."""
    try:
        known = operator.get_rna_type().properties.keys()
    except KeyError as problem:
        raise ExportError(f"This Blender has no exporter for {path.suffix}.") from problem
    result = operator(filepath=str(path), **{key: value for key, value in options.items() if key in known})
    if "FINISHED" not in result or not path.is_file():
        raise ExportError(f"Blender did not write {path.name}.")
