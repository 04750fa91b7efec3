"""Images of a corpus as batches, and how well a model reconstructs shapes from them."""

import numpy as np
import torch
from torch import Tensor

from backend.datasets.procedural.corpus import Corpus
from backend.svr.base import SvrModel


def image_batch(
    corpus: Corpus, shapes: np.ndarray, views: np.ndarray, device: torch.device | None = None
) -> Tensor:
    """Images [B, 3, S, S] in [0, 1] of the given shapes and views, in channels-last memory."""
    pixels = np.stack([corpus.images[i, v] for i, v in zip(shapes, views, strict=True)])
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div(255)


@torch.no_grad()
def point_iou(model: SvrModel, corpus: Corpus, *, view: int = 0) -> dict[str, float]:
    """Mean IoU per category of single-view reconstructions, at the corpus's uniform points."""
    model.eval()
    per_category: dict[str, list[float]] = {}
    uniform = corpus.settings.uniform_points
    for start in range(0, len(corpus), 32):
        shapes = np.arange(start, min(start + 32, len(corpus)))
        images = image_batch(corpus, shapes, np.full(len(shapes), view), model.device)
        points = torch.from_numpy(corpus.points[shapes, :uniform].astype(np.float32)).to(model.device)
        inside = torch.from_numpy(corpus.distances[shapes, :uniform] < 0).to(model.device)
        guess = model.occupancy(points, model.encode(images)) > model.spec.iso_logit
        iou = (guess & inside).sum(1) / (guess | inside).sum(1).clamp_min(1)
        for i, value in zip(shapes, iou.tolist(), strict=True):
            per_category.setdefault(corpus.records[i]["category"], []).append(value)
    return {name: float(np.mean(values)) for name, values in per_category.items()}
