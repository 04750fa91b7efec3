"""Stage 1: features of images to shape codes. The paper's regression, and our flow.

Images are encoded once by the frozen CLIP and SVR model. A shape's target is its code averaged over the
views: what one view cannot see is then not noise to the mapper (our choice).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from backend.clip_encoder import ClipEncoder
from backend.datasets.procedural.corpus import Corpus
from backend.flow_mapper import FlowMapper
from backend.mapper import RegressingMapper, mix_noise
from backend.svr.base import SvrModel
from backend.training.reconstruct import image_batch

VIEWS, CAPTIONS = 3, 4
"""Views and captions of each shape that stage 1 uses."""


@dataclass(frozen=True)
class Encoded:
    """A corpus seen through CLIP and the SVR model."""

    images: Tensor
    """Unit image features [N, V, F]."""
    texts: Tensor
    """Unit text features of the captions [N, T, F]."""
    codes: Tensor
    """Shape codes averaged over the views [N, C]."""


@torch.no_grad()
def encode_features(clip: ClipEncoder, corpus: Corpus, cache: Path) -> dict[str, Tensor]:
    """`images` [N, VIEWS, F] and `texts` [N, CAPTIONS, F] of a corpus, in half precision and unit length;
    computed once, then read from the `cache` file."""
    if cache.exists():
        return load_file(cache)
    clip.eval()
    images, texts = [], []
    for shapes in _chunks(corpus):
        raw = clip.encode_image(_views(corpus, shapes))
        images.append(raw.reshape(len(shapes), VIEWS, -1).half())
        words = [c for i in shapes for c in corpus.records[i]["captions"][:CAPTIONS]]
        raw = F.normalize(clip.encode_text_raw(words).float(), dim=-1)
        texts.append(raw.reshape(len(shapes), -1, raw.shape[-1]).half())
    features = {"images": torch.cat(images), "texts": torch.cat(texts)}
    save_file(features, cache)
    return features


@torch.no_grad()
def encode_codes(svr: SvrModel, corpus: Corpus, cache: Path) -> dict[str, Tensor]:
    """`codes` [N, C], the mean over VIEWS views of each shape; computed once, then read from `cache`."""
    if cache.exists():
        return load_file(cache)
    svr.eval()
    codes = [
        svr.encode(_views(corpus, shapes)).reshape(len(shapes), VIEWS, -1).mean(1)
        for shapes in _chunks(corpus)
    ]
    save_file({"codes": torch.cat(codes)}, cache)
    return load_file(cache)


class FlowLoss:
    """Conditional flow matching: straight paths from noise to whitened codes.

    The condition is an image feature of the shape mixed with the feature of one of its captions by a random
    share. Captions among the conditions are a departure from the paper, which sees no text in training; the
    procedural corpus has them for nothing.
    """

    def __init__(self, mapper: FlowMapper, encoded: Encoded, batch: int) -> None:
        self._mapper = mapper
        self._encoded = encoded
        self._batch = batch
        self._white = mapper.whitening.to_white(encoded.codes)

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        encoded = self._encoded
        rows = torch.randint(len(encoded.codes), (self._batch,), generator=generator)
        condition = mixed_condition(encoded, rows, generator)
        end = self._white[rows]
        start = torch.randn(end.shape, generator=generator)
        time = torch.rand(self._batch, generator=generator)
        middle = start + time[:, None] * (end - start)
        guess = self._mapper.velocity(middle, time, condition)
        return {"flow": F.mse_loss(guess, end - start)}


class RegressionLoss:
    """The paper's stage 1: L1 between M(noisy image feature) and the code (reference weight 2000)."""

    def __init__(self, mapper: RegressingMapper, encoded: Encoded, batch: int, noise_scale: float) -> None:
        self._mapper = mapper
        self._encoded = encoded
        self._batch = batch
        self._noise_scale = noise_scale

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        encoded = self._encoded
        rows = torch.randint(len(encoded.codes), (self._batch,), generator=generator)
        views = torch.randint(encoded.images.shape[1], (self._batch,), generator=generator)
        features = mix_noise(encoded.images[rows, views].float(), self._noise_scale, generator)
        return {"regression": 2000 * (self._mapper(features) - encoded.codes[rows]).abs().mean()}


def mixed_condition(encoded: Encoded, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Unit conditions [B, F]: a random share of a view's feature and of a caption's."""
    views = torch.randint(encoded.images.shape[1], rows.shape, generator=generator)
    captions = torch.randint(encoded.texts.shape[1], rows.shape, generator=generator)
    share = torch.rand((len(rows), 1), generator=generator)
    image, text = encoded.images[rows, views].float(), encoded.texts[rows, captions].float()
    return F.normalize(share * text + (1 - share) * image, dim=-1)


def draw_bank(encoded: Encoded, size: int, generator: torch.Generator) -> Tensor:
    """Unit image features [size, F] of random views of random shapes."""
    rows = torch.randperm(len(encoded.codes), generator=generator)[:size]
    if len(rows) < size:
        rows = rows.repeat(size // len(rows) + 1)[:size]
    views = torch.randint(encoded.images.shape[1], rows.shape, generator=generator)
    return encoded.images[rows, views].float()


def _chunks(corpus: Corpus) -> Iterator[np.ndarray]:
    for start in range(0, len(corpus), 64):
        yield np.arange(start, min(start + 64, len(corpus)))


def _views(corpus: Corpus, shapes: np.ndarray) -> Tensor:
    """The first VIEWS images of each shape, [N * VIEWS, 3, S, S]."""
    return image_batch(corpus, np.repeat(shapes, VIEWS), np.tile(np.arange(VIEWS), len(shapes)))
