"""Prompt lists for the batch script: text, CSV or JSON, one row per prompt.

Text has a prompt per line. CSV has a header with `prompt` or `image`, and any of FIELDS or `phase.field`
(such as `stage2.steps`). JSON is a list of prompts or of objects with the same keys, or with a whole
`recipe`; the panel's queue exports that form. `styles` lists looks that each shape is given as well, apart by
";", and ">" puts styles on top of each other: "zebra; wooden > icy". Needs no bpy.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .job_requests import BATCH_FORMAT, BATCH_VERSION, prompts_of_text
from .protocol import Fields

RECIPE_FIELDS: dict[str, type] = {
    "prompt": str, "image": str, "seed": int, "bundle": str, "device": str, "precision": str,
    "diversity": float, "threads": int,
}  # fmt: skip
OWN_FIELDS: dict[str, type] = {"name": str, "preset": str, "variations": int, "height_m": float}
STYLE_FIELDS: dict[str, type] = {"styles": str, "style_mode": str, "style_strength": float}
FIELDS = (*RECIPE_FIELDS, *OWN_FIELDS, *STYLE_FIELDS)
STYLE_MODES = ("texture", "shape-texture")
LEAST_STRENGTH, GREATEST_STRENGTH = 0.05, 4.0
MOST_BYTES = 64 * 2**20
MOST_VARIATIONS = 64


class PromptListError(Exception):
    """A prompt list that cannot be read; the message names file and row."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


@dataclass(frozen=True)
class Row:
    """One prompt and what it asks for beyond the batch's own settings; None and {} leave those."""

    recipe: Fields
    """Part of a recipe; holds a prompt, an image or both."""
    name: str = ""
    """Of files and object, where it is not to be the prompt."""
    preset: str | None = None
    changes: Fields = field(default_factory=dict)
    """Settings per phase: {"stage2": {"steps": 5}}."""
    variations: int | None = None
    height_m: float | None = None
    looks: tuple[tuple[Fields, ...], ...] = ()
    """Chains of styles, as in a recipe; each gives the shape another look."""

    @property
    def title(self) -> str:
        """What people call it."""
        image = Path(str(self.recipe.get("image", ""))).stem
        return self.name or " ".join(str(self.recipe.get("prompt", "")).split()) or image


