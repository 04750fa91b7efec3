"""Which layout a folder has, the reader for it, and what is wrong with it.

`open_dataset` is what trainings call; `check_dataset` reads everything and tells all that is wrong.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from backend.datasets.base import Dataset, DataSettings, Problem, Record
from backend.datasets.co3d import ANNOTATIONS, Co3d, category_folders
from backend.datasets.imnet_hdf5 import ENDINGS, ImnetHdf5
from backend.datasets.procedural_set import ProceduralSet
from backend.datasets.shapenet import ShapeNet
from backend.errors import DatasetError

logger = logging.getLogger(__name__)

READERS: dict[str, type[Dataset]] = {
    reader.layout: reader for reader in (ProceduralSet, ShapeNet, Co3d, ImnetHdf5)
}
CAPTIONS = "captions.json"
"""Beside any data set: {"CATEGORY/SHAPE": ["a caption", ...], ...}."""


@dataclass(frozen=True)
class Checked:
    """How far a check is, and what it found there."""

    done: int
    problems: tuple[Problem, ...]


def recognise(place: Path) -> str:
    """The layout's name; DatasetError says what was looked for."""
    if not place.exists():
        raise DatasetError(f"{place} does not exist.", remedy="Give the folder of a data set.")
    if place.is_file():
        if place.suffix in ENDINGS:
            return "imnet"
        raise DatasetError(
            f"{place} is a file of no known kind.", remedy="Give a folder, or an .hdf5 file of IM-NET."
        )
    if (place / "corpus.json").exists() or (place / "begun.json").exists():
        return "procedural"
    if (place / ANNOTATIONS).exists():
        raise DatasetError(f"{place} is one category of CO3D.", remedy=f"Give its parent, {place.parent}.")
    if category_folders(place):
        return "co3d"
    if any(path.suffix in ENDINGS for path in place.iterdir()):
        return "imnet"
    if any(any(place.glob(sign)) for sign in ("*/*.lst", "*/*/cameras.npz", "*/*/img_choy2016")):
        return "shapenet"
    if any(place.glob("*.lst")) or any(place.glob("*/cameras.npz")):
        raise DatasetError(
            f"{place} is one category of ShapeNet.", remedy=f"Give its parent, {place.parent}."
        )
    raise DatasetError(
        f"{place} has no layout that is known here.",
        remedy="Known: ShapeNet in DVR's folders (SYNSET/train.lst, SYNSET/SHAPE/cameras.npz), CO3D v2 "
        f"(CATEGORY/{ANNOTATIONS}), IM-NET (*.hdf5), a procedural corpus (corpus.json).",
    )


def open_dataset(settings: DataSettings) -> Dataset:
    """The data set, ready for training; DatasetError for the first serious thing that opening finds."""
    data = _open(settings)
    for fault in data.faults:
        if fault.serious:
            raise DatasetError(fault.message, remedy=fault.remedy)
        logger.warning("%s %s", fault.message, fault.remedy)
    if not len(data):
        raise DatasetError(
            f"{settings.folder} ({data.title}) has no shapes in {settings.split!r}.",
            remedy="Check the lists and the chosen categories.",
        )
    return data


def check_dataset(settings: DataSettings) -> tuple[Dataset | None, Iterator[Checked]]:
    """The opened data set (None where it cannot be opened), and an iterator that reads all of its shapes."""
    try:
        data = _open(settings)
    except DatasetError as error:
        return None, iter([Checked(0, (Problem(error.message, error.remedy),))])
    return data, _read_all(data)


def _read_all(data: Dataset) -> Iterator[Checked]:
    if data.faults:
        yield Checked(0, tuple(data.faults))
    if not len(data) and not any(fault.serious for fault in data.faults):
        yield Checked(0, (Problem("There are no shapes in it.", "Check the lists and folders."),))
    for shape in range(len(data)):
        yield Checked(shape + 1, tuple(data.problems(shape)))


def _open(settings: DataSettings) -> Dataset:
    place = Path(settings.folder)
    if not settings.folder:
        raise DatasetError("No data folder is named.", remedy='Set "folder" in the part "data".')
    layout = recognise(place) if settings.layout == "auto" or not place.exists() else settings.layout
    try:
        data = READERS[layout](settings)
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{place} ({READERS[layout].title}) cannot be opened: {error}.",
            remedy="Make or copy it again, and give a folder that you may read.",
        ) from error
    if settings.limit:
        data.records = data.records[: settings.limit]
    if place.is_dir() and (place / CAPTIONS).exists():
        data.records = _captioned(data.records, place / CAPTIONS)
    return data


def _captioned(records: list[Record], path: Path) -> list[Record]:
    try:
        captions = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(captions, dict) or not all(_texts(value) for value in captions.values()):
            raise ValueError("it is no table of lists of captions")
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be used: {error}.", remedy='Write {"CATEGORY/SHAPE": ["a caption"]} into it.'
        ) from error
    return [replace(r, captions=tuple(captions.get(r.name, r.captions))) for r in records]


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(t, str) and t.strip() for t in value)
