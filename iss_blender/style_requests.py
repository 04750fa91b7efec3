"""What the panel's style settings become as requests: a result or an own mesh in a new look, a finer mesh.

A styled result's params also hold `look`, which says what the scene does with it; the backend ignores it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .job_requests import JobRequest, Place
from .object_record import ObjectRecord
from .protocol import Array, Fields

TEXTURE, SHAPE = "texture", "shape-texture"


@dataclass(frozen=True)
class StyleWish:
    """What the panel asks for."""

    style: str
    mode: str = TEXTURE
    strength: float = 1.0
    seed: int = 0
    steps: int = -1
    """Iterations; -1 leaves them to the model."""

    def to_fields(self) -> Fields:
        """The request's `style`."""
        return {"style": self.style, "mode": self.mode, "strength": self.strength, "seed": self.seed}

    def changes(self) -> Fields:
        """The request's `changes`."""
        return {"stylize": {"steps": self.steps}} if self.steps >= 0 else {}


def stylize_request(
    record: ObjectRecord,
    wish: StyleWish,
    place: Place,
    *,
    decoder: Array | None = None,
    device: str = "auto",
    preview_every: int = 0,
) -> JobRequest:
    """A result in a new look. decoder: its tuned decoder's file where it was styled before."""
    params = {
        "recipe": {**record.recipe, "device": device},
        "style": wish.to_fields(),
        "changes": wish.changes(),
        "preview_every": preview_every,
        "scene": place.to_fields(),
        "look": {},
    }
    arrays = {"code": record.code} | ({} if decoder is None else {"decoder": decoder})
    return JobRequest("stylize", params, arrays, f"{wish.style}: {record.prompt}".rstrip(": "))


def stylize_mesh_request(
    arrays: Mapping[str, Array],
    wish: StyleWish,
    place: Place,
    *,
    name: str,
    subject: str,
    recipe: Fields,
    look: Fields,
    preview_every: int = 0,
) -> JobRequest:
    """An own mesh in a new look. arrays: see own_mesh.py. recipe: bundle and device."""
    params = {
        "recipe": recipe,
        "style": wish.to_fields(),
        "subject": subject,
        "changes": wish.changes(),
        "preview_every": preview_every,
        "scene": place.to_fields(),
        "look": look,
    }
    return JobRequest("stylize_mesh", params, dict(arrays), f"{wish.style}: {name}")


def remesh_request(
    record: ObjectRecord, place: Place, *, resolution: int, decoder: Array | None = None, device: str = "auto"
) -> JobRequest:
    """The same shape with as many grid cells per side."""
    params: Fields = {
        "recipe": {**record.recipe, "device": device},
        "changes": {"mesh": {"resolution": resolution}},
        "scene": place.to_fields(),
    }
    arrays = {"code": record.code} | ({} if decoder is None else {"decoder": decoder})
    return JobRequest("remesh", params, arrays, record.prompt)


def style_words(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """The styles of a recipe in order, for people."""
    styles = recipe.get("styles") or ()
    return tuple(str(style.get("style", "")) for style in styles if isinstance(style, Mapping))
