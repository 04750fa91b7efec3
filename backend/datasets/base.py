"""What a training asks of a data set, whatever its layout on disk.

A data set is a list of shapes. Each has pictures for the encoders (`inputs`), and, where the layout knows
them, pictures with cameras (`views`), points labelled inside or outside, and captions. Everything is read
when asked for. Geometry is in our convention: unit cube, y up, the front towards +z (`turning.py`). What is
wrong with a file is a DatasetError that names it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from backend.config import Settings, bounded, one_of
from backend.errors import DatasetError

LAYOUTS = ("procedural", "shapenet", "co3d", "imnet")
"""Names of the layouts, as in a configuration."""


@dataclass(frozen=True)
class DataSettings(Settings):
    """Which data a training reads."""

    folder: str = ""
    """The data set's own folder (for IM-NET, also its .hdf5 file)."""
    layout: str = one_of("auto", *LAYOUTS)
    split: str = "train"
    """Name of the list of shapes: train, val or test (CO3D: a list of its set_lists)."""
    categories: tuple[str, ...] = ()
    """Only these, by name or by their folder's name; all where empty."""
    front: str = one_of("layout", "+x", "-x", "+z", "-z")
    """Axis that fronts look along on disk; `layout` takes what is known of the layout."""
    depth: bool = True
    """Read depth maps where there are any."""
    limit: int = bounded(0, 0, 100_000_000)
    """Only so many shapes; 0 takes all."""


@dataclass(frozen=True)
class Picture:
    """One picture, [row, column]."""

    rgb: np.ndarray
    """uint8 [H, W, 3], the object on white."""
    mask: np.ndarray | None
    """float32 [H, W]: 1 on the object, 0 beside it; None where nobody marked it."""


@dataclass(frozen=True)
class View:
    """A picture with its camera, in the convention of `cameras.py`: column i of W is at 2 i / (W - 1) - 1."""

    rgb: np.ndarray
    """uint8 [H, W, 3], the object on white."""
    mask: np.ndarray
    """bool [H, W]."""
    world_mat: np.ndarray
    """float32 [4, 4], object (our axes) to camera."""
    camera_mat: np.ndarray
    """float32 [4, 4]."""
    depth: np.ndarray | None = None
    """float32 [H, W], camera-space depth; infinity beside the object."""


@dataclass(frozen=True)
class LabelledPoints:
    """Points of one shape, in the unit cube."""

    positions: np.ndarray
    """float32 [P, 3]."""
    inside: np.ndarray
    """bool [P]."""
    colors: np.ndarray | None = None
    """float32 [P, 3] in [0, 1]; NaN where a point has none."""


@dataclass(frozen=True)
class Record:
    """What is known of a shape without reading it."""

    name: str
    category: str
    inputs: int
    """Pictures for the encoders."""
    views: int = 0
    """Pictures with cameras."""
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Something wrong with a folder."""

    message: str
    remedy: str = ""
    serious: bool = True
    """False where a training can go on all the same."""


@dataclass
class Dataset(ABC):
    """The shapes of one data set. `records` and `faults` are filled when it is opened."""

    layout: ClassVar[str]
    title: ClassVar[str]
    """The layout's name for people."""

    settings: DataSettings
    records: list[Record] = field(default_factory=list)
    faults: list[Problem] = field(default_factory=list)
    """What opening found wrong."""

    def __len__(self) -> int:
        return len(self.records)

    def contents(self) -> str:
        """What is in it, as a sentence."""
        categories = {record.category for record in self.records}
        inputs = sum(record.inputs for record in self.records)
        views = sum(record.views for record in self.records)
        points = "labelled points" if self.has_points else "no labelled points"
        return (
            f"Shapes: {len(self)} in {self.settings.split!r}, of {len(categories)} categories, "
            f"with {inputs} pictures for encoders, {views} views with cameras, {points}."
        )

    @property
    def has_views(self) -> bool:
        """Whether all shapes have pictures with cameras."""
        return bool(self.records) and all(record.views for record in self.records)

    @property
    def has_points(self) -> bool:
        """Whether shapes have labelled points."""
        return False

    @property
    def has_colors(self) -> bool:
        """Whether the labelled points have colours."""
        return False

    @property
    def has_parts(self) -> bool:
        """Whether the shapes' solid parts are known."""
        return False

    @property
    def shaded(self) -> bool:
        """Whether the pictures are lit as by `rendering/shading.py`, while points carry the plain colour."""
        return False

    @property
    def identity(self) -> str:
        """Differs between data with other contents, so far as names and numbers tell."""
        names = ",".join(f"{record.name}:{record.inputs}" for record in self.records)
        return f"{self.layout} {sorted(self.settings.to_dict().items())} {names}"

    @abstractmethod
    def input(self, shape: int, number: int) -> Picture:
        """Picture `number` of a shape for the encoders."""

    def view(self, shape: int, number: int) -> View:
        """Picture `number` of a shape with its camera."""
        raise DatasetError(
            f"The layout {self.layout} has no cameras.", remedy="Train on its labelled points instead."
        )

    def points(self, shape: int) -> LabelledPoints:
        """Labelled points of a shape."""
        raise DatasetError(
            f"The layout {self.layout} has no labelled points.", remedy="Train on its views instead."
        )

    def parts(self, shape: int) -> np.ndarray:
        """Table of the parts of a shape, [SLOTS, COLUMNS] as in parts_layout.py."""
        raise DatasetError(f"The layout {self.layout} knows no parts.", remedy="Use its pictures instead.")

    def problems(self, shape: int) -> Iterator[Problem]:
        """Read all of a shape, yielding what is wrong with it."""
        record = self.records[shape]
        for number in range(record.inputs):
            yield from _refusal(self.input, shape, number)
        for number in range(record.views):
            yield from _refusal(self.view, shape, number)
        if self.has_points:
            yield from _refusal(self.points, shape)


def _refusal(read: Callable[..., object], *arguments: int) -> Iterator[Problem]:
    """The error of one reading, if any."""
    try:
        read(*arguments)
    except DatasetError as error:
        yield Problem(error.message, error.remedy)
