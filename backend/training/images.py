"""Further training of CLIP's image tower beside texts and shapes that stay: the mirror of `words`.

What a mapper was taught to read, text features and the shape tower, stays valid, so that the eyes of a small
CLIP can be sharpened at any time (our choice).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.clip_encoder import ClipEncoder
from backend.datasets.procedural.captions import plain_prompt
from backend.datasets.procedural.categories import CATEGORIES
from backend.datasets.procedural.corpus import Corpus
from backend.datasets.procedural.materials import COLORS
from backend.device import autocast
from backend.training.clip import augment, mask_batch
from backend.training.contrast import contrastive_loss
from backend.training.reconstruct import image_batch

SHAPE_WEIGHT = 0.5
"""Weight of the contrast of images and shapes beside that of images and captions."""
NAMED_WEIGHT = 0.5
"""Weight of the choice among all "a COLOR CATEGORY"."""


class ImagesLoss:
    """Contrast of images with captions and with shapes, and the choice of category and colour among the
    plainest texts; only the image tower has gradients."""

    def __init__(
        self, clip: ClipEncoder, corpus: Corpus, texts: Tensor, shapes: Tensor, batch: int,
        precision: str = "float32",
    ) -> None:  # fmt: skip
        """texts: unit features [N, T, F] of the first T captions of the corpus's shapes. shapes: the shape
        tower's features of them [N, F]."""
        self._clip = clip
        self._corpus = corpus
        self._texts = texts.to(clip.device)
        self._shapes = shapes.to(clip.device)
        self._batch = batch
        self._precision = precision
        clip.model.requires_grad_(False)
        clip.model.visual.requires_grad_(True)
        self._names, self._colors = list(CATEGORIES), list(COLORS)
        with torch.no_grad():
            self._plain = clip.encode_text([plain_prompt(n, c) for n in self._names for c in self._colors])

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        corpus = self._corpus
        rows = np.sort(rng.choice(len(corpus), self._batch, replace=False))
        views = rng.integers(corpus.settings.views, size=self._batch)
        which = rng.integers(self._texts.shape[1], size=self._batch)
        records = [corpus.records[row] for row in rows]
        captions = [record["captions"][i] for record, i in zip(records, which, strict=True)]
        device = self._clip.device
        masks = mask_batch(corpus, rows, views, device)
        images = augment(image_batch(corpus, rows, views, device), masks, rng)
        with autocast(images.device, self._precision):
            features = F.normalize(self._clip.encode_image_raw(images).float(), dim=-1)
        scale = self._clip.model.logit_scale.exp().clamp(max=100)
        shapes = [str(row) for row in rows]
        return {
            "contrastive": contrastive_loss(features, self._texts[rows, which].float(), captions, scale),
            "shape_image": SHAPE_WEIGHT * contrastive_loss(features, self._shapes[rows], shapes, scale),
            "named": NAMED_WEIGHT * self._named(scale * features @ self._plain.T, records),
        }

    def _named(self, logits: Tensor, records: list[dict]) -> Tensor:
        """Cross entropy of the category, and of the colour where the main part is plainly painted, from
        logits [B, categories x colours]."""
        each = logits.log_softmax(-1).unflatten(-1, (len(self._names), len(self._colors)))
        device = logits.device
        kinds = torch.tensor([self._names.index(record["category"]) for record in records], device=device)
        loss = F.nll_loss(each.logsumexp(2), kinds)
        main = [next(iter(record["paints"].values())) for record in records]
        plain = [i for i, (_, pattern) in enumerate(main) if pattern == "plain"]
        if not plain:
            return loss
        colors = torch.tensor([self._colors.index(main[i][0]) for i in plain], device=device)
        return loss + F.nll_loss(each[plain].logsumexp(1), colors)
