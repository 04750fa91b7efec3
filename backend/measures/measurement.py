"""All measures of a set of results: FID, FPD, CLIP R-precision, and closeness to the nearest true shape.

A `Measurement` takes results one by one, and gives the figures of all and of each category.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.clip_encoder import ClipEncoder
from backend.datasets.procedural.categories import CATEGORIES
from backend.errors import MeshError
from backend.evaluation import PromptRow
from backend.judges.solid import mesh_solid
from backend.measures.frechet import fit_gaussian, frechet_distance, least_samples
from backend.measures.points import chamfer_distance, f_score
from backend.measures.retrieval import r_precision, shape_feature
from backend.measures.ruler import Ruler
from backend.measures.samples import Samples, see_mesh
from backend.mesh import TriMesh

FIGURES = ("fid", "fpd", "r_precision", "chamfer", "f_score", "iou")
"""In the order of tables; fid, fpd and chamfer are better small."""


@dataclass(frozen=True)
class _Seen:
    """One result; None where nothing came of it, or nothing was asked."""

    row: PromptRow
    images: NDArray[np.float32] | None = None
    """[V, F]"""
    points: NDArray[np.float32] | None = None
    """[F]"""
    feature: Tensor | None = None
    """[F], of CLIP."""
    clip: float | None = None
    """Cosine of pictures and text."""
    chamfer: float | None = None
    f_score: float | None = None
    iou: float | None = None


class Measurement:
    """Takes results and gives figures. `clip` says which text a result looks like."""

    def __init__(self, ruler: Ruler, clip: ClipEncoder) -> None:
        self._ruler, self._clip = ruler, clip
        self._seen: list[_Seen] = []

    def add(self, row: PromptRow, mesh: TriMesh | None) -> None:
        """Look at one result; None where nothing came of the prompt."""
        self._seen.append(_Seen(row) if mesh is None else self._look(row, mesh))

    def figures(self) -> dict[str, Any]:
        """The figures of all results (see FIGURES), of each category, what true shapes reach (`true`), and
        what was measured with (`record`). A figure that too little was seen for is None."""
        right = self._retrieved()
        names = sorted({seen.row.category for seen in self._seen if seen.row.category})
        by_category = {}
        for name in names:
            own = [i for i, seen in enumerate(self._seen) if seen.row.category == name]
            chosen = [self._seen[i] for i in own]
            by_category[name] = self._summary(chosen, [right[i] for i in own], [name], whole=False)
        prompts = len({seen.row.prompt for seen in self._seen})
        return {
            **self._summary(self._seen, right, names or list(CATEGORIES), whole=True),
            "true": self._true(names or list(CATEGORIES)),
            "chance": {"r_precision": round(1 / max(prompts, 1), 4)},
            "enough_for_frechet": self._enough(),
            "empty": sum(seen.images is None for seen in self._seen),
            "categories": by_category,
            "record": self._ruler.record,
        }

    def _enough(self) -> bool:
        """Whether both covariances have full rank; FID and FPD are mostly bias otherwise."""
        there = [seen for seen in self._seen if seen.images is not None and seen.points is not None]
        if not there:
            return False
        images, points = there[0].images, there[0].points
        assert images is not None and points is not None
        return len(there) * len(images) >= least_samples(images.shape[1]) and len(there) >= least_samples(
            len(points)
        )

    def _look(self, row: PromptRow, mesh: TriMesh) -> _Seen:
        ruler, settings = self._ruler, self._ruler.settings
        try:
            pictures, points = see_mesh(mesh, settings.samples, np.random.default_rng(settings.samples.seed))
        except MeshError:
            return _Seen(row)
        images = ruler.of_images(pictures[None])[0]
        feature = shape_feature(self._clip, torch.from_numpy(pictures).float() / 255)
        clip = float(feature @ self._clip.encode_text([row.prompt])[0].cpu())
        seen = _Seen(row, images, ruler.nets.of_points(points[None])[0], feature, clip)
        rivals = ruler.true.points[ruler.true.categories == row.category]
        if not len(rivals):
            return seen
        distances = [chamfer_distance(points, rival) for rival in rivals]
        nearest = int(np.argmin(distances))
        return _Seen(
            row, images, seen.points, feature, clip,
            chamfer=distances[nearest],
            f_score=f_score(points, rivals[nearest], settings.threshold),
            iou=ruler.voxels.similarity(mesh_solid(mesh), row.category),
        )  # fmt: skip

    def _retrieved(self) -> list[bool | None]:
        """Of each result whether CLIP finds its text first; None where there is but one text."""
        texts = sorted({seen.row.prompt for seen in self._seen})
        if len(texts) < 2:
            return [None] * len(self._seen)
        answers: list[bool | None] = [False] * len(self._seen)
        there = [i for i, seen in enumerate(self._seen) if seen.feature is not None]
        if not there:
            return answers
        features = torch.stack([f for seen in self._seen if (f := seen.feature) is not None])
        wanted = [texts.index(self._seen[i].row.prompt) for i in there]
        found = r_precision(features, self._clip.encode_text(texts).cpu(), wanted)
        for i, right in zip(there, found, strict=True):
            answers[i] = right
        return answers

    def _summary(
        self, seen: Sequence[_Seen], right: Sequence[bool | None], categories: list[str], *, whole: bool
    ) -> dict[str, Any]:
        """whole: the Frechet distances are given however few results there are."""
        true = _of(self._ruler.true, categories)
        images = [s.images for s in seen if s.images is not None]
        points = [s.points for s in seen if s.points is not None]
        known = [answer for answer in right if answer is not None]
        return {
            "shapes": len(seen),
            "fid": self._fid(np.concatenate(images) if images else None, true, whole=whole),
            "fpd": self._fpd(np.stack(points) if points else None, true, whole=whole),
            "r_precision": round(float(np.mean(known)), 4) if known else None,
            **{
                name: _mean([getattr(s, name) for s in seen])
                for name in ("clip", "chamfer", "f_score", "iou")
            },
        }

    def _fid(self, features: NDArray[np.float32] | None, true: Samples, *, whole: bool) -> float | None:
        pictures = true.images if self._ruler.pictures is None else self._ruler.pictures
        return _distance(features, lambda: _flat(self._ruler.of_images(pictures)), whole=whole)

    def _fpd(self, features: NDArray[np.float32] | None, true: Samples, *, whole: bool) -> float | None:
        sets = true.points if self._ruler.point_sets is None else self._ruler.point_sets
        return _distance(features, lambda: self._ruler.nets.of_points(sets), whole=whole)

    def _true(self, categories: list[str]) -> dict[str, Any]:
        """The Frechet distances of fresh true shapes, as many of each category as results where there are so
        many: what a perfect model would get from so few."""
        fresh, true = _of(self._ruler.fresh, categories), _of(self._ruler.true, categories)
        asked = Counter(seen.row.category for seen in self._seen)
        unnamed = -(-asked[""] // len(categories))  # spread evenly, rounded up
        keep = np.zeros(len(fresh), dtype=bool)
        for name in categories:
            keep[np.flatnonzero(fresh.categories == name)[: asked[name] + unnamed]] = True
        chosen = fresh[keep]
        if not len(chosen):
            return {"shapes": 0, "fid": None, "fpd": None}
        images, points = self._ruler.of_images(chosen.images), self._ruler.nets.of_points(chosen.points)
        return {
            "shapes": len(chosen),
            "fid": self._fid(_flat(images), true, whole=True),
            "fpd": self._fpd(points, true, whole=True),
        }


def _of(samples: Samples, categories: list[str]) -> Samples:
    return samples[np.isin(samples.categories, categories)]


def _flat(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, V, F] as [N * V, F]."""
    return features.reshape(-1, features.shape[-1])


def _distance(
    features: NDArray[np.float32] | None, reference: Callable[[], NDArray[np.float32]], *, whole: bool
) -> float | None:
    if features is None or len(features) < (2 if whole else least_samples(features.shape[1])):
        return None
    against = reference()
    if len(against) < 2:
        return None
    return round(frechet_distance(fit_gaussian(features), fit_gaussian(against)), 4)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None
