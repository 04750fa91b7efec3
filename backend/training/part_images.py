"""Training of the parts model's image encoder: one image in, the code of its shape out."""

import math

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
VOLUME_SHARE = 3 / 16
"""Share of a batch whose volume is compared: asking a field costs more than all else of a step."""
VIEW_WEIGHT = 0.5
"""Weight of telling where an image was taken from."""


class ImageCodeLoss:
    """Codes of images against the codes [N, C], the parts and the volumes of their shapes; the decoder passes
    gradients on and is not changed."""

    def __init__(
        self, model: PartsSvr, corpus: Corpus, codes: Tensor, batch: int, precision: str = "float32"
    ) -> None:
        self._model = model
        self._corpus = corpus
        self._codes = codes
        self._batch = batch
        self._precision = precision
        model.requires_grad_(False)
        model.encoder.requires_grad_(True)
        if model.viewer is not None:
            model.viewer.requires_grad_(True)

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        shapes = np.sort(rng.choice(len(self._corpus), self._batch, replace=False))
        views = rng.integers(self._corpus.settings.views, size=len(shapes))
        device = self._model.device
        images = image_batch(self._corpus, shapes, views, device)
        with autocast(device, self._precision):
            features = self._model.features(images)
            codes = self._model.encoder.code(features).float()
        table = torch.from_numpy(self._corpus.parts[shapes].astype(np.float32)).to(device)
        error = F.mse_loss(codes, self._codes[shapes].to(device)) * codes.shape[-1]
        rows = self._model.decoder(codes)
        asked = torch.randperm(len(rows), generator=generator)[: math.ceil(VOLUME_SHARE * len(rows))]
        volume = volume_loss(rows[asked], table[asked], generator)
        losses = {
            "code": CODE_WEIGHT * error,
            **part_loss(rows, table),
            "volume": VOLUME_WEIGHT * volume,
        }
        if self._model.viewer is not None:
            cameras = torch.from_numpy(self._corpus.cameras[shapes, views]).to(device)
            losses["view"] = VIEW_WEIGHT * view_loss(self._model.viewer(features.float()), cameras)
        return losses
