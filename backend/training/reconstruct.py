"""Training of the starter's SVR model: one image in, occupancy and colour at labelled points out."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.datasets.procedural.corpus import Corpus
from backend.svr.base import SvrModel

UNIFORM, NEAR, COLORED = 512, 1024, 320
"""Points per shape and step: spread over the cube, around the surface, and those of them with a colour."""
AVERAGED, VIEWS = 6, 3
"""Shapes of a batch whose code is the mean over several views, and those views: such codes are the targets
of the mappers, so the decoder has to know them."""
COLOR_WEIGHT = 1.0
SOFTNESS = 0.006
"""Distance at which a point counts as 73 % inside or outside. What lies nearer to the surface than the model
can tell is noise to it with hard labels, and most of their loss."""


class ReconstructionLoss:
    """Loss of a step: occupancy cross entropy at points, and colour L1 near the surface."""

    def __init__(self, model: SvrModel, corpus: Corpus, batch: int) -> None:
        self._model = model
        self._corpus = corpus
        self._batch = batch

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        corpus = self._corpus
        shapes = np.sort(rng.choice(len(corpus), self._batch, replace=False))
        spread = rng.choice(corpus.settings.uniform_points, UNIFORM, replace=False)
        near = corpus.settings.uniform_points + rng.choice(corpus.settings.near_points, NEAR, replace=False)
        order = np.concatenate([near, spread])
        points = torch.from_numpy(corpus.points[shapes][:, order].astype(np.float32))  # [B, P, 3]
        distances = torch.from_numpy(corpus.distances[shapes][:, order].astype(np.float32))
        colored = near[:COLORED] - corpus.settings.uniform_points
        colors = torch.from_numpy(corpus.colors[shapes][:, colored].astype(np.float32) / 255)
        field = self._model.field(mixed_codes(self._model, corpus, shapes, rng))
        logits = field.occupancy(points)
        occupancy = F.binary_cross_entropy_with_logits(logits, torch.sigmoid(-distances / SOFTNESS))
        error = (field.color(points[:, :COLORED]) - colors).abs().mean(-1)
        surface = (distances[:, :COLORED].abs() < 0.03).float()
        return {
            "occupancy": occupancy,
            "color": COLOR_WEIGHT * (error * surface).sum() / surface.sum().clamp_min(1),
        }


def mixed_codes(model: SvrModel, corpus: Corpus, shapes: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Codes [B, C] of shapes: of one random view each, but averaged over several views for some of them."""
    count, views = corpus.settings.views, min(VIEWS, corpus.settings.views)
    averaged = rng.permutation(len(shapes))[: min(AVERAGED, len(shapes) // 2)]
    first = rng.integers(count, size=len(shapes))
    more = [(first[averaged] + i) % count for i in range(1, views)]
    rows = np.concatenate([np.arange(len(shapes)), *[averaged] * len(more)])
    codes = model.encode(image_batch(corpus, shapes[rows], np.concatenate([first, *more])))
    weights = torch.eye(len(shapes))[:, rows]  # [B, images]
    return (weights / weights.sum(1, keepdim=True)) @ codes


def image_batch(corpus: Corpus, shapes: np.ndarray, views: np.ndarray) -> Tensor:
    """Images [B, 3, S, S] in [0, 1] of the given shapes and views, in channels-last memory."""
    pixels = np.stack([corpus.images[i, v] for i, v in zip(shapes, views, strict=True)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)


@torch.no_grad()
def point_iou(model: SvrModel, corpus: Corpus, *, view: int = 0) -> dict[str, float]:
    """Mean IoU per category of single-view reconstructions, at the corpus's uniform points."""
    model.eval()
    per_category: dict[str, list[float]] = {}
    uniform = corpus.settings.uniform_points
    for start in range(0, len(corpus), 32):
        shapes = np.arange(start, min(start + 32, len(corpus)))
        images = image_batch(corpus, shapes, np.full(len(shapes), view))
        points = torch.from_numpy(corpus.points[shapes, :uniform].astype(np.float32))
        inside = torch.from_numpy(corpus.distances[shapes, :uniform] < 0)
        guess = model.occupancy(points, model.encode(images)) > model.spec.iso_logit
        iou = (guess & inside).sum(1) / (guess | inside).sum(1).clamp_min(1)
        for i, value in zip(shapes, iou.tolist(), strict=True):
            per_category.setdefault(corpus.records[i]["category"], []).append(value)
    return {name: float(np.mean(values)) for name, values in per_category.items()}
