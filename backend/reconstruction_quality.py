"""Single image to shape: how well fresh procedural shapes are rebuilt from one view."""

from collections.abc import Generator

import numpy as np
import torch

from backend.bundles import Bundle
from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.views import occupancy_grid, render, world_matrix
from backend.judges.solid import overlap
from backend.pipeline import Seen, candidates
from backend.recipe import Recipe
from backend.starter_suite import Figure

GRID = 32
"""Cells per axis of the compared grids, in the shape's own place in the cube."""
MORE = 8
"""How many times more images of the worst category are looked at than of each."""
_IMAGE_STREAM = 0x494D4147


def image_figures(bundle: Bundle, per_category: int, *, seed: int = 0) -> Generator[int, None, list[Figure]]:
    """Mean IoU over all categories and of the worst; yields the number of images done.

    Among many means of few images the lowest is low by chance too: which category is the worst is found with
    the images of the first figure, how bad it is with MORE times as many others.
    """
    means: dict[str, float] = {}
    done = 0
    for name in CATEGORIES:
        means[name], done = yield from _mean_overlap(bundle, name, range(per_category), seed, done)
    mean, worst = round(float(np.mean(list(means.values()))), 4), min(means, key=means.__getitem__)
    figure = Figure("single image to shape: mean IoU", mean, 0.75, done, details=means)
    others = range(per_category, (1 + MORE) * per_category)
    again, _ = yield from _mean_overlap(bundle, worst, others, seed, done)
    details = {worst: again, "at first": means[worst]}
    return [
        figure,
        Figure("single image to shape: worst category", again, 0.55, len(others), details=details),
    ]


def _mean_overlap(
    bundle: Bundle, name: str, indices: range, seed: int, done: int
) -> Generator[int, None, tuple[float, int]]:
    """Mean IoU of images of a category; yields and returns the number of images done beside it."""
    found = []
    for index in indices:
        found.append(image_overlap(bundle, name, index, seed=seed))
        done += 1
        yield done
    return round(float(np.mean(found)), 4), done


@torch.no_grad()
def image_overlap(bundle: Bundle, name: str, index: int, *, seed: int = 0) -> float:
    """IoU, on GRID cells per axis, of a fresh shape of a category with what `generate --image` proposes first
    for an image of it, before CLIP's ranking and stage 2.

    Views are drawn as the corpus draws them: any azimuth, from a little below to well above.
    """
    axis = (torch.arange(GRID) + 0.5) / GRID - 0.5
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(1, -1, 3)
    rng = np.random.default_rng([_IMAGE_STREAM, seed, list(CATEGORIES).index(name), index])
    shape = make(name, rng).shape
    view = world_matrix(rng.uniform(0, 360), rng.uniform(-5, 40), rng.uniform(1.5, 1.9))
    image = torch.from_numpy(render(shape, view, bundle.spec.image_size).rgb).permute(2, 0, 1)
    code = image_code(bundle, image[None].to(bundle.device), seed=index)
    logits = bundle.svr.field(code[None]).occupancy(cells.to(bundle.device))
    solid = (logits[0] > bundle.settings.render.iso_logit).cpu().numpy().reshape(GRID, GRID, GRID)
    return overlap(solid, occupancy_grid(shape, GRID))


@torch.no_grad()
def image_code(bundle: Bundle, image: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
    """The first code [C] that a bundle proposes for an image [1, 3, S, S]."""
    recipe = Recipe(seed=seed, settings=bundle.settings)
    feature, seen = bundle.clip.encode_image(image)[0], Seen(image, bundle.svr.encode(image)[0])
    if bundle.mapper is None:
        return seen.code
    return candidates(bundle, recipe, feature, seen)[0]
