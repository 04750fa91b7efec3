"""Training of the parts model's image encoder: one image in, the code of its shape out."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.datasets.procedural.corpus import Corpus
from backend.device import autocast
from backend.svr.parts import PartsSvr
from backend.training.part_loss import part_loss
from backend.training.reconstruct import image_batch

CODE_WEIGHT = 0.02
"""Weight of the squared error of a code, summed over it, beside the parts that it decodes to."""


class ImageCodeLoss:
    """Codes of images against the codes [N, C] and the parts of their shapes; the decoder passes gradients on
    and is not changed."""

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

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        shapes = np.sort(rng.choice(len(self._corpus), self._batch, replace=False))
        views = rng.integers(self._corpus.settings.views, size=len(shapes))
        images = image_batch(self._corpus, shapes, views)
        with autocast(images.device, self._precision):
            codes = self._model.encode(images).float()
        table = torch.from_numpy(self._corpus.parts[shapes].astype(np.float32))
        error = F.mse_loss(codes, self._codes[shapes]) * codes.shape[-1]
        return {"code": CODE_WEIGHT * error, **part_loss(self._model.decoder(codes), table)}
