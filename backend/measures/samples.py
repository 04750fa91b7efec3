"""What the measures see of shapes, of results and true shapes alike: a few pictures and a point set of each.

True shapes come from the shape programs, from seeds of their own, and go through the same steps as results:
a mesh, its pictures by the rasteriser, points spread over its surface.
"""

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.config import Settings, bounded
from backend.datasets.procedural.categories import CATEGORIES, make
from backend.evaluation_cache import Arrays, cached
from backend.measures.points import sample_surface
from backend.mesh import TriMesh
from backend.rendering.turntable import turntable_views
from backend.true_shapes import shape_mesh

MESH_RESOLUTION = 48
"""Grid cells per axis of the true shapes' meshes."""
_SAMPLE_STREAM = 0x53414D50
"""Sets these shapes apart from every corpus, from the prompts and from the judges' references."""


@dataclass(frozen=True)
class SampleSettings(Settings):
    """How much is seen of how many shapes."""

    shapes: int = bounded(40, 2, 10_000)
    """True shapes per category."""
    views: int = bounded(4, 1, 64)
    view_size: int = bounded(64, 32, 512)
    """Pixels per side of a picture."""
    points: int = bounded(2048, 64, 100_000)
    seed: int = bounded(0, 0, 2**31)


@dataclass(frozen=True)
class Samples:
    """N shapes, as seen."""

    images: NDArray[np.uint8]
    """[N, V, S, S, 3] on white, framed to fill the picture."""
    points: NDArray[np.float32]
    """[N, P, 3] in each shape's own box."""
    categories: NDArray[np.str_]
    """[N]"""
    colors: NDArray[np.str_]
    """[N] named colour or pattern of the main part."""

    def __len__(self) -> int:
        return len(self.categories)

    def __getitem__(self, chosen: NDArray[np.bool_] | slice) -> "Samples":
        return Samples(self.images[chosen], self.points[chosen], self.categories[chosen], self.colors[chosen])


def see_mesh(
    mesh: TriMesh, settings: SampleSettings, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures [V, S, S, 3] and points [P, 3] of a mesh; MeshError where it has no surface."""
    points = sample_surface(mesh, settings.points, rng)
    return np.stack(turntable_views(mesh, settings.views, settings.view_size)), points


def draw_samples(
    settings: SampleSettings,
    *,
    categories: tuple[str, ...] = tuple(CATEGORIES),
    cache: Path | None = None,
    workers: int = 0,
) -> Samples:
    """`settings.shapes` fresh true shapes of every category, category by category, kinds in turn.

    workers: processes that draw; 0 takes all cores.
    """

    def draw() -> Arrays:
        jobs = [(settings, name) for name in categories]
        if workers == 1:
            parts = [_draw_category(job) for job in jobs]
        else:
            with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count()) as pool:
                parts = pool.map(_draw_category, jobs, chunksize=1)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    key = {**settings.to_dict(), "categories": list(categories)}
    return Samples(**cached(cache, "shapes", key, draw))


def _draw_category(job: tuple[SampleSettings, str]) -> Arrays:
    settings, name = job
    rng = np.random.default_rng([_SAMPLE_STREAM, settings.seed, list(CATEGORIES).index(name)])
    kinds = list(CATEGORIES[name].kinds)
    images, points, colors = [], [], []
    for i in range(settings.shapes):
        sample = make(name, rng, kind=kinds[i % len(kinds)])
        seen = see_mesh(shape_mesh(sample.shape, resolution=MESH_RESOLUTION), settings, rng)
        images.append(seen[0])
        points.append(seen[1])
        paints = list(sample.draw.paints.values())
        colors.append(paints[0].named if paints else sample.draw.main().named)
    return {
        "images": np.stack(images),
        "points": np.stack(points),
        "categories": np.array([name] * settings.shapes),
        "colors": np.array(colors),
    }
