"""Training of the parts model's image encoder: one image in, the code of its shape out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.datasets.procedural.corpus import Corpus
from backend.device import autocast
from backend.svr.parts import PartsSvr
from backend.training.part_loss import part_loss
from backend.training.part_volume import volume_loss
from backend.training.reconstruct import image_batch
from backend.view_head import view_loss

CODE_WEIGHT = 0.02
"""Weight of the squared error of a code, summed over it, beside the parts that it decodes to."""
VOLUME_WEIGHT = 3.0
"""Weight of what is inside and outside, beside the parts."""
VOLUME_SHARE = 1 / 8
"""Share of a batch whose volume is compared: asking a field costs more than all else of a step."""
VIEW_WEIGHT = 0.5
"""Weight of telling where an image was taken from."""
SOFT_SHARE = 1 / 3
"""Share of the images that are softened."""


@dataclass(frozen=True)
class ImageSource:
    """Images to learn from."""

    corpus: Corpus
    codes: Tensor
    """[N, C] of the corpus's shapes."""


@dataclass(frozen=True)
class _Batch:
    images: Tensor
    """[B, 3, S, S]"""
    codes: Tensor
    """[B, C]"""
    tables: Tensor
    """[B, SLOTS, COLUMNS]"""
    cameras: Tensor
    """[B, 3]"""


class ImageCodeLoss:
    """Codes of images against the codes, the parts and the volumes of their shapes; the decoder passes
    gradients on and is not changed."""

    def __init__(
        self, model: PartsSvr, sources: Sequence[ImageSource], batch: int, precision: str = "float32"
    ) -> None:
        """sources: each gives as many shapes of a batch as its share of all shapes says."""
        self._model = model
        self._sources = sources
        total = sum(len(source.corpus) for source in sources)
        self._counts = [max(1, round(batch * len(source.corpus) / total)) for source in sources]
        self._precision = precision
        model.requires_grad_(False)
        model.encoder.requires_grad_(True)
        if model.viewer is not None:
            model.viewer.requires_grad_(True)

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        model = self._model
        batch = self._drawn(generator)
        images = softened(batch.images, generator)
        with autocast(model.device, self._precision):
            features = model.features(images)
            codes = model.encoder.code(features).float()
        rows = model.decoder(codes)
        asked = torch.randperm(len(rows), generator=generator)[: math.ceil(VOLUME_SHARE * len(rows))]
        volume = volume_loss(rows[asked], batch.tables[asked], generator)
        losses = {
            "code": CODE_WEIGHT * F.mse_loss(codes, batch.codes) * codes.shape[-1],
            **part_loss(rows, batch.tables),
            "volume": VOLUME_WEIGHT * volume,
        }
        if model.viewer is not None:
            losses["view"] = VIEW_WEIGHT * view_loss(model.viewer(features.float()), batch.cameras)
        return losses

    def _drawn(self, generator: torch.Generator) -> _Batch:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        drawn = [
            _draw(source, count, rng, self._model.device)
            for source, count in zip(self._sources, self._counts, strict=True)
        ]
        return _Batch(*(torch.cat([getattr(one, f.name) for one in drawn]) for f in fields(_Batch)))


def softened(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B, 3, H, W] of which a third are blurred over their next pixels, each by another amount: what
    was rendered has hard edges, a picture that was made smaller has not."""
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(row, row).expand(3, 1, 3, 3).to(images)
    soft = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    drawn = torch.rand(len(images), 1, 1, 1, generator=generator).to(images)
    amount = (1 - (1 - drawn) / SOFT_SHARE).clamp_min(0)
    return torch.lerp(images, soft, amount)


def _draw(source: ImageSource, count: int, rng: np.random.Generator, device: torch.device) -> _Batch:
    corpus = source.corpus
    shapes = np.sort(rng.choice(len(corpus), count, replace=False))
    views = rng.integers(corpus.settings.views, size=count)
    return _Batch(
        image_batch(corpus, shapes, views, device),
        source.codes[shapes].to(device),
        torch.from_numpy(corpus.parts[shapes].astype(np.float32)).to(device),
        torch.from_numpy(corpus.cameras[shapes, views]).to(device),
    )
