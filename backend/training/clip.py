"""Training of the starter's small CLIP on images and captions of procedural shapes."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.clip_encoder import ClipEncoder
from backend.datasets.procedural.corpus import Corpus
from backend.device import autocast
from backend.shape_tower import ShapeTower
from backend.training.contrast import contrastive_loss
from backend.training.reconstruct import image_batch

BACKGROUND_SHARE = 0.35
"""Share of images that get a flat random background: later stages show CLIP such images."""
HEAD_SCALE = 10.0
"""Unit features are stretched by this before the linear heads."""
HEAD_WEIGHT = 0.3
"""Weight of each head's loss beside the contrastive one."""
CROP = 0.25
"""Largest part of a side that a random crop or margin takes."""
SHAPE_TEXT, SHAPE_IMAGE = 1.0, 0.5
"""Weights of the shape tower's contrastive losses beside that of images and texts."""
MORE_TEXTS = 128
"""Further pairs of shape and caption per step; they cost no image."""


@dataclass(frozen=True)
class DescribedShapes:
    """Shapes of which no image is needed."""

    codes: Tensor
    """[N, C]"""
    captions: list[list[str]]


class ClipStudent(nn.Module):
    """The CLIP in training, with linear heads that name category, sub-type and main material.

    The heads read image and text features alike, which pulls both towards the same directions; they speed
    the training up several times and are dropped afterwards (our choice). So is the shape tower, which sees
    a shape's code: no image shows that a chair has no armrests as clearly as its parts do.
    """

    def __init__(
        self, clip: ClipEncoder, classes: dict[str, list[str]], feature_size: int, code_size: int
    ) -> None:
        """`classes` maps a record's key to its values."""
        super().__init__()
        self.clip = clip
        self.classes = {key: {v: i for i, v in enumerate(values)} for key, values in classes.items()}
        self.heads = nn.ModuleDict({k: nn.Linear(feature_size, len(v)) for k, v in classes.items()})
        self.shape_tower = ShapeTower(code_size, feature_size)


class ContrastiveLoss:
    """CLIP's symmetric cross entropy over a batch; identical captions count as the same text. To it the
    heads' cross entropies are added, of all classes for images and of the category for texts, and the
    contrastive losses of the shape tower."""

    def __init__(
        self, student: ClipStudent, corpus: Corpus, codes: Tensor, described: DescribedShapes, batch: int,
        precision: str = "float32",
    ) -> None:  # fmt: skip
        """codes: of the corpus's shapes [N, C]. described: further shapes."""
        self._student = student
        self._corpus = corpus
        self._codes = codes
        self._described = described
        self._device = student.clip.device
        self._batch = batch
        self._precision = precision

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        corpus, student = self._corpus, self._student
        shapes = np.sort(rng.choice(len(corpus), self._batch, replace=False))
        views = rng.integers(corpus.settings.views, size=self._batch)
        records = [corpus.records[i] for i in shapes]
        texts = [str(rng.choice(record["captions"])) for record in records]
        masks = mask_batch(corpus, shapes, views, self._device)
        images = augment(image_batch(corpus, shapes, views, self._device), masks, rng)
        more = rng.integers(len(self._described.captions), size=MORE_TEXTS)
        words = [*texts, *(str(rng.choice(self._described.captions[i])) for i in more)]
        with autocast(images.device, self._precision):
            image_features = F.normalize(student.clip.encode_image_raw(images).float(), dim=-1)
            all_texts = F.normalize(student.clip.encode_text_raw(words).float(), dim=-1)
        codes = torch.cat([self._codes[shapes], self._described.codes[more]]).to(self._device)
        all_shapes = student.shape_tower(codes)
        text_features, shape_features = all_texts[: self._batch], all_shapes[: self._batch]
        scale = student.clip.model.logit_scale.exp().clamp(max=100)
        losses = {
            "contrastive": contrastive_loss(image_features, text_features, texts, scale),
            "shape_text": SHAPE_TEXT * contrastive_loss(all_shapes, all_texts, words, scale),
            "shape_image": SHAPE_IMAGE
            * contrastive_loss(image_features, shape_features, [str(shape) for shape in shapes], scale),
        }
        for key, indices in student.classes.items():
            named = [indices[label_of(record, key)] for record in records]
            labels = torch.tensor(named, device=self._device)
            error = F.cross_entropy(student.heads[key](image_features * HEAD_SCALE), labels)
            if key == "category":
                error = error + F.cross_entropy(student.heads[key](text_features * HEAD_SCALE), labels)
            losses[key] = HEAD_WEIGHT * error
        return losses


def label_of(record: dict, key: str) -> str:
    """The class of a corpus record: its category, its kind, or the look of its main part."""
    if key == "look":
        color, pattern = next(iter(record["paints"].values()))
        return color or pattern
    return record[key] if key == "category" else f"{record['category']} {record['kind']}"


def classes_of(corpus: Corpus) -> dict[str, list[str]]:
    """All classes that a corpus names, by key."""
    keys = ("category", "kind", "look")
    return {key: sorted({label_of(record, key) for record in corpus.records}) for key in keys}


def mask_batch(
    corpus: Corpus, shapes: np.ndarray, views: np.ndarray, device: torch.device | None = None
) -> Tensor:
    """Object masks [B, 1, S, S] in {0, 1}."""
    bits = np.stack([corpus.masks[i, v] for i, v in zip(shapes, views, strict=True)])
    return torch.from_numpy(np.unpackbits(bits, axis=-1)).to(device).float()[:, None]


def augment(images: Tensor, masks: Tensor, rng: np.random.Generator) -> Tensor:
    """Random flat backgrounds, then one random shift and scale per image (outside is background)."""
    b, device = len(images), images.device
    flat = torch.from_numpy(rng.random((b, 3, 1, 1), np.float32)).to(device)
    chosen = torch.from_numpy(rng.random(b) < BACKGROUND_SHARE).to(device)[:, None, None, None].float()
    images = images * masks + (1 - masks) * (chosen * flat + (1 - chosen))
    scale = rng.uniform(1 - CROP, 1 + CROP, (b, 1, 1))
    shift = rng.uniform(-0.12, 0.12, (b, 2, 1))
    theta = np.concatenate([np.eye(2)[None] * scale, shift], -1).astype(np.float32)  # [B, 2, 3]
    grid = F.affine_grid(torch.from_numpy(theta).to(device), list(images.shape), align_corners=False)
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
    images = image_batch(corpus, np.arange(count), np.zeros(count, int), clip.device)
    best = (clip.encode_image(images) @ texts.T).argmax(-1).tolist()
    for i, choice in enumerate(best):
        record = corpus.records[i]
        right += names[choice // len(colors)] == record["category"]
        color, pattern = next(iter(record["paints"].values()))
        if pattern == "plain":
            colored += 1
            right_color += colors[choice % len(colors)] == color
    return {"category": right / count, "color": right_color / max(colored, 1)}
