"""What results are measured against: true shapes, feature networks, the judges' voxels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.config import Settings, bounded
from backend.datasets.procedural.categories import CATEGORIES
from backend.judges.category import References
from backend.measures.feature_nets import FeatureNets, NetSettings, train_nets
from backend.measures.samples import Samples, SampleSettings, draw_samples

ImageFeatures = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Pictures [N, V, S, S, 3] to features [N, V, F]."""
_FRESH_SHARE = 4
"""One true shape of so many stands aside and is measured as if it were a result."""


@dataclass(frozen=True)
class MeasureSettings(Settings):
    """How much is compared with how much."""

    samples: SampleSettings = field(default_factory=SampleSettings)
    nets: NetSettings = field(default_factory=NetSettings)
    threshold: float = bounded(0.03, 0.001, 1.0)
    """Of the F-score, in longest sides of the shape's box; 2048 points lie about 0.02 apart."""


@dataclass(frozen=True)
class Ruler:
    """What results are measured against."""

    settings: MeasureSettings
    nets: FeatureNets
    of_images: ImageFeatures
    true: Samples
    """True shapes, the reference distribution."""
    fresh: Samples
    """Other true shapes: what a perfect model could reach."""
    voxels: References
    pictures: NDArray[np.uint8] | None = None
    """The user's own reference pictures [N, 1, S, S, 3] in place of the true shapes' ones."""
    point_sets: NDArray[np.float32] | None = None
    """The user's own reference shapes [N, P, 3]."""
    record: dict[str, Any] = field(default_factory=dict)
    """Says in the report what was measured with."""


def make_ruler(
    voxels: References,
    settings: MeasureSettings,
    *,
    categories: tuple[str, ...] = tuple(CATEGORIES),
    cache: Path | None = None,
    workers: int = 0,
    inception: Path | None = None,
    pictures: NDArray[np.uint8] | None = None,
    point_sets: NDArray[np.float32] | None = None,
) -> Ruler:
    """Draw true shapes and train the feature networks, or take both from the cache.

    inception: a weights file whose features replace our own for pictures. The networks are trained on shapes
    of another seed than those that results are compared with. workers: processes that draw, 0 for all cores.
    """
    wanted = settings.samples
    trained_on = wanted.replace(seed=wanted.seed + 1)
    learnt = draw_samples(trained_on, categories=categories, cache=cache, workers=workers)
    drawn = draw_samples(wanted, categories=categories, cache=cache, workers=workers)
    key = {**trained_on.to_dict(), "categories": list(categories)}
    nets = train_nets(learnt, settings.nets, key=key, cache=cache)
    of_images: ImageFeatures = nets.of_images
    if inception is not None:
        from backend.measures.inception import load_inception

        of_images = load_inception(inception)
    aside = np.arange(len(drawn)) % _FRESH_SHARE == 0
    record = {
        "settings": settings.to_dict(),
        "image_features": f"Inception v3 from {inception.name}" if inception else "trained here",
        "point_features": "trained here",
        "features_sha256": nets.sha256,
        "features_accuracy": nets.accuracy(drawn),
        "reference_pictures": "of true procedural shapes" if pictures is None else len(pictures),
        "reference_shapes": "true procedural shapes" if point_sets is None else len(point_sets),
    }
    return Ruler(settings, nets, of_images, drawn[~aside], drawn[aside], voxels, pictures, point_sets, record)
