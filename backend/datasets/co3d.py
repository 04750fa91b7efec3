"""CO3D, version 2: frames of hand-held videos around real objects, with masks and cameras.

    ROOT/CATEGORY/frame_annotations.jgz     gzipped JSON: one entry per frame, with paths below ROOT
    ROOT/CATEGORY/set_lists/*.json          optional: {"train": [[sequence, frame number, path], ...], ...}
    ROOT/CATEGORY/SEQUENCE/images, masks    JPEG frames; PNG masks, probability of the object times 255

A sequence is a shape. Cameras are PyTorch3D's (x left, y up; row vectors: x_camera = x_world R + T), with
intrinsics in one of two conventions; `co3d_frame.py` brings them, and the arbitrary world of a sequence, to
ours. Pictures for the encoders are cut to a square around the object.
"""

import gzip
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from backend.datasets.base import Dataset, DataSettings, Picture, Problem, Record, View
from backend.datasets.co3d_frame import FramedCamera, frame_sequence, our_camera
from backend.datasets.image_file import check_same_size, on_white, read_mask, read_rgb
from backend.errors import DatasetError

ANNOTATIONS = "frame_annotations.jgz"
FEWEST = 3
"""Frames that a sequence needs for its object's place to be found."""
INSIDE = 0.5
"""Mask values above it are the object."""
MARGIN = 0.1
"""White on each side of a cut-out object, as a share of its longer side."""
_LARGEST_JSON = 2**31


@dataclass(frozen=True)
class _Frame:
    number: int
    image: str
    mask: str
    viewpoint: dict[str, Any]
    size: tuple[int, int]
    """Height, width."""


