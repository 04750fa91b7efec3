"""The procedural corpus behind the interface that all data sets share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from backend.cameras import FOCAL
from backend.datasets.base import Dataset, DataSettings, LabelledPoints, Picture, Record, View
from backend.datasets.image_file import on_white
from backend.datasets.procedural.corpus import Corpus, open_corpus
from backend.datasets.procedural.views import world_matrix


@dataclass
class ProceduralSet(Dataset):
    """A finished corpus; pictures are shaded, points carry the plain colour where they are near the
    surface."""

    layout: ClassVar[str] = "procedural"
    title: ClassVar[str] = "procedural shapes"

    corpus: Corpus | None = None
    """Opened from the settings' folder where it is None."""
    _rows: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, corpus: Corpus) -> "ProceduralSet":
        """The whole of an opened corpus."""
        return cls(DataSettings(layout="procedural"), corpus=corpus)

    def __post_init__(self) -> None:
        corpus = self.corpus = self.corpus or open_corpus(Path(self.settings.folder))
        chosen = self.settings.categories
        self._rows = [
            row for row, record in enumerate(corpus.records) if not chosen or record["category"] in chosen
        ]
        views = corpus.settings.views
        self.records = [
            Record(
                f"{corpus.settings.seed}/{row}",
                corpus.records[row]["category"],
                views,
                views,
                tuple(corpus.records[row]["captions"]),
            )
            for row in self._rows
        ]

    @property
    def has_points(self) -> bool:
        return self._corpus.settings.uniform_points > 0

    @property
    def has_colors(self) -> bool:
        return self.has_points

    @property
    def has_parts(self) -> bool:
        return True

    @property
    def shaded(self) -> bool:
        return True

    def input(self, shape: int, number: int) -> Picture:
        rgb, mask = self._picture(shape, number)
        return Picture(rgb, mask.astype(np.float32))

    def view(self, shape: int, number: int) -> View:
        rgb, mask = self._picture(shape, number)
        camera = world_matrix(*self._corpus.cameras[self._rows[shape], number].astype(np.float64))
        lens = np.diag([FOCAL, FOCAL, 1.0, 1.0]).astype(np.float32)
        return View(on_white(rgb, mask.astype(np.float32)), mask, camera.astype(np.float32), lens)

    def points(self, shape: int) -> LabelledPoints:
        corpus, row = self._corpus, self._rows[shape]
        uniform = corpus.settings.uniform_points
        colors = np.full((corpus.points.shape[1], 3), np.nan, np.float32)
        colors[uniform:] = corpus.colors[row].astype(np.float32) / 255
        distances = corpus.distances[row].astype(np.float32)
        colors[np.abs(distances) >= COLORED_WITHIN] = np.nan
        return LabelledPoints(corpus.points[row].astype(np.float32), distances < 0, colors)

    def parts(self, shape: int) -> np.ndarray:
        return self._corpus.parts[self._rows[shape]].astype(np.float32)

    @property
    def _corpus(self) -> Corpus:
        assert self.corpus is not None
        return self.corpus

    def _picture(self, shape: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        corpus, row = self._corpus, self._rows[shape]
        mask = np.unpackbits(corpus.masks[row, number], axis=-1).astype(bool)
        return np.asarray(corpus.images[row, number]), mask


COLORED_WITHIN = 0.03
"""A point's colour counts so near to the surface."""