def read_prompts(path: Path) -> list[Row]:
    """The rows of a .csv, .json or any other (text) file. PromptListError; also where it holds no prompt.

    Pictures are named relative to the list's own folder.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PromptListError(f"{path} is larger than {MOST_BYTES >> 20} MB.", "Split it.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as problem:
        raise PromptListError(f"{path} cannot be read: {problem.strerror}.", "Check the path.") from problem
    except UnicodeDecodeError as problem:
        raise PromptListError(f"{path} is not UTF-8 text.", "Save it again as UTF-8.") from problem
    parse = {".csv": _csv_rows, ".json": _json_rows}.get(path.suffix.lower(), _text_rows)
    rows = [_row(values, f"{path.name}, {place}", path.parent) for place, values in parse(text, path.name)]
    if not rows:
        raise PromptListError(f"{path} holds no prompt.", "Write one prompt per line.")
    return rows


def _text_rows(text: str, name: str) -> list[tuple[str, Fields]]:
    return [(f"prompt {n}", {"prompt": prompt}) for n, prompt in enumerate(prompts_of_text(text), 1)]


def _csv_rows(text: str, name: str) -> list[tuple[str, Fields]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        for values in reader:
            place = f"line {reader.line_num}"
            if None in values:
                raise PromptListError(
                    f"{name}, {place} has more cells than the header.",
                    "Put prompts that hold commas into quotes.",
                )
            given = {str(key).strip(): value.strip() for key, value in values.items() if value}
            if given:
                rows.append((place, given))
    except csv.Error as problem:
        raise PromptListError(f"{name} is not CSV: {problem}.", "Save it again as CSV.") from problem
    return rows


def _json_rows(text: str, name: str) -> list[tuple[str, Fields]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise PromptListError(f"{name} is not JSON: {problem}.", "Check it with an editor.") from problem
    if isinstance(content, dict):
        form, version = content.get("format"), content.get("version")
        if (form, version) != (BATCH_FORMAT, BATCH_VERSION):
            raise PromptListError(
                f"{name} has format {form!r:.40} and version {version!r:.20}, not {BATCH_FORMAT!r} and "
                f"{BATCH_VERSION}.",
                "Give a list of prompts, or a file that the panel exported.",
            )
        content = content.get("jobs")
    if not isinstance(content, list):
        raise PromptListError(f"{name} holds no list.", 'Write ["a red chair", "a blue table"].')
    rows = []
    for number, values in enumerate(content, 1):
        if not isinstance(values, str | dict):
            raise PromptListError(
                f"{name}, row {number} is {values!r:.40}.", "Give a prompt or an object per row."
            )
        rows.append((f"row {number}", {"prompt": values} if isinstance(values, str) else values))
    return rows


def _row(values: Mapping[str, Any], place: str, folder: Path) -> Row:
    recipe, own, changes, style = {}, {}, {}, {}
    for key, value in values.items():
        if key == "recipe":
            recipe = {**_object(value, key, place), **recipe}
        elif key == "changes":
            for phase, fields in _object(value, key, place).items():
                changes.setdefault(phase, {}).update(_object(fields, f"changes of {phase}", place))
        elif key in RECIPE_FIELDS:
            recipe[key] = _converted(value, RECIPE_FIELDS[key], key, place)
        elif key == "styles" and isinstance(value, list):
            style[key] = "; ".join(_converted(words, str, key, place) for words in value)
        elif key in STYLE_FIELDS:
            style[key] = _converted(value, STYLE_FIELDS[key], key, place)
        elif key in OWN_FIELDS:
            own[key] = _converted(value, OWN_FIELDS[key], key, place)
        elif key.count(".") == 1:
            phase, _, name = key.partition(".")
            changes.setdefault(phase, {})[name] = _plain(value)
        else:
            raise PromptListError(
                f"{place}: there is no field {key!r:.60}.",
                f"Use {', '.join(FIELDS)}, or phase.field such as stage2.steps.",
            )
    if not str(recipe.get("prompt") or recipe.get("image") or "").strip():
        raise PromptListError(f"{place} has neither a prompt nor an image.", "Fill it in or remove the row.")
    if recipe.get("image"):
        recipe["image"] = str(folder / str(recipe["image"]))
    if not 1 <= own.get("variations", 1) <= MOST_VARIATIONS:
        raise PromptListError(
            f"{place}: variations is {own['variations']}.", f"Choose 1 to {MOST_VARIATIONS}."
        )
    if not 0.001 <= own.get("height_m", 1.0) <= 1e4:
        raise PromptListError(f"{place}: height_m is {own['height_m']}.", "Choose 0.001 to 10000 metres.")
    return Row(recipe, changes=changes, looks=_looks(style, place), **own)


def _looks(given: Fields, place: str) -> tuple[tuple[Fields, ...], ...]:
    mode, strength = given.get("style_mode", STYLE_MODES[0]), given.get("style_strength", 1.0)
    if mode not in STYLE_MODES:
        raise PromptListError(f"{place}: style_mode is {mode!r:.40}.", f"Use {' or '.join(STYLE_MODES)}.")
    if not LEAST_STRENGTH <= strength <= GREATEST_STRENGTH:
        raise PromptListError(
            f"{place}: style_strength is {strength}.", f"Choose {LEAST_STRENGTH} to {GREATEST_STRENGTH:g}."
        )
    looks = []
    for chain in given.get("styles", "").split(";"):
        words = [" ".join(part.split()) for part in chain.split(">")]
        if not any(words):
            continue  # a closing semicolon
        if not all(words):
            raise PromptListError(f"{place}: the styles {chain.strip()!r:.60} have a gap.", "Fill it in.")
        looks.append(tuple({"style": word, "mode": mode, "strength": strength} for word in words))
    return tuple(looks)


def _object(value: Any, key: str, place: str) -> Fields:
    if not isinstance(value, dict):
        raise PromptListError(f"{place}: {key} is {value!r:.40}, not an object.", "Write it as {...}.")
    return value


def _converted(value: Any, kind: type, key: str, place: str) -> Any:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        return kind(value) if kind is not int or not isinstance(value, float) else _whole(value)
    except ValueError as problem:
        word = {int: "a whole number", float: "a number", str: "text"}[kind]
        message = f"{place}: {key} is {value!r:.40}, not {word}."
        raise PromptListError(message, "Correct it.") from problem


def _whole(value: float) -> int:
    if not value.is_integer():
        raise ValueError
    return int(value)


def _plain(value: Any) -> Any:
    """A CSV cell as the number or truth value that it spells, else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