@dataclass
class Co3d(Dataset):
    """A CO3D v2 folder."""

    layout: ClassVar[str] = "co3d"
    title: ClassVar[str] = "CO3D, version 2"

    sequences: list[list[_Frame]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._root = Path(self.settings.folder)
        self._framed: dict[int, list[FramedCamera]] = {}
        records = []
        for category in _categories(self._root, self.settings):
            for name, frames in self._sequences(category).items():
                if len(frames) < FEWEST:
                    self.faults.append(
                        Problem(f"The sequence {category.name}/{name} has {len(frames)} usable frames.",
                                f"Give at least {FEWEST}, with mask and viewpoint.", serious=False)
                    )  # fmt: skip
                    continue
                self.sequences.append(frames)
                records.append(Record(f"{category.name}/{name}", category.name, len(frames), len(frames)))
        self.records = records

    def _sequences(self, category: Path) -> dict[str, list[_Frame]]:
        entries = _read_annotations(category / ANNOTATIONS)
        listed = self._set_list(category)
        sequences: dict[str, list[_Frame]] = {}
        for place, entry in enumerate(entries):
            try:
                name, number = entry["sequence_name"], int(entry["frame_number"])
                if listed is not None and (name, number) not in listed:
                    continue
                if not entry.get("mask") or not entry.get("viewpoint"):
                    continue
                height, width = entry["image"]["size"]
                frame = _Frame(
                    number, entry["image"]["path"], entry["mask"]["path"], dict(entry["viewpoint"]),
                    (int(height), int(width)),
                )  # fmt: skip
            except (KeyError, TypeError, ValueError) as error:
                self.faults.append(
                    Problem(f"{category / ANNOTATIONS}: entry {place} is no frame ({error!r}).",
                            "Copy the annotations again.")
                )  # fmt: skip
                return {}
            sequences.setdefault(name, []).append(frame)
        return {name: sorted(frames, key=lambda f: f.number) for name, frames in sorted(sequences.items())}

    def _set_list(self, category: Path) -> set[tuple[str, int]] | None:
        """Frames of the chosen part in all set lists; None, which takes every frame, where there are none."""
        paths = sorted((category / "set_lists").glob("set_lists_*.json"))
        chosen: set[tuple[str, int]] = set()
        found = False
        for path in paths:
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
                part = values.get(self.settings.split)
                if part is not None:
                    found = True
                    chosen |= {(str(entry[0]), int(entry[1])) for entry in part}
            except (OSError, ValueError, AttributeError, TypeError, IndexError) as error:
                self.faults.append(Problem(f"The set list {path} cannot be read: {error}.", "Copy it again."))
        if found and not chosen:
            self.faults.append(
                Problem(f"The part {self.settings.split!r} of the set lists of {category} is empty.",
                        "Choose another split.")
            )  # fmt: skip
        if paths and not found:
            self.faults.append(
                Problem(f"No set list of {category} has a part {self.settings.split!r}: all frames count.",
                        "Choose train, val or test.", serious=False)
            )  # fmt: skip
        return chosen if found else None

    def input(self, shape: int, number: int) -> Picture:
        rgb, mask = self._picture(shape, number)
        return _cut_out(rgb, mask)

    def view(self, shape: int, number: int) -> View:
        rgb, mask = self._picture(shape, number)
        framed = self._cameras(shape)[number]
        return View(on_white(rgb, mask), mask > INSIDE, framed.world_mat, framed.camera_mat)

    def _cameras(self, shape: int) -> list[FramedCamera]:
        """Cameras of a sequence in our space; found once, for which all its masks are read."""
        if shape not in self._framed:
            frames, name = self.sequences[shape], self.records[shape].name
            cameras = [our_camera(f.viewpoint, f.size, f"{name}, frame {f.number}") for f in frames]
            masks = [self._picture(shape, n)[1] > INSIDE for n in range(len(frames))]
            self._framed[shape] = frame_sequence(cameras, masks, name)
        return self._framed[shape]

    def _picture(self, shape: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """rgb and soft mask."""
        frame = self.sequences[shape][number]
        paths = self._root / frame.image, self._root / frame.mask
        rgb, mask = read_rgb(paths[0]), read_mask(paths[1])
        check_same_size(rgb, mask, paths)
        if rgb.shape[:2] != frame.size:
            raise DatasetError(
                f"{paths[0]} has {rgb.shape[1]} x {rgb.shape[0]} pixels, its annotation says "
                f"{frame.size[1]} x {frame.size[0]}.",
                remedy="Copy pictures and annotations of the same release.",
            )
        if mask.max() <= INSIDE:
            raise DatasetError(
                f"The mask {paths[1]} shows no object.", remedy="Take the frame out of the annotations."
            )
        return rgb, mask


def category_folders(root: Path) -> list[Path]:
    """Folders below a CO3D root that hold annotations."""
    return [path.parent for path in sorted(root.glob(f"*/{ANNOTATIONS}"))]


def _categories(root: Path, settings: DataSettings) -> list[Path]:
    found = {folder.name: folder for folder in category_folders(root)}
    missing = [name for name in settings.categories if name not in found]
    if missing:
        raise DatasetError(
            f"{root} has no category {missing[0]!r} with {ANNOTATIONS}.",
            remedy=f"Choose from: {', '.join(found) or 'none'}.",
        )
    return [found[name] for name in settings.categories] or list(found.values())


def _read_annotations(path: Path) -> list[dict[str, Any]]:
    try:
        with gzip.open(path, "rb") as stream:
            text = stream.read(_LARGEST_JSON)
        entries = json.loads(text)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.", remedy="Copy the file again.") from error
    if not isinstance(entries, list) or not entries:
        raise DatasetError(f"{path} lists no frames.", remedy="Copy the file again.")
    return entries


def _cut_out(rgb: np.ndarray, mask: np.ndarray) -> Picture:
    """The object on white in a square with a margin."""
    rows, columns = (np.flatnonzero((mask > INSIDE).any(axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left)
    side += 2 * max(1, round(MARGIN * side))
    first_row, first_column = (top + bottom - side) // 2, (left + right - side) // 2
    padded = np.pad(on_white(rgb, mask), ((side, side), (side, side), (0, 0)), constant_values=255)
    marked = np.pad(mask, side)
    window = (
        slice(first_row + side, first_row + 2 * side),
        slice(first_column + side, first_column + 2 * side),
    )
    return Picture(padded[window], marked[window])
