"""Marks on a result's object beside its record: its own id, its variation board, what its sliders ask for.

The id finds the object again after undo, rename and reload; Python references to objects do not live that
long. Needs no bpy: an object is a mapping here.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from .protocol import Array

ID, BOARD = "iss_id", "iss_board"
ITERATION, ITERATION_SHOWN = "iss_iteration", "iss_iteration_shown"
"""The iteration that the slider asks for, and the one whose mesh the object has."""
BLEND, BLEND_SHOWN, CODE_A, CODE_B = "iss_blend", "iss_blend_shown", "iss_code_a", "iss_code_b"
"""Of an in-between: the weight that the slider asks for, that of its mesh, and the codes of both ends."""
_SLIDERS = (ITERATION, ITERATION_SHOWN, BLEND, BLEND_SHOWN, CODE_A, CODE_B)
_SAME_WEIGHT = 1e-4


def mark_result(target: MutableMapping[str, Any], object_id: str, *, board: str = "") -> None:
    """Give the object its id and its board; sliders of an earlier result go."""
    target[ID] = object_id
    for key in (*_SLIDERS, BOARD):
        if key in target:
            del target[key]
    if board:
        target[BOARD] = board


def add_iteration_slider(target: MutableMapping[str, Any], best: int) -> None:
    """Let the object's slider stand on the best iteration, which is the mesh it has."""
    target[ITERATION] = target[ITERATION_SHOWN] = int(best)


def add_blend_slider(target: MutableMapping[str, Any], code_a: Array, code_b: Array, weight: float) -> None:
    """Make the object an in-between of two codes [C]; weight 0 is a, 1 is b."""
    target[CODE_A] = [float(number) for number in code_a]
    target[CODE_B] = [float(number) for number in code_b]
    target[BLEND] = target[BLEND_SHOWN] = float(weight)


def wanted_iteration(source: Mapping[str, Any]) -> int | None:
    """The iteration that the slider asks for where the mesh is another one's, else None."""
    wanted, shown = source.get(ITERATION), source.get(ITERATION_SHOWN)
    return int(wanted) if wanted is not None and wanted != shown else None


def wanted_weight(source: Mapping[str, Any]) -> float | None:
    """The weight that the slider asks for where the mesh is another one's, else None."""
    wanted, shown = source.get(BLEND), source.get(BLEND_SHOWN)
    if wanted is None or shown is None or abs(float(wanted) - float(shown)) < _SAME_WEIGHT:
        return None
    return min(1.0, max(0.0, float(wanted)))


def settle_sliders(target: MutableMapping[str, Any]) -> None:
    """Put the sliders back to the mesh that the object has: what they asked for did not come."""
    for wanted, shown in ((ITERATION, ITERATION_SHOWN), (BLEND, BLEND_SHOWN)):
        if shown in target:
            target[wanted] = target[shown]


def code_of(source: Mapping[str, Sequence[float]], key: str) -> Array:
    """A shape code [C] float32 from an ID property; empty where there is none."""
    return np.array(list(source.get(key, ())), np.float32)
