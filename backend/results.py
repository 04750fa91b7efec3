"""Writing a result's folder: meshes, preview and result.json, all or nothing.

Everything is written into a folder of a temporary name beside its place first; only when all of it is on
the disk are the files renamed, so that a full disk or a crash leaves an earlier result as it was.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backend.decoder_delta import FILE_NAME
from backend.device import memory_guard
from backend.errors import OutputError, SettingError
from backend.mesh_export import save_mesh
from backend.output_file import write_file
from backend.pipeline import Result
from backend.rendering.turntable import save_png, turntable_strip

FORMATS = ("glb", "ply")
_RECORD = "result.json"
_NAMES = (*(f"mesh.{name}" for name in FORMATS), FILE_NAME)
"""Files that some results have and others have not."""
_NEEDED_BYTES = 64 * 2**20
"""Free disk space that is asked for beforehand: the largest meshes take about 40 MB."""
_PREVIEW_VIEWS, _PREVIEW_SIZE = 6, 192
"""Of preview.png: views side by side, pixels per side of each; about a second on one core."""
_REMEDY = "Free some space or choose a folder that you may write to, with --out."


def check_output(folder: Path, *, free_bytes: int | None = None) -> None:
    """OutputError where a result could not be written to `folder`; creates nothing.

    `free_bytes` stands for the disk's free space where it is known.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"{folder} is a file, not a folder.", remedy="Choose another folder with --out."
            )
        existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free if free_bytes is None else free_bytes
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.", remedy=_REMEDY) from error
    if free < _NEEDED_BYTES:
        raise OutputError(
            f"The disk of {folder} has {free / 2**20:.0f} MB free, a result needs up to "
            f"{_NEEDED_BYTES // 2**20} MB.",
            remedy=_REMEDY,
        )


def check_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    """The formats, each once; SettingError for an unknown one."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise SettingError(
            f"There is no mesh format {', '.join(unknown) or '(none given)'}.",
            remedy=f"Choose from {', '.join(FORMATS)}.",
        )
    return tuple(dict.fromkeys(formats))


@memory_guard("for writing the result")
def write_result(
    result: Result,
    folder: Path,
    *,
    formats: tuple[str, ...] = FORMATS,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> list[Path]:
    """Write mesh.glb, mesh.ply (as asked), preview.png and result.json; returns their paths.

    files: name -> contents of further files that belong to the result, such as a tuned decoder.
    """
    meshes = [f"mesh.{name}" for name in check_formats(formats)]
    record = json.dumps(describe_result(result), indent=2) + "\n"
    strip = turntable_strip(result.mesh, views=_PREVIEW_VIEWS, size=_PREVIEW_SIZE)
    staging: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
        for name in meshes:
            save_mesh(result.mesh, staging / name)
        save_png(strip, staging / "preview.png")
        write_file(staging / _RECORD, record.encode())
        for name, contents in files.items():
            write_file(staging / name, contents)
        paths = [folder / name for name in (*meshes, *files, "preview.png", _RECORD)]
        for path in paths:
            if path.is_dir():  # found before the first file is replaced, so that no mixture is left
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder there")
        # What an earlier result left under names that this one does not write would be taken for this one's.
        stale = {folder / name for name in _NAMES} - set(paths) if (folder / _RECORD).is_file() else set()
        for path in paths:
            os.replace(staging / path.name, path)
        for path in stale:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"The result cannot be written to {folder}: {error.strerror or error}.", remedy=_REMEDY
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return paths


def describe_result(result: Result) -> dict[str, Any]:
    """The contents of result.json: the recipe and what came of it."""
    return {
        "recipe": result.recipe.to_dict(),
        "scores": [round(score, 6) for score in result.scores],
        "best_step": result.best_step,
        "candidates": [round(score, 6) for score in result.candidates],
        "seconds": result.seconds,
        "peak_memory": result.peak_memory,
        "vertices": len(result.mesh.vertices),
        "faces": len(result.mesh.faces),
        "watertight": result.mesh.is_watertight(),
        "code": [float(number) for number in result.code],
        "warnings": [notice.message for notice in result.notices],
        "stopped": result.stopped,
    }
