"""The user's store of models: known public checkpoints, their download at the user's wish, and removal.

Nothing is fetched unless asked for. A download goes on where it stopped and is compared with what is known of
the file; `checkpoint_import.py` makes a bundle of it. Free of torch.
"""

import hashlib
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from backend.bundle_places import RECORD_NAME, SHIPPED_FOLDER, resolve_bundle
from backend.errors import BundleError, CheckpointError, SettingError

logger = logging.getLogger(__name__)

STORE = Path.home() / ".iss"
"""Holds `bundles` and `downloads`."""
BLOCK = 1 << 18
"""Bytes per read; a cancelled download stops after one."""
LARGEST_DOWNLOAD = 16 * 2**30
_TIMEOUT_SECONDS = 30
_BUNDLE_SUFFIXES = (".safetensors", ".json")


@dataclass(frozen=True)
class KnownModel:
    """A checkpoint that its authors have published."""

    name: str
    title: str
    kind: str
    """What `models import --as` takes."""
    page: str
    """Where its authors describe it."""
    licence: str
    url: str = ""
    """Of the file itself; empty where it has to be fetched with a browser."""
    megabytes: int = 0
    """At least, from the number of weights; 0 where nobody has counted. The server's figure is shown before a
    download."""
    sha256: str = ""
    """Of the file, or its leading digits where only those are published (in the file's name)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `import_checkpoint`."""


_DVR_FILES = (
    "https://s3.eu-central-1.amazonaws.com/avg-projects/differentiable_volumetric_rendering/models/"
    "single_view_reconstruction/multi-view-supervision/"
)
_DVR_PAGE = "https://github.com/autonomousvision/differentiable_volumetric_rendering"
_GET3D_PAGE = "https://github.com/nv-tlabs/GET3D"
_GET3D_LICENCE = "NVIDIA Source Code License (research, not commercial)"
_ISS_PAGE = "https://github.com/liuzhengzhe/ISS-Image-as-Stepping-Stone-for-Text-Guided-3D-Shape-Generation"

KNOWN_MODELS: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            "iss", "ISS stage 1, ShapeNet: DVR, mapper and CLIP", "iss", _ISS_PAGE,
            "not known; ask its authors", megabytes=370,
        ),
        KnownModel(
            "dvr-combined", "DVR on ShapeNet, trained on colours and depth; ISS starts from it", "dvr",
            _DVR_PAGE, "MIT", _DVR_FILES + "ours_combined-af2bce07.pt", 58, "af2bce07",
        ),
        KnownModel(
            "dvr-rgb", "DVR on ShapeNet, trained on colours", "dvr",
            _DVR_PAGE, "MIT", _DVR_FILES + "ours_rgb-23805118.pt", 58, "23805118",
        ),
        KnownModel(
            "dvr-depth", "DVR on ShapeNet, trained on depth", "dvr",
            _DVR_PAGE, "MIT", _DVR_FILES + "ours_depth-64d35726.pt", 58, "64d35726",
        ),
        KnownModel(
            "imnet", "IM-NET on ShapeNet, single-view reconstruction, without colour", "imnet",
            "https://github.com/czq142857/IM-NET-pytorch", "MIT", megabytes=82,
        ),
        KnownModel(
            "ss3d", "SS3D, trained on photographs of many categories", "ss3d",
            "https://github.com/facebookresearch/ss3d", "CC-BY-NC-4.0 (not commercial)",
            "https://dl.fbaipublicfiles.com/ss3d/distilled_model.torch", 144,
        ),
        KnownModel("get3d-chair", "GET3D chairs", "get3d", _GET3D_PAGE, _GET3D_LICENCE,
                   megabytes=137, options={"scale": 0.8}),
        KnownModel("get3d-car", "GET3D cars", "get3d", _GET3D_PAGE, _GET3D_LICENCE,
                   megabytes=137, options={"scale": 1.0}),
        KnownModel("get3d-motorbike", "GET3D motorbikes", "get3d", _GET3D_PAGE, _GET3D_LICENCE,
                   megabytes=137, options={"scale": 1.0}),
    )
}  # fmt: skip


def known_model(name: str) -> KnownModel:
    """The known checkpoint of that name; SettingError lists the names."""
    if name not in KNOWN_MODELS:
        raise SettingError(
            f"There is no known checkpoint {name!r}.", remedy=f"Choose one of: {', '.join(KNOWN_MODELS)}."
        )
    return KNOWN_MODELS[name]


