"""The code space of the parts model: a variational autoencoder of tables of parts.

The shape programs know the parts of every shape, so codes and the decoder are learned from tables alone, some
hundred times quicker than from images. The image encoder and the mapper then aim at these codes.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from backend.svr.parts import PartsSvr
from backend.training.align import fill_cache
from backend.training.part_loss import part_loss
from backend.whitening import Whitening

KL_WEIGHT = 4e-3
"""Weight of the divergence from the unit normal distribution, summed over a code."""
SHARE_OF_NOISE = 0.5
"""Of a code's uncertainty, what the decoder meets when it is trained alone."""
_TELLING = 0.3
"""Uncertainty of a whitened dimension, in deviations of its values, below which more is of little use."""


class PartAutoencoder(nn.Module):
    """The reader of tables and the decoder of an SVR model."""

    def __init__(self, svr: PartsSvr) -> None:
        super().__init__()
        self.encoder = svr.reader
        self.decoder = svr.decoder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.outlet.bias.device


class AutoencoderLoss:
    """Loss of a step over random rows of `tables` [N, SLOTS, COLUMNS] (float16)."""

    def __init__(self, model: PartAutoencoder, tables: np.ndarray, batch: int) -> None:
        self._model = model
        self._tables = tables
        self._batch = batch

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        table = _drawn(self._tables, self._batch, generator).to(self._model.device)
        mean, log_deviation = self._model.encoder(table)
        noise = torch.randn(mean.shape, generator=generator).to(table.device)
        losses = part_loss(self._model.decoder(mean + log_deviation.exp() * noise), table)
        divergence = 0.5 * (mean.square() + (2 * log_deviation).exp() - 1) - log_deviation
        return {**losses, "divergence": KL_WEIGHT * divergence.sum(-1).mean()}


class DecoderLoss:
    """Loss of a step of the decoder alone, on codes that stay as they are, over random rows of `tables`.

    Codes are nearer to what the reader says than in `AutoencoderLoss`: what they tell of a shape is spread
    finely, and a decoder that met them under all their noise would say the mean of what is near.
    """

    def __init__(self, model: PartAutoencoder, tables: np.ndarray, batch: int) -> None:
        self._model = model
        self._tables = tables
        self._batch = batch
        model.encoder.requires_grad_(False)

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        table = _drawn(self._tables, self._batch, generator).to(self._model.device)
        mean, log_deviation = self._model.encoder(table)
        noise = SHARE_OF_NOISE * torch.randn(mean.shape, generator=generator).to(table.device)
        return part_loss(self._model.decoder(mean + log_deviation.exp() * noise), table)


def _drawn(tables: np.ndarray, count: int, generator: torch.Generator) -> Tensor:
    """Random tables [count, SLOTS, COLUMNS], in the order of the file that they lie in."""
    rows = torch.randint(len(tables), (count,), generator=generator).sort().values
    return torch.from_numpy(tables[rows.numpy()].astype(np.float32))


def codes_of(svr: PartsSvr, tables: np.ndarray, cache: Path) -> Tensor:
    """Codes [N, C] of tables [N, SLOTS, COLUMNS]; computed once, then read from `cache`."""

    def encode(rows: np.ndarray) -> dict[str, Tensor]:
        own = torch.from_numpy(tables[rows].astype(np.float32)).to(svr.device)
        return {"codes": svr.encode_parts(own).cpu()}

    for _ in fill_cache(cache, len(tables), encode, part=4096):
        pass
    return load_file(cache)["codes"]


@torch.no_grad()
def code_weights(svr: PartsSvr, tables: np.ndarray, whitening: Whitening) -> Tensor:
    """How much an error in each whitened dimension [K] matters, with the mean 1: the less a code says there,
    the less (our choice)."""
    _, log_deviation = svr.reader(torch.from_numpy(tables.astype(np.float32)))
    variance = (2 * log_deviation).exp().mean(0) @ whitening.basis.square().T / whitening.scale.square()
    weights = 1 / (variance + _TELLING**2)
    return weights / weights.mean()
