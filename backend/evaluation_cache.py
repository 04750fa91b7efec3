"""What evaluation draws anew is drawn once: arrays in files named by everything that they follow from.

The name holds a digest of the settings and of the program code that makes the arrays, so that a changed shape
program or judge never meets old references.
"""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from backend.errors import OutputError
from backend.output_file import write_file

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]

_BACKEND = Path(__file__).resolve().parent
SOURCES = (
    "datasets/procedural", "judges", "measures", "true_shapes.py", "named_colors.py", "cameras.py",
    "rendering/raster.py", "rendering/turntable.py",
)  # fmt: skip
"""Code, files or folders of the backend, whose change makes everything cached worthless."""


def default_cache() -> Path:
    """The user's own folder for it."""
    return Path.home() / ".iss" / "cache"


def cached(folder: Path | None, name: str, settings: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """The arrays of `make()`, from an earlier call with the same settings where there was one.

    folder: None keeps nothing. A file that is damaged is made again; a folder that cannot be written is
    only logged, for the figures do not depend on it.
    """
    if folder is None:
        return make()
    path = folder / f"{name}-{_digest(settings)}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, BadZipFile) as error:
        logger.warning("%s is damaged and will be made again: %s", path, error)
    arrays = make()
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    try:
        write_file(path, data.getvalue())
    except OutputError as error:
        logger.warning("nothing is kept for the next time: %s", error)
    return arrays


def _digest(settings: Mapping[str, Any]) -> str:
    text = json.dumps({"settings": dict(settings), "code": _code_digest()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _code_digest() -> str:
    digest = hashlib.sha256()
    for place in (_BACKEND / source for source in SOURCES):
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{file.relative_to(_BACKEND).as_posix()} ".encode() + file.read_bytes())
    return digest.hexdigest()
