"""The object is the document: what a result needs to be repeated, branched or blended lies on the object.

Plain ID properties, so they survive saving, appending and copying to another file, and can be read without
this add-on. Works on anything with [] and `in`, such as a Blender object or, in tests, a dictionary.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .protocol import Array, Fields

ID, RECIPE, CODE, CODES, SCORES = "iss_id", "iss_recipe", "iss_code", "iss_codes", "iss_scores"
BEST, BACKEND, WARNINGS, HEIGHT, BOARD = "iss_best", "iss_backend", "iss_warnings", "iss_height", "iss_board"
ITERATION, SHOWN = "iss_iteration", "iss_shown"
"""The iteration that the slider asks for, and the one whose mesh the object has."""
BLEND, BLEND_SHOWN, CODE_A, CODE_B = "iss_blend", "iss_blend_shown", "iss_code_a", "iss_code_b"
"""Of an in-between: the slider's weight, the weight of its mesh, and the codes of both ends."""
ALL_KEYS = (
    ID, RECIPE, CODE, CODES, SCORES, BEST, BACKEND, WARNINGS, HEIGHT, BOARD, ITERATION, SHOWN,
    BLEND, BLEND_SHOWN, CODE_A, CODE_B,
)  # fmt: skip


class Properties(Protocol):
    """What is asked of an object: ID properties by name."""

    def __getitem__(self, key: str) -> Any: ...
    def __setitem__(self, key: str, value: Any) -> None: ...
    def __delitem__(self, key: str) -> None: ...
    def __contains__(self, key: str) -> bool: ...


@dataclass(frozen=True)
class Document:
    """One result as it lies on its object."""

    id: str
    recipe: Fields
    code: Array
    """[C] float32: the shape, for the bundle that the recipe names."""
    codes: Array
    """[iterations + 1, C] float32; [0, C] where none were kept."""
    scores: tuple[float, ...] = ()
    """CLIP score of the start and of every iteration."""
    best: int = 0
    """Index of the best iteration; its code is `code`."""
    backend_version: str = ""
    warnings: tuple[str, ...] = ()
    height: float = 1.0
    """Metres."""
    board: str = ""
    """Id of the variation board that the object stands on, "" for none."""
    @property
    def score(self) -> float | None:
        """Score of the best iteration."""
        return self.scores[self.best] if self.best < len(self.scores) else None

    @property
    def prompt(self) -> str:
        """The words it was made from."""
        return str(self.recipe.get("prompt", ""))


def from_result(
    job_id: str, fields: Fields, arrays: Mapping[str, Array], *, height: float, board: str = ""
) -> Document:
    """The document of a backend's result (of generate, refine, blend or remesh)."""
    code = np.asarray(arrays["code"], np.float32)
    codes = np.asarray(arrays.get("codes", code[None]), np.float32)
    return Document(
        id=job_id,
        recipe=dict(fields.get("recipe") or {}),
        code=code,
        codes=codes,
        scores=tuple(float(score) for score in fields.get("scores") or ()),
        best=int(fields.get("best_step") or 0),
        backend_version=str(fields.get("backend_version", "")),
        warnings=tuple(str(text) for text in fields.get("warnings") or ()),
        height=height,
        board=board,
    )


def write_document(target: Properties, document: Document) -> None:
    """Put the document on an object, replacing an earlier one."""
    for key in ALL_KEYS:
        if key in target:
            del target[key]
    target[ID] = document.id
    target[RECIPE] = json.dumps(document.recipe, ensure_ascii=False)
    target[CODE] = _floats(document.code)
    if len(document.codes) > 1:
        target[CODES] = _floats(document.codes)
        target[ITERATION] = target[SHOWN] = document.best
    if document.scores:
        target[SCORES] = [float(score) for score in document.scores]
    target[BEST] = document.best
    target[BACKEND] = document.backend_version
    target[WARNINGS] = json.dumps(list(document.warnings), ensure_ascii=False)
    target[HEIGHT] = float(document.height)
    if document.board:
        target[BOARD] = document.board


def write_blend(target: Properties, code_a: Array, code_b: Array, weight: float) -> None:
    """Make the object an in-between whose slider moves from code a (0) to code b (1)."""
    target[CODE_A], target[CODE_B] = _floats(code_a), _floats(code_b)
    target[BLEND] = target[BLEND_SHOWN] = float(weight)


def read_document(source: Properties) -> Document | None:
    """The document of an object; None where it has none that can be read."""
    if ID not in source or RECIPE not in source or CODE not in source:
        return None
    try:
        recipe = json.loads(source[RECIPE])
        code = read_floats(source[CODE])
        codes = read_floats(source[CODES]).reshape(-1, len(code)) if CODES in source else code[None]
        warnings = json.loads(source[WARNINGS]) if WARNINGS in source else []
        return Document(
            id=str(source[ID]),
            recipe=recipe if isinstance(recipe, dict) else {},
            code=code,
            codes=codes,
            scores=tuple(float(score) for score in source[SCORES]) if SCORES in source else (),
            best=int(source[BEST]) if BEST in source else 0,
            backend_version=str(source[BACKEND]) if BACKEND in source else "",
            warnings=tuple(str(text) for text in warnings),
            height=float(source[HEIGHT]) if HEIGHT in source else 1.0,
            board=str(source[BOARD]) if BOARD in source else "",
        )
    except (ValueError, TypeError):
        return None  # edited by hand beyond recognition


def read_floats(value: Sequence[float]) -> Array:
    """An ID property of floats as a float32 array."""
    return np.array(value, dtype=np.float32)


def _floats(array: Array) -> list[float]:
    return [float(number) for number in np.asarray(array, np.float32).reshape(-1)]
