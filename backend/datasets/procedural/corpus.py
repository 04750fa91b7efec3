"""A corpus of procedural shapes on disk: images, labelled points and captions, made once from a seed.

Shape i of a corpus depends on (seed, i) alone, so a corpus can be made by several processes, in part, or
again. Categories take turns. Arrays are memory-mapped .npy files; what is known of each shape is JSON.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.config import Settings, bounded
from backend.datasets.procedural.captions import describe
from backend.datasets.procedural.categories import CATEGORIES, Sample, make
from backend.datasets.procedural.part_tables import part_table
from backend.datasets.procedural.views import LIGHT, render, sample_points, world_matrix
from backend.errors import DatasetError, SettingError
from backend.output_file import write_file
from backend.svr import parts_layout as layout

if TYPE_CHECKING:
    from multiprocessing.pool import IMapIterator

_DONE = "corpus.json"
_BEGUN = "begun.json"
"""Settings of a corpus that is not finished."""
_PART = 64
"""Shapes that one process makes at a time."""
_MOMENT_S = 0.3
"""While processes work, the number done is told again this often: a moment to stop at."""


@dataclass(frozen=True)
class CorpusSettings(Settings):
    """What a corpus holds."""

    seed: int = bounded(1, 0, 2**31)
    shapes: int = bounded(24_000, 1, 10_000_000)
    views: int = bounded(5, 0, 64)
    """Images per shape; a corpus without any still has parts and captions."""
    image_size: int = bounded(64, 16, 512)
    uniform_points: int = bounded(1536, 0, 100_000)
    """Labelled points spread over the cube, per shape."""
    near_points: int = bounded(1536, 0, 100_000)
    """Labelled points around the surface, per shape; these have colours."""
    captions: int = bounded(8, 1, 100)
    """Captions per shape."""
    categories: tuple[str, ...] = ()
    """Categories that take turns, one that is named twice twice as often; without any all of them do."""

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted(set(self.categories) - set(CATEGORIES))
        if unknown:
            raise SettingError(
                f"Unknown categories: {', '.join(unknown)}.", remedy=f"Use only: {', '.join(CATEGORIES)}."
            )


@dataclass(frozen=True)
class Corpus:
    """Memory-mapped arrays of N shapes."""

    settings: CorpusSettings
    images: np.ndarray
    """uint8 [N, V, S, S, 3], shaded, on white."""
    masks: np.ndarray
    """uint8 [N, V, S, S / 8]: packed bits."""
    cameras: np.ndarray
    """float32 [N, V, 3]: azimuth and elevation in degrees, distance."""
    points: np.ndarray
    """float16 [N, P, 3]: the uniform ones first, then the near ones."""
    distances: np.ndarray
    """float16 [N, P], negative inside."""
    colors: np.ndarray
    """uint8 [N, near_points, 3]: albedo of the near points."""
    parts: np.ndarray
    """float16 [N, SLOTS, COLUMNS]: the tables of parts, see `part_table`."""
    records: list[dict]
    """category, kind, facts, paints, parts (names of the rows of its table), captions."""

    def __len__(self) -> int:
        return len(self.records)


def sample_of(settings: CorpusSettings, index: int) -> tuple[Sample, np.random.Generator]:
    """Shape `index` of the corpus, and the generator that its views and captions go on with."""
    rng = np.random.default_rng([settings.seed, index])
    names = settings.categories or list(CATEGORIES)
    return make(names[index % len(names)], rng), rng


def build_corpus(folder: Path, settings: CorpusSettings, *, workers: int | None = None) -> Iterator[int]:
    """Make the corpus in a folder, yielding how many shapes are done; one already there is left alone, and
    one that was stopped with the same settings is finished."""
    if (folder / _DONE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    begun = json.dumps({"settings": settings.to_dict(), "categories": list(CATEGORIES)})
    if not (folder / _BEGUN).exists() or (folder / _BEGUN).read_text() != begun:
        for part in folder.glob(_part_name("*")):
            part.unlink()
        arrays = _open(folder, settings, "w+")
        del arrays
        (folder / _BEGUN).write_text(begun)
    starts = range(0, settings.shapes, _PART)
    jobs = [
        (folder, settings, start, min(start + _PART, settings.shapes))
        for start in starts
        if not (folder / _part_name(start)).exists()
    ]
    done = settings.shapes - sum(stop - start for _, _, start, stop in jobs)
    with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count()) as pool:
        filled = pool.imap_unordered(_fill, jobs)
        for _ in jobs:
            while (made := _next_part(filled)) is None:
                yield done
            start, records = made
            write_file(folder / _part_name(start), json.dumps(records).encode())
            done += len(records)
            yield done
    parts = [folder / _part_name(start) for start in starts]
    flat = [record for part in parts for record in json.loads(part.read_text())]
    (folder / "records.json").write_text(json.dumps(flat))
    (folder / _DONE).write_text(begun)
    for part in (*parts, folder / _BEGUN):
        part.unlink()


def _next_part(filled: "IMapIterator[tuple[int, list[dict]]]") -> tuple[int, list[dict]] | None:
    """What a process has finished; None where nothing is after a moment."""
    try:
        return filled.next(timeout=_MOMENT_S)
    except multiprocessing.TimeoutError:
        return None


def open_corpus(folder: Path) -> Corpus:
    """A finished corpus; DatasetError where it is missing or was made with other categories."""
    if not (folder / _DONE).exists():
        raise DatasetError(
            f"No finished corpus in {folder}.", remedy="Run `python -m backend train starter`."
        )
    made = json.loads((folder / _DONE).read_text())
    if made["categories"] != list(CATEGORIES):
        raise DatasetError(
            f"The corpus in {folder} was made with other categories.",
            remedy="Delete the folder and train again.",
        )
    settings = CorpusSettings.from_dict(made["settings"])
    records = json.loads((folder / "records.json").read_text())
    try:
        arrays = _open(folder, settings, "r")
    except FileNotFoundError as error:
        raise DatasetError(
            f"The corpus in {folder} lacks {Path(error.filename).name}: an earlier version made it.",
            remedy="Delete the folder and train again.",
        ) from error
    return Corpus(settings, **arrays, records=records)


def _part_name(start: int | str) -> str:
    return f"records-{start}.json"


def _open(folder: Path, s: CorpusSettings, mode: str) -> dict[str, np.ndarray]:
    points = s.uniform_points + s.near_points
    arrays = {
        "images": (np.uint8, (s.views, s.image_size, s.image_size, 3)),
        "masks": (np.uint8, (s.views, s.image_size, s.image_size // 8)),
        "cameras": (np.float32, (s.views, 3)),
        "points": (np.float16, (points, 3)),
        "distances": (np.float16, (points,)),
        "colors": (np.uint8, (s.near_points, 3)),
        "parts": (np.float16, (layout.SLOTS, layout.COLUMNS)),
    }
    if mode == "r":
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in arrays}
    return {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode, dtype, (s.shapes, *shape))
        for name, (dtype, shape) in arrays.items()
    }


def _fill(job: tuple[Path, CorpusSettings, int, int]) -> tuple[int, list[dict]]:
    folder, settings, start, stop = job
    arrays = {p.stem: np.load(p, mmap_mode="r+") for p in folder.glob("*.npy")}
    return start, [_fill_one(arrays, settings, i) for i in range(start, stop)]


def _fill_one(arrays: dict[str, np.ndarray], settings: CorpusSettings, index: int) -> dict:
    sample, rng = sample_of(settings, index)
    for v in range(settings.views):
        camera = (rng.uniform(0, 360), rng.uniform(-5, 40), rng.uniform(1.5, 1.9))
        light = np.array(LIGHT) + rng.normal(0, 0.25, 3)
        ambient = float(rng.uniform(0.35, 0.65)) if rng.random() > 0.1 else 1.0
        world = world_matrix(*camera)
        image = render(sample.shape, world, settings.image_size, light=tuple(light), ambient=ambient)
        arrays["images"][index, v] = np.round(image.rgb * 255).astype(np.uint8)
        arrays["masks"][index, v] = np.packbits(image.mask, axis=-1)
        arrays["cameras"][index, v] = camera
    if settings.uniform_points + settings.near_points:
        points = sample_points(sample.shape, rng, settings.uniform_points, settings.near_points)
        arrays["points"][index] = points.position
        arrays["distances"][index] = points.distance
        arrays["colors"][index] = np.round(points.rgb[settings.uniform_points :] * 255).astype(np.uint8)
    arrays["parts"][index] = part_table(sample.shape)
    draw = sample.draw
    return {
        "category": sample.category.name,
        "kind": draw.kind,
        "facts": draw.facts,
        "paints": {name: [m.color, m.pattern] for name, m in draw.paints.items()},
        "parts": list(sample.shape.names[: layout.SLOTS]),
        "captions": [describe(sample, rng).text for _ in range(settings.captions)],
    }
