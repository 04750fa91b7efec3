"""A batch's plan, its memory on disk and its report; no bpy, no torch.

An item is one result: a row with one seed. It counts as done when its record lies beside its files; records
are written last and by rename, so that a kill at any moment leaves whole items or items to be redone.
"""

import hashlib
import json
import os
import shutil
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .prompt_list import Row
from .protocol import Fields

ALL_DONE, UNEXPECTED, BAD_ARGUMENTS, SOME_FAILED, STOPPED = 0, 1, 2, 3, 130
"""Exit codes."""
FORMATS = ("blend", "glb", "ply", "png")
LAYOUT = 1
"""Raised when files are written differently, so that --resume makes older ones again."""
REPORT_NAME, SHEET_NAME = "report.json", "contact_sheet.png"
_UNFINISHED = ".unfinished-"
_LONGEST_SLUG = 40

WAITING, DONE, SKIPPED, FAILED = "waiting", "done", "skipped", "failed"
"""States of an item. Skipped: done by an earlier run."""


@dataclass(frozen=True)
class BatchSettings:
    """What holds for all rows that do not say otherwise."""

    formats: tuple[str, ...] = ("blend", "glb")
    variations: int = 1
    seed: int = 0
    preset: str = "normal"
    bundle: str = "starter"
    device: str = "auto"
    height_m: float = 1.0
    render: bool = False
    """A Cycles still of each result."""
    bake: int = 0
    """Pixels of a colour texture; 0 for none."""
    assets: bool = False
    """Mark the objects as assets."""
    picture_size: int = 512


@dataclass(frozen=True)
class Item:
    """One result to be made."""

    number: int
    """Of its row, from 1."""
    title: str
    seed: int
    stem: str
    """Of its files."""
    params: Fields
    """Of the request `generate`."""
    image: str
    """Path of a picture to be sent along, or empty."""
    height_m: float
    digest: str
    """Changes whenever the item must be made again."""


@dataclass
class Outcome:
    """What came of an item."""

    item: Item
    state: str = WAITING
    record: Fields = field(default_factory=dict)
    """As in the item's own JSON file."""
    error: Fields = field(default_factory=dict)
    """code, message, remedy."""
    attempts: int = 0


def plan(rows: Sequence[Row], settings: BatchSettings) -> list[Item]:
    """The items of all rows, in order; names of files are the same on every run of the same list."""
    items = []
    for number, row in enumerate(rows, 1):
        first = int(row.recipe.get("seed", settings.seed))
        for offset in range(row.variations or settings.variations):
            for look in range(1 + len(row.looks)):
                items.append(_item(number, row, first + offset, settings, look))
    return items


def _item(number: int, row: Row, seed: int, settings: BatchSettings, number_of_look: int) -> Item:
    """number_of_look: 0 for the shape as it is, else which of the row's looks it is given."""
    look = row.looks[number_of_look - 1] if number_of_look else ()
    recipe = {"bundle": settings.bundle, "device": settings.device, **row.recipe, "seed": seed}
    words = " > ".join(str(style["style"]) for style in look)
    if look:
        recipe["styles"] = [*(recipe.get("styles") or ()), *look]
    image = str(recipe.pop("image", ""))
    params: Fields = {"recipe": recipe}
    if "settings" not in recipe or row.preset:
        params["preset"] = row.preset or settings.preset
    if row.changes:
        params["changes"] = row.changes
    height_m = row.height_m or settings.height_m
    outputs = [settings.formats, settings.render, settings.bake, settings.assets, settings.picture_size]
    text = json.dumps([LAYOUT, params, image, row.name, height_m, outputs], sort_keys=True)
    return Item(
        number=number,
        title=f"{row.title}, {words}" if words else row.title,
        seed=seed,
        stem=f"{number:03d}-{slug(row.title)}-s{seed}"
        + (f"-{number_of_look}-{slug(words)}" if words else ""),
        params=params,
        image=image,
        height_m=height_m,
        digest=hashlib.sha256(text.encode("ascii")).hexdigest(),
    )


def slug(text: str) -> str:
    """A file name part that every system takes: ASCII letters and digits with dashes."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    words = "".join(c if c.isalnum() else " " for c in plain).split()
    return "-".join(words)[:_LONGEST_SLUG].strip("-") or "result"


class OutputFolder:
    """The batch's folder: staged writing, records of finished items, the report."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the folder and remove what a killed run left half done. OSError where it cannot be written."""
        self.path.mkdir(parents=True, exist_ok=True)
        for left in self.path.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def staging(self, item: Item) -> Path:
        """An empty folder for the item's files until `commit`."""
        folder = self.path / f"{_UNFINISHED}{item.stem}"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder

    def commit(self, item: Item, record: Fields) -> Fields:
        """Move the staged files to their places, then write the record; returns it with its files."""
        folder = self.path / f"{_UNFINISHED}{item.stem}"
        names = sorted(path.name for path in folder.iterdir())
        files = {name: (folder / name).stat().st_size for name in names}
        self._record_path(item).unlink(missing_ok=True)
        for name in names:
            os.replace(folder / name, self.path / name)
        folder.rmdir()
        whole = {**record, "digest": item.digest, "files": files}
        write_json(self._record_path(item), whole)
        return whole

    def finished(self, item: Item) -> Fields | None:
        """The record of an item that is done as it is asked for now, with all its files; else None."""
        try:
            record = json.loads(self._record_path(item).read_text("utf-8"))
            if record["digest"] != item.digest:
                return None
            if any((self.path / name).stat().st_size != size for name, size in record["files"].items()):
                return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return dict(record)

    def _record_path(self, item: Item) -> Path:
        return self.path / f"{item.stem}.json"


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write by rename: a reader sees the old file or the new one. OSError."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(temporary, path)


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Number of items per state."""
    return {state: sum(o.state == state for o in outcomes) for state in (DONE, SKIPPED, FAILED, WAITING)}


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when every item is there, else 3."""
    return ALL_DONE if all(o.state in (DONE, SKIPPED) for o in outcomes) else SOME_FAILED


def report(outcomes: Sequence[Outcome], *, started: float, wall_s: float, ended: bool) -> Fields:
    """The JSON report; `started` in seconds since the epoch."""
    return {
        "format": "iss-batch-report",
        "version": 1,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "wall_s": round(wall_s, 3),
        "ended": ended,
        "exit_code": exit_code(outcomes) if ended else None,
        "counts": counts(outcomes),
        "items": [_entry(outcome) for outcome in outcomes],
    }


def _entry(outcome: Outcome) -> Fields:
    item = outcome.item
    entry: Fields = {
        "row": item.number,
        "title": item.title,
        "prompt": item.params["recipe"].get("prompt", ""),
        "seed": item.seed,
        "state": outcome.state,
        "attempts": outcome.attempts,
    }
    shown = ("score", "scores", "best_step", "seconds", "total_s", "vertices", "faces", "watertight")
    for key in (*shown, "warnings", "backend_version", "device"):
        if key in outcome.record:
            entry[key] = outcome.record[key]
    entry["files"] = sorted(outcome.record.get("files", {}))
    if outcome.error:
        entry["error"] = outcome.error
    return entry
