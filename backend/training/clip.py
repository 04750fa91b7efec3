"""Training of the starter's small CLIP on images and captions of procedural shapes."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.clip_encoder import ClipEncoder
from backend.datasets.procedural.corpus import Corpus
from backend.training.reconstruct import image_batch

BACKGROUND_SHARE = 0.35
"""Share of images that get a flat random background: later stages show CLIP such images."""
CROP = 0.25
"""Largest part of a side that a random crop or margin takes."""


class ContrastiveLoss:
    """CLIP's symmetric cross entropy over a batch; identical captions count as the same text."""

    def __init__(self, clip: ClipEncoder, corpus: Corpus, batch: int) -> None:
        self._clip = clip
        self._corpus = corpus
        self._batch = batch

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        corpus = self._corpus
        shapes = np.sort(rng.choice(len(corpus), self._batch, replace=False))
        views = rng.integers(corpus.settings.views, size=self._batch)
        texts = [str(rng.choice(corpus.records[i]["captions"])) for i in shapes]
        images = augment(image_batch(corpus, shapes, views), mask_batch(corpus, shapes, views), rng)
        image_features = F.normalize(self._clip.encode_image_raw(images), dim=-1)
        text_features = F.normalize(self._clip.encode_text_raw(texts), dim=-1)
        logits = (
            self._clip.model.logit_scale.exp().clamp(max=100) * image_features @ text_features.T
        )  # [B, B]
        same = torch.tensor([[a == b for b in texts] for a in texts], dtype=torch.float32)
        targets = same / same.sum(1, keepdim=True)
        loss = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
        return {"contrastive": loss}


def mask_batch(corpus: Corpus, shapes: np.ndarray, views: np.ndarray) -> Tensor:
    """Object masks [B, 1, S, S] in {0, 1}."""
    bits = np.stack([corpus.masks[i, v] for i, v in zip(shapes, views, strict=True)])
    return torch.from_numpy(np.unpackbits(bits, axis=-1).astype(np.float32))[:, None]


def augment(images: Tensor, masks: Tensor, rng: np.random.Generator) -> Tensor:
    """Random flat backgrounds, then one random shift and scale per image (outside is background)."""
    b = len(images)
    flat = torch.from_numpy(rng.random((b, 3, 1, 1), np.float32))
    chosen = torch.from_numpy(rng.random(b) < BACKGROUND_SHARE)[:, None, None, None].float()
    images = images * masks + (1 - masks) * (chosen * flat + (1 - chosen))
    scale = rng.uniform(1 - CROP, 1 + CROP, (b, 1, 1))
    shift = rng.uniform(-0.12, 0.12, (b, 2, 1))
    theta = np.concatenate([np.eye(2)[None] * scale, shift], -1).astype(np.float32)  # [B, 2, 3]
    grid = F.affine_grid(torch.from_numpy(theta), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@torch.no_grad()
def retrieval(clip: ClipEncoder, corpus: Corpus, *, held_out: int = 512) -> dict[str, float]:
    """Share of the corpus's first images whose category, and colour, the text "a COLOR CATEGORY" finds."""
    from backend.datasets.procedural.captions import plain_prompt
    from backend.datasets.procedural.categories import CATEGORIES
    from backend.datasets.procedural.materials import COLORS

    clip.eval()
    clip.forget_texts()
    names, colors = list(CATEGORIES), list(COLORS)
    texts = clip.encode_text([plain_prompt(n, c) for n in names for c in colors])
    right, right_color, colored = 0, 0, 0
    count = min(held_out, len(corpus))
    images = image_batch(corpus, np.arange(count), np.zeros(count, int))
    best = (clip.encode_image(images) @ texts.T).argmax(-1).tolist()
    for i, choice in enumerate(best):
        record = corpus.records[i]
        right += names[choice // len(colors)] == record["category"]
        color, pattern = next(iter(record["paints"].values()))
        if pattern == "plain":
            colored += 1
            right_color += colors[choice % len(colors)] == color
    return {"category": right / count, "color": right_color / max(colored, 1)}
