"""What the panel's settings and a result's recipe become as requests, and as rows of a batch file.

A request's params also carry `scene`: where its result belongs. The backend ignores it; the journal keeps
it, so that a result which waited for a restart still finds its name, place and size.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .object_record import ObjectRecord
from .protocol import Array, Fields

BATCH_FORMAT, BATCH_VERSION = "iss-batch", 1
_OF_ONE_RUN = ("bundle_sha256", "image_sha256", "start_code", "versions", "threads")
"""Recipe keys that a new seed or new words do not take over."""

NEW, REPLACE = "new", "replace"
"""Where a result goes: a new object, or new mesh data in the object that has `object_id`."""


@dataclass(frozen=True)
class Place:
    """Where a result belongs in the scene."""

    mode: str = NEW
    object_id: str = ""
    """Of the object to change; empty for a new one, which takes the job's id."""
    location: tuple[float, float, float] = (0.0, 0.0, 0.0)
    height: float = 1.0
    """Metres."""
    beside: str = ""
    """Id of the object that a new one stands to the right of, instead of at `location`."""
    board: str = ""
    """Id of the row that a new object joins at its right end."""
    file: str = ""
    """Token of the open file; results of another file wait until the user asks for them."""

    def to_fields(self) -> Fields:
        """For a request's params."""
        return {
            "mode": self.mode,
            "object_id": self.object_id,
            "location": list(self.location),
            "height": self.height,
            "beside": self.beside,
            "board": self.board,
            "file": self.file,
        }

    @classmethod
    def from_params(cls, params: Fields) -> "Place":
        """The place in a request's params; the plain default where it is missing or damaged."""
        fields: Any = params.get("scene")
        try:
            x, y, z = (float(number) for number in fields["location"])
            mode = REPLACE if fields["mode"] == REPLACE else NEW
            texts = {key: str(fields.get(key, "")) for key in ("object_id", "beside", "board", "file")}
            return cls(mode, location=(x, y, z), height=float(fields["height"]), **texts)
        except (KeyError, TypeError, ValueError):
            return cls()


@dataclass(frozen=True)
class JobRequest:
    """A request that is not sent yet."""

    name: str
    params: Fields
    arrays: dict[str, Array] = field(default_factory=dict)
    title: str = ""


def generate_request(
    prompt: str,
    *,
    seed: int,
    place: Place,
    preset: str = "normal",
    bundle: str = "starter",
    device: str = "auto",
    diversity: float = 1.0,
    changes: Fields | None = None,
    preview_every: int = 0,
    image: Path | None = None,
) -> JobRequest:
    """A new shape from words, a picture or both. OSError where the picture cannot be read."""
    recipe = {"prompt": prompt, "seed": seed, "bundle": bundle, "device": device, "diversity": diversity}
    if image:
        recipe["image"] = str(image)  # for batch files; the backend gets the picture itself
    params = _params(recipe, place, preset=preset, changes=changes or {}, preview_every=preview_every)
    arrays = {"image_file": np.frombuffer(image.read_bytes(), np.uint8)} if image else {}
    return JobRequest("generate", params, arrays, prompt or (image.stem if image else ""))


def regenerate_request(record: ObjectRecord, place: Place, *, preview_every: int = 0) -> JobRequest:
    """The same recipe once more."""
    params = _params(record.recipe, place, preview_every=preview_every)
    return JobRequest("generate", params, {}, record.prompt)


def vary_request(record: ObjectRecord, place: Place, *, seed: int, preview_every: int = 0) -> JobRequest:
    """Same words, new seed."""
    recipe = {key: value for key, value in record.recipe.items() if key not in _OF_ONE_RUN}
    params = _params({**recipe, "seed": seed}, place, preview_every=preview_every)
    return JobRequest("generate", params, {}, record.prompt)


def refine_request(record: ObjectRecord, place: Place, *, steps: int, preview_every: int = 0) -> JobRequest:
    """More iterations from the result's shape code."""
    changes = {"stage2": {"steps": steps}}
    params = _params(_restarted(record), place, changes=changes, preview_every=preview_every)
    return JobRequest("refine", params, {"code": record.code}, record.prompt)


def promote_request(
    record: ObjectRecord, place: Place, *, preset: str, changes: Fields, preview_every: int = 0
) -> JobRequest:
    """A draft at full quality: tuned from its own shape code, so that it stays the shape that was chosen."""
    recipe = {key: value for key, value in _restarted(record).items() if key != "settings"}
    params = _params(recipe, place, preset=preset, changes=changes, preview_every=preview_every)
    return JobRequest("refine", params, {"code": record.code}, record.prompt)


def branch_request(
    record: ObjectRecord, place: Place, *, prompt: str, steps: int, preview_every: int = 0
) -> JobRequest:
    """Same shape code, new words."""
    recipe = {**_restarted(record), "prompt": prompt, "image": "", "image_sha256": ""}
    changes = {"stage2": {"steps": steps}}
    params = _params(recipe, place, changes=changes, preview_every=preview_every)
    return JobRequest("refine", params, {"code": record.code}, prompt)


def blend_request(
    recipe: Fields, code_a: Array, code_b: Array, place: Place, *, weight: float, title: str = "Blend"
) -> JobRequest:
    """The shape between two codes; `recipe` gives bundle and mesh settings."""
    params = {**_params(recipe, place), "weight": round(float(weight), 6)}
    return JobRequest("blend", params, {"code_a": code_a, "code_b": code_b}, title)


def iteration_request(record: ObjectRecord, iteration: int, place: Place) -> JobRequest:
    """The mesh of one of the iterations."""
    params = {**_params(record.recipe, place), "iteration": iteration}
    return JobRequest("remesh", params, {"code": record.codes[iteration]}, record.prompt)


def replaced_place(request: JobRequest, **changes: Any) -> JobRequest:
    """The request with another place in the scene."""
    place = replace(Place.from_params(request.params), **changes)
    return replace(request, params={**request.params, "scene": place.to_fields()})


def batch_row(name: str, params: Fields) -> Fields:
    """A job as a row of the batch file; ValueError for kinds of jobs that the batch script cannot do."""
    recipe = dict(params.get("recipe") or {})
    if name != "generate":
        raise ValueError(f"A batch file holds prompts, not {name} jobs.")
    row: Fields = {"recipe": recipe, "variations": 1, "height_m": Place.from_params(params).height}
    for key in ("preset", "changes"):
        if params.get(key):
            row[key] = params[key]
    return row


def batch_text(rows: Iterable[Fields]) -> str:
    """The batch file: JSON that scripts/batch.py reads with --prompts."""
    content = {"format": BATCH_FORMAT, "version": BATCH_VERSION, "jobs": list(rows)}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def prompts_of_text(text: str) -> list[str]:
    """The prompts of a text: one per line, without blank lines and lines that start with #."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _params(recipe: Fields, place: Place, **others: Any) -> Fields:
    kept = {key: value for key, value in others.items() if value}
    return {"recipe": dict(recipe), "scene": place.to_fields(), **kept}


def _restarted(record: ObjectRecord) -> Fields:
    return {key: value for key, value in record.recipe.items() if key not in ("start_code", "versions")}
