"""IM-NET's data: one hdf5 file of grey pictures and points sampled from voxels.

    pixels                uint8 [N, V, S, S]   grey, on white (published: V = 24, S = 137)
    points_16, _32, _64   uint8 [N, P, 3]      cells of a grid of 256 (published: P = 4096, 4096, 16384)
    values_16, _32, _64   uint8 [N, P, 1]      1 inside
    voxels                uint8 [N, 64, 64, 64, 1], not read

There are no cameras and no colours. A text file of the same name lists "SYNSET/SHAPE" per line. IM-NET turned
its voxels to ShapeNetCore v2, whose front is -z; points are turned to ours here. As in its training, the
middle 128 pixels of a picture count.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from backend.datasets.base import Dataset, LabelledPoints, Picture, Problem, Record
from backend.datasets.image_file import read_lines
from backend.datasets.shapenet import SYNSETS
from backend.datasets.turning import front_rotation, turn_points
from backend.errors import DatasetError

FRONT = "-z"
"""Of ShapeNetCore v2."""
GRID = 256
"""Cells per axis that points count in."""
CROP = 128
"""Pixels per side that IM-NET looks at."""
ENDINGS = (".hdf5", ".h5")
RESOLUTIONS = (16, 32, 64)


@dataclass
class ImnetHdf5(Dataset):
    """An IM-NET hdf5 file, opened for reading."""

    layout: ClassVar[str] = "imnet"
    title: ClassVar[str] = "IM-NET's hdf5"

    def __post_init__(self) -> None:
        path = imnet_file(Path(self.settings.folder), self.settings.split)
        front = FRONT if self.settings.front == "layout" else self.settings.front
        self._rotation, self._path = front_rotation(front), path
        self._arrays = _open(path)
        self._levels = [r for r in RESOLUTIONS if f"points_{r}" in self._arrays]
        self._check_shapes()
        if self.faults:
            return
        count, views = self._arrays["pixels"].shape[:2]
        names = self._names(count)
        chosen = set(self.settings.categories)
        self._rows = []
        records = []
        for row, name in enumerate(names):
            synset = name.split("/")[0]
            category = SYNSETS.get(synset, synset)
            if not chosen or chosen & {synset, category}:
                self._rows.append(row)
                records.append(Record(name, category, views))
        self.records = records

    def _names(self, count: int) -> list[str]:
        path = self._path.with_suffix(".txt")
        if not path.exists():
            self.faults.append(
                Problem(f"{path} is missing, so the shapes' categories are not known.",
                        "Copy the list that lies beside the hdf5 file.", serious=False)
            )  # fmt: skip
            return [f"shape/{row}" for row in range(count)]
        names = read_lines(path)
        if len(names) != count:
            self.faults.append(
                Problem(f"{path} lists {len(names)} shapes, {self._path.name} holds {count}.",
                        "Copy both files of the same release.")
            )  # fmt: skip
            return [f"shape/{row}" for row in range(count)]
        return names

    def _check_shapes(self) -> None:
        arrays, problems = self._arrays, []
        pixels = arrays.get("pixels")
        if pixels is None or pixels.ndim != 4 or pixels.shape[2] != pixels.shape[3] or not len(pixels):
            shape = None if pixels is None else pixels.shape
            problems.append(f"pixels have shape {shape}, not (N, V, S, S)")
        if not self._levels:
            problems.append("there are no points_16, points_32 or points_64")
        for level in self._levels:
            points, values = arrays[f"points_{level}"], arrays.get(f"values_{level}")
            wanted = (*points.shape[:2], 1)
            if points.ndim != 3 or points.shape[2] != 3:
                problems.append(f"points_{level} have shape {points.shape}, not (N, P, 3)")
            elif values is None or values.shape != wanted:
                got = None if values is None else values.shape
                problems.append(f"values_{level} have shape {got}, not {wanted}")
            elif pixels is not None and len(points) != len(pixels):
                problems.append(f"pixels hold {len(pixels)} shapes, points_{level} {len(points)}")
        self.faults += [
            Problem(f"{self._path}: {problem}.", "Make the file with IM-NET's point sampling.")
            for problem in problems
        ]

    @property
    def has_points(self) -> bool:
        return True

    def input(self, shape: int, number: int) -> Picture:
        grey = self._read("pixels", self._rows[shape])[number]
        edge = max(0, (grey.shape[0] - CROP) // 2)
        inner = slice(edge, edge + min(CROP, grey.shape[0]))
        return Picture(np.repeat(grey[inner, inner, None], 3, axis=-1), None)

    def points(self, shape: int) -> LabelledPoints:
        row = self._rows[shape]
        cells = np.concatenate([self._read(f"points_{r}", row) for r in self._levels])
        values = np.concatenate([self._read(f"values_{r}", row) for r in self._levels])
        positions = (cells.astype(np.float64) + 0.5) / GRID - 0.5
        return LabelledPoints(turn_points(positions, self._rotation), values[:, 0] > 0)

    def _read(self, name: str, row: int) -> np.ndarray:
        try:
            return self._arrays[name][row]
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"{self._path}: {name} of shape {row} cannot be read: {error}.", remedy="Copy the file again."
            ) from error


def imnet_file(place: Path, split: str) -> Path:
    """The hdf5 file itself, or the one of the split in a folder."""
    if place.is_file():
        return place
    files = sorted(path for path in place.iterdir() if path.suffix in ENDINGS)
    named = [path for path in files if path.stem.endswith(f"_{split}")] or files
    if len(named) != 1:
        raise DatasetError(
            f"{place} has {len(named)} hdf5 files for {split}.",
            remedy="Give the .hdf5 file itself as the folder.",
        )
    return named[0]


def _open(path: Path) -> dict:
    """The file's arrays by name, not read yet."""
    try:
        import h5py
    except ImportError as error:
        raise DatasetError(
            "Reading hdf5 files needs the package h5py.",
            remedy="Install the training extra: `make test` does.",
        ) from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(f"{path} cannot be opened: {error}.", remedy="Copy the file again.") from error
    return {name: value for name, value in file.items() if isinstance(value, h5py.Dataset)}
