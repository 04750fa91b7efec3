"""What a styled object carries beside its record: the tuned decoder, and the colours of some iterations.

Both are bytes in ID properties, so they travel with the .blend, are copied and appended with the object, and
need no file beside it. Needs no bpy: an object is a mapping here.
"""

import zlib
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from .protocol import Array, Fields

DECODER = "iss_decoder"
"""Bytes of the tuned decoder's file, of all styles of the recipe together."""
STYLED_FROM = "iss_styled_from"
"""Id of the object that this one is a new look of."""
SHOWN_STEP, WANTED_STEP = "iss_style_shown", "iss_style_step"
"""Position among the kept iterations: the one whose colours the object has, and the slider's."""
STEPS = "iss_style_steps"
"""Numbers of the kept iterations; the last is the result's."""
_ITERATES, _COUNT = "iss_style_iterates", "iss_style_vertices"
_LOOKING_BACK = (SHOWN_STEP, WANTED_STEP, STEPS, _ITERATES, _COUNT)


def keep_style(target: MutableMapping[str, Any], fields: Fields, arrays: Mapping[str, Array]) -> None:
    """Take from a result what belongs to its style; what an earlier one left on the object goes."""
    forget_iterates(target)
    decoder = arrays.get("decoder")
    if decoder is not None and decoder.dtype == np.uint8:
        target[DECODER] = decoder.tobytes()
    elif DECODER in target:
        del target[DECODER]
    iterates = arrays.get("iterate_colors")
    steps = [int(step) for step in fields.get("iterate_steps") or ()]
    if iterates is None or iterates.dtype != np.uint8 or iterates.ndim != 3 or len(iterates) < 2:
        return
    if len(steps) != len(iterates) or iterates.shape[2] != 3:
        return
    target[_ITERATES] = zlib.compress(np.ascontiguousarray(iterates).tobytes(), 1)
    target[_COUNT] = int(iterates.shape[1])
    target[STEPS] = steps
    target[SHOWN_STEP] = target[WANTED_STEP] = len(steps) - 1


def forget_iterates(target: MutableMapping[str, Any]) -> None:
    """Drop the colours of iterations: the mesh is another one now."""
    for key in _LOOKING_BACK:
        if key in target:
            del target[key]


def decoder_of(source: Mapping[str, Any]) -> Array | None:
    """The tuned decoder's file [bytes] uint8; None where the object has none."""
    data = source.get(DECODER)
    return np.frombuffer(data, np.uint8) if isinstance(data, bytes) and data else None


def wanted_step(source: Mapping[str, Any]) -> int | None:
    """The kept iteration that the slider asks for where the object shows another one, else None."""
    wanted, shown = source.get(WANTED_STEP), source.get(SHOWN_STEP)
    return int(wanted) if wanted is not None and wanted != shown else None


def iterate_colors(source: Mapping[str, Any], position: int) -> Array | None:
    """sRGB colours [N, 3] in [0, 1] of a kept iteration; None where it is not there or beyond reading."""
    data, count, steps = source.get(_ITERATES), source.get(_COUNT), source.get(STEPS)
    if not isinstance(data, bytes) or not isinstance(count, int) or steps is None:
        return None
    if not 0 <= position < len(steps):
        return None
    try:
        colors = np.frombuffer(zlib.decompress(data), np.uint8).reshape(len(steps), count, 3)
    except (zlib.error, ValueError):
        return None
    return colors[position].astype(np.float32) / np.float32(255)
