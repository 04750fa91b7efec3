"""Further training of CLIP's text tower beside a fixed image tower, and of the shape tower.

Texts and codes cost a hundredth of images, so what captions say of parts, colours and attributes is learned
from them, with hard negatives; the image features, computed once, keep the text tower where images are (our
choice).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backend.clip_encoder import ClipEncoder
from backend.datasets.procedural.rivals import altered
from backend.device import autocast
from backend.shape_tower import ShapeTower

IMAGE_WEIGHT = 0.5
"""Weight of the losses between images and texts, and images and shapes, beside that of shapes and texts."""
SEEN_SHARE = 0.25
"""Share of a batch that has images."""


@dataclass(frozen=True)
class CaptionedShapes:
    """Shapes as captions, codes and, where there are any, image features."""

    records: list[dict]
    """category and captions of each."""
    codes: Tensor
    """[N, C]"""
    images: Tensor | None = None
    """Unit image features [N, V, F]."""


class TextStudent(nn.Module):
    """A CLIP whose image tower is not trained, and a shape tower."""

    def __init__(self, clip: ClipEncoder, tower: ShapeTower) -> None:
        super().__init__()
        self.clip = clip
        self.shape_tower = tower
        clip.model.visual.requires_grad_(False)


class WordsLoss:
    """Contrast of texts with shapes and with images; every caption has an altered one beside it that fits
    neither."""

    def __init__(
        self, student: TextStudent, seen: CaptionedShapes, described: CaptionedShapes, batch: int,
        precision: str = "float32",
    ) -> None:  # fmt: skip
        """seen: with image features. described: further shapes."""
        self._student = student
        with_images = max(1, int(SEEN_SHARE * batch))
        self._sets = ((with_images, seen), (batch - with_images, described))
        self._precision = precision

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        student, device = self._student, self._student.clip.device
        texts, wrong, codes, images = [], [], [], None
        for count, shapes in self._sets:
            rows = np.sort(rng.choice(len(shapes.records), count, replace=False))
            codes.append(shapes.codes[rows].to(device))
            for row in rows:
                record = shapes.records[row]
                own = record["captions"]
                texts.append(own[int(rng.integers(len(own)))])
                wrong.append(altered(texts[-1], record["category"], rng))
            if shapes.images is not None:
                views = rng.integers(shapes.images.shape[1], size=count)
                images = shapes.images[rows, views].to(device).float()
        assert images is not None
        wrong = [text for text in dict.fromkeys(wrong) if text not in set(texts)]
        every = list(dict.fromkeys(texts)) + wrong
        number = {text: i for i, text in enumerate(every)}
        with autocast(images.device, self._precision):
            features = F.normalize(_by_length(student.clip, every).float(), dim=-1)
        own_text = torch.tensor([number[text] for text in texts], device=device)
        known = len(every) - len(wrong)
        shape_features = student.shape_tower(torch.cat(codes))
        scale = student.clip.model.logit_scale.exp().clamp(max=100)
        seen = len(images)
        return {
            "shape_text": text_contrast(shape_features, features, own_text, known, scale),
            "image_text": IMAGE_WEIGHT * text_contrast(images, features, own_text[:seen], known, scale),
            "image_shape": IMAGE_WEIGHT
            * F.cross_entropy(scale * images @ shape_features.T, torch.arange(seen, device=device)),
        }


def _by_length(clip: ClipEncoder, texts: list[str]) -> Tensor:
    """Raw features [T, F]; short texts need not wait for long ones."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i].split()))
    half = len(order) // 2
    found = torch.cat(
        [clip.encode_text_raw([texts[i] for i in part]) for part in (order[:half], order[half:])]
    )
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return found[back]


def text_contrast(features: Tensor, texts: Tensor, own: Tensor, known: int, scale: Tensor) -> Tensor:
    """Cross entropy of finding the text of each of B features [B, F] among all texts [T, F], and a feature
    of each text among the features; `own` [B] says which text. Texts from `known` on fit nothing."""
    logits = scale * features @ texts.T  # [B, T]
    to_text = F.cross_entropy(logits, own)
    asked = own.unique()
    fits = F.one_hot(own, known).to(logits).T[asked]  # [asked, B]
    return (to_text + F.cross_entropy(logits.T[asked], fits / fits.sum(1, keepdim=True))) / 2
