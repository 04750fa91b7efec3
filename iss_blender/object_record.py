"""What a result's object carries, so that the object is the document: recipe, shape codes, scores, versions.

Kept as ID properties, which survive save, append and copy to another file. The recipe is JSON text because
ID properties have no 64-bit integers and no empty lists. Needs no bpy: an object is a mapping here.
"""

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .protocol import Array, Fields

FORMAT = 1
"""Raised with every change that an older add-on would misread."""
_NO_CODE: Array = np.zeros(0, np.float32)
_NO_CODES: Array = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class ObjectRecord:
    """Everything that is needed to make the object again, to vary it and to blend it."""

    job_id: str = ""
    recipe: Fields = field(default_factory=dict)
    """As the backend completed it."""
    code: Array = field(default_factory=lambda: _NO_CODE)
    """Shape code [C]."""
    codes: Array = field(default_factory=lambda: _NO_CODES)
    """[iterations + 1, C], for the slider over iterations; [0, 0] where there are none."""
    scores: tuple[float, ...] = ()
    """CLIP score of the start and of every iteration."""
    best_step: int = 0
    warnings: tuple[str, ...] = ()
    """What the backend had to say of the prompt or the shape."""
    backend_version: str = ""
    height_m: float = 1.0
    """Real-world height that the mesh was made with."""
    preview: bool = False
    """The mesh is one on the way, not the result."""

    @property
    def prompt(self) -> str:
        """The words; empty where only an image was given."""
        return str(self.recipe.get("prompt", ""))

    @property
    def score(self) -> float | None:
        """The CLIP score of the result, None without scores."""
        return self.scores[self.best_step] if 0 <= self.best_step < len(self.scores) else None

    @classmethod
    def of_result(
        cls, fields: Fields, arrays: Mapping[str, Array], *, job_id: str = "", height_m: float = 1.0
    ) -> "ObjectRecord":
        """The record of a result frame; what the frame does not hold (blend, remesh) stays empty."""
        code = np.asarray(arrays.get("code", _NO_CODE), np.float32).reshape(-1)
        codes = np.asarray(arrays.get("codes", _NO_CODES), np.float32)
        return cls(
            job_id=job_id,
            recipe=dict(fields.get("recipe") or {}),
            code=code,
            codes=codes if codes.ndim == 2 and codes.size else _NO_CODES,
            scores=tuple(float(score) for score in fields.get("scores") or ()),
            best_step=int(fields.get("best_step") or 0),
            warnings=tuple(str(warning) for warning in fields.get("warnings") or ()),
            backend_version=str(fields.get("backend_version") or ""),
            height_m=height_m,
        )


def write_record(target: MutableMapping[str, Any], record: ObjectRecord) -> None:
    """Put the record onto an object; an earlier one is replaced as a whole."""
    content = {
        "format": FORMAT,
        "job_id": record.job_id,
        "recipe": record.recipe,
        "best_step": record.best_step,
        "warnings": list(record.warnings),
        "backend_version": record.backend_version,
        "preview": record.preview,
        "codes_shape": list(record.codes.shape),
    }
    target["iss"] = json.dumps(content, ensure_ascii=True)
    target["iss_prompt"] = record.prompt
    target["iss_height_m"] = float(record.height_m)
    _put(target, "iss_score", record.score)
    _put(target, "iss_scores", [float(score) for score in record.scores])
    _put(target, "iss_code", [float(number) for number in record.code])
    _put(target, "iss_codes", [float(number) for number in record.codes.reshape(-1)])


def read_record(target: Mapping[str, Any]) -> ObjectRecord | None:
    """The record of an object; None where it has none that this version can read."""
    try:
        content = json.loads(str(target["iss"]))
        if content["format"] != FORMAT:
            return None
        return ObjectRecord(
            job_id=str(content["job_id"]),
            recipe=dict(content["recipe"]),
            code=np.array(list(target.get("iss_code") or ()), np.float32),
            codes=np.array(list(target.get("iss_codes") or ()), np.float32).reshape(content["codes_shape"]),
            scores=tuple(float(score) for score in target.get("iss_scores") or ()),
            best_step=int(content["best_step"]),
            warnings=tuple(content.get("warnings", ())),
            backend_version=str(content["backend_version"]),
            height_m=float(target.get("iss_height_m", 1.0)),
            preview=bool(content["preview"]),
        )
    except (KeyError, ValueError, TypeError):
        return None  # not ours, or edited by hand beyond reading


def _put(target: MutableMapping[str, Any], name: str, value: Any) -> None:
    # Blender cannot store None or an empty list.
    if value is None or value == []:
        if name in target:
            del target[name]
    else:
        target[name] = value