def check_free(out: Path, *, replace: bool = False) -> None:
    """SettingError where a bundle shall not be written to `out`: it is in use, or no bundle's folder."""
    if not out.exists():
        return
    if not (out / RECORD_NAME).is_file():
        raise SettingError(f"{out} exists and is no bundle.", remedy="Choose another name with --out.")
    if not replace:
        raise SettingError(
            f"There is a bundle at {out} already.", remedy="Choose another --out, or pass --replace."
        )


def download(model: KnownModel, folder: Path | None = None) -> Generator[tuple[int, int], None, Path]:
    """Fetch a checkpoint into `folder` (the store's own), yielding bytes done and in all (0: not told).

    Returns the file's path. What an earlier, interrupted download left is kept and continued.
    CheckpointError where there is no direct address, the server or the network fails, or the file is not the
    known one.
    """
    if not model.url:
        raise CheckpointError(
            f"{model.title}: its authors give no address of the file itself.",
            remedy=f"Fetch it by hand from {model.page} and give the file (in Blender: From File; else "
            f"`models install {model.name} --file FILE`).",
        )
    found = downloaded(model, folder)
    if found is not None:
        return found
    path = _download_path(model, folder)
    part, note = path.with_suffix(".part"), path.with_suffix(".part.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        done, total = yield from _fetch(model.url, part, note)
    except (urllib.error.URLError, HTTPException, OSError) as error:
        kept = part.stat().st_size if part.is_file() else 0
        raise CheckpointError(
            f"The download of {model.name} stopped after {kept / 1e6:.1f} MB: {error}.",
            remedy="Run it again; it goes on where it stopped.",
        ) from error
    if total and done != total:
        raise CheckpointError(
            f"The download of {model.name} ended after {done} of {total} bytes.",
            remedy="Run it again; it goes on where it stopped.",
        )
    note.unlink(missing_ok=True)
    try:
        check_known(part, model)
    except CheckpointError:
        part.unlink()
        raise
    part.rename(path)
    return path


def downloaded(model: KnownModel, folder: Path | None = None) -> Path | None:
    """The file of an earlier download into `folder` (the store's own) that came to its end."""
    path = _download_path(model, folder)
    return path if model.url and path.is_file() else None


def _download_path(model: KnownModel, folder: Path | None) -> Path:
    return (folder or STORE / "downloads") / f"{model.name}{Path(model.url).suffix}"


def check_known(path: Path, model: KnownModel) -> None:
    """CheckpointError where the SHA-256 of a file is not the known one."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(model.sha256):
        raise CheckpointError(
            f"The file for {model.name} has the SHA-256 {found}, not {model.sha256}.",
            remedy="Fetch it again; if it stays so, the publisher has changed it: use `models import`.",
        )
    logger.info("%s: SHA-256 %s", model.name, found)


def _fetch(url: str, part: Path, note: Path) -> Generator[tuple[int, int], None, tuple[int, int]]:
    """Append to `part` what is missing; returns bytes done and in all. `note` keeps whose part it is."""
    done = part.stat().st_size if part.is_file() and note.is_file() else 0
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if done:
        request.add_header("Range", f"bytes={done}-")
        # Where the file has changed since, the server sends all of it instead of the rest.
        request.add_header("If-Range", json.loads(note.read_text("utf-8"))["version"])
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing is missing
            return done, done
        raise
    with response:
        if response.status != 206:
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else 0
        if total > LARGEST_DOWNLOAD:
            raise OSError(f"the server offers {total} bytes, more than {LARGEST_DOWNLOAD}")
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if version:
            note.write_text(json.dumps({"version": version}), "utf-8")
        else:
            note.unlink(missing_ok=True)  # without a version, a rest could belong to another file
        with part.open("ab" if done else "wb") as file:
            yield done, total
            while block := response.read(BLOCK):
                file.write(block)
                done += len(block)
                yield done, total
    return done, total


def remove_bundle(name_or_path: str | Path) -> tuple[Path, int, list[Path]]:
    """Delete a bundle's files; returns its folder, the bytes freed, and what was left since it is not ours.

    BundleError for bundles that ship with the program and for folders without a record.
    """
    folder = resolve_bundle(name_or_path)
    if folder.resolve().is_relative_to(SHIPPED_FOLDER.resolve()):
        raise BundleError(
            f"The bundle {folder.name} ships with the program and is not removed.",
            remedy="Choose a bundle that you have installed.",
        )
    ours = [path for path in folder.iterdir() if path.suffix in _BUNDLE_SUFFIXES and path.is_file()]
    freed = sum(path.stat().st_size for path in ours)
    # The record goes last: a removal that is interrupted can be asked for again.
    for path in sorted(ours, key=lambda path: path.name == RECORD_NAME):
        path.unlink()
    left = sorted(folder.iterdir())
    if not left:
        folder.rmdir()
    return folder, freed, left
