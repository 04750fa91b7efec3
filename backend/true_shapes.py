"""Procedural shapes in the place of a model: what the judges say of true shapes is their own error.

`python -m backend evaluate --suite judges` runs the starter's figures on the very shapes that the prompts
describe. A figure that true shapes do not reach says nothing about a model.
"""

from collections.abc import Iterable

import numpy as np

from backend.datasets.procedural.categories import CATEGORIES, Sample, make
from backend.datasets.procedural.shape import PackedShape
from backend.datasets.procedural.views import label
from backend.errors import EmptyShapeError
from backend.evaluation import Maker, Outcome
from backend.mesh import TriMesh

RESOLUTION = 72
"""Grid cells per axis of the meshes."""


def shape_mesh(shape: PackedShape, *, resolution: int = RESOLUTION) -> TriMesh:
    """The closed, coloured mesh of a procedural shape, by marching cubes of its distance."""
    from skimage.measure import marching_cubes

    axis = ((np.arange(resolution) + 0.5) / resolution - 0.5).astype(np.float32)
    cells = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = label(shape, cells).distance.reshape(resolution, resolution, resolution)
    padded = np.pad(distance, 1, constant_values=1.0)
    corners, faces, _, _ = marching_cubes(padded, 0.0, gradient_direction="descent")
    vertices = ((corners - 0.5) / resolution - 0.5).astype(np.float32)
    return TriMesh(vertices, faces, label(shape, vertices).rgb)


def true_maker(described: Iterable[tuple[str, Sample]]) -> Maker:
    """Answers every prompt with the shape that it describes; other prompts must be a kind's plain noun.

    CLIP scores are all 1, so stage 2 counts as kept.
    """
    known: dict[str, Sample] = {}
    for text, sample in described:
        known.setdefault(text, sample)

    def build(prompt: str, seed: int) -> Outcome:
        sample = known.get(prompt) or _named(prompt, seed)
        return Outcome(shape_mesh(sample.shape), 1.0, 1.0, 0.0)

    return build


def _named(prompt: str, seed: int) -> Sample:
    """A random shape of "a NOUN"."""
    noun = prompt.partition(" ")[2]
    rng = np.random.default_rng([0x54525545, seed])
    for name, category in CATEGORIES.items():
        for kind, entry in category.kinds.items():
            if noun == entry.nouns[0]:
                return make(name, rng, kind=kind)
        if noun in category.nouns:
            return make(name, rng)
    raise EmptyShapeError(f"No true shape is known for {prompt!r}.", remedy="Name a category or a kind.")
