"""Training of the parts model's image encoder: one image in, the code of its shape out."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.datasets.procedural.corpus import Corpus
from backend.device import autocast
from backend.svr.parts import PartsSvr
from backend.svr.parts_field import PartsField
from backend.svr.parts_skin import Skin
from backend.training.part_loss import part_loss
from backend.training.reconstruct import image_batch
from backend.view_head import view_loss

CODE_WEIGHT = 0.02
"""Weight of the squared error of a code, summed over it, beside the parts that it decodes to."""
VOLUME_WEIGHT = 3.0
"""Weight of what is inside and outside, beside the parts."""
VOLUME_SHAPES = 12
"""Shapes of a batch whose volume is compared: asking a field costs more than all else of a step."""
VIEW_WEIGHT = 0.5
"""Weight of telling where an image was taken from."""
_POINTS, _NEAR = 1500, 400
"""Points drawn in the cube, and those nearest to the true surface that are compared."""
_SPREAD = 3.0
"""Logits of the field that count as one: a surface that is 0.03 off still feels which way to go."""


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
        images = image_batch(self._corpus, shapes, views)
        with autocast(images.device, self._precision):
            features = self._model.features(images)
            codes = self._model.encoder.code(features).float()
        table = torch.from_numpy(self._corpus.parts[shapes].astype(np.float32))
        error = F.mse_loss(codes, self._codes[shapes]) * codes.shape[-1]
        rows = self._model.decoder(codes)
        asked = torch.randperm(len(rows), generator=generator)[:VOLUME_SHAPES]
        volume = volume_loss(self._model.skin, rows[asked], table[asked], generator)
        losses = {
            "code": CODE_WEIGHT * error,
            **part_loss(rows, table),
            "volume": VOLUME_WEIGHT * volume,
        }
        if self._model.viewer is not None:
            cameras = torch.from_numpy(self._corpus.cameras[shapes, views])
            losses["view"] = VIEW_WEIGHT * view_loss(self._model.viewer(features.float()), cameras)
        return losses


def volume_loss(skin: Skin, rows: Tensor, tables: Tensor, generator: torch.Generator) -> Tensor:
    """Cross entropy of being inside the shapes of rows [B, SLOTS, COLUMNS], at random points near the
    surfaces of the shapes of tables: where a surface lies counts, not which part it belongs to."""
    points = torch.rand((len(rows), _POINTS, 3), generator=generator) - 0.5
    with torch.no_grad():
        logits = PartsField(skin, tables).occupancy(points)
    near = logits.abs().topk(_NEAR, largest=False).indices
    chosen = points.gather(1, near[..., None].expand(-1, -1, 3))
    said = PartsField(skin, rows).occupancy(chosen)
    return F.binary_cross_entropy_with_logits(said / _SPREAD, (logits.gather(1, near) > 0).to(said))
