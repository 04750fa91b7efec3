"""The baseline of CLIP-Forge (Sanghi et al. 2022) on the bundle's own CLIP, SVR model and procedural data.

Codes of shapes follow from their image features through a conditional normalising flow, trained on images
alone; at test time the text feature takes the image feature's place, and nothing is tuned. Its departures:
our SVR model's codes (with colours) instead of a voxel autoencoder's, in whitened space, and affine couplings
without batch normalisation.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from backend.baselines.real_nvp import RealNvpMapper
from backend.bundles import Bundle
from backend.config import Settings, bounded
from backend.datasets.procedural.corpus import CorpusSettings, build_corpus, open_corpus
from backend.datasets.procedural_set import ProceduralSet
from backend.errors import SettingError
from backend.training.align import Encoded, code_parts, feature_parts
from backend.training.loop import LoopSettings, run_loop
from backend.whitening import Whitening

_SEED = 5_000_000
"""Added to the seed: shapes that no other training sees."""
_VIEWS, _CAPTIONS = 3, 1
_NOISE = 0.1
"""Deviation of the noise on whitened codes in training, as CLIP-Forge adds some to its codes."""


@dataclass(frozen=True)
class ForgeSettings(Settings):
    """Size of the training; the defaults take about five minutes on two quiet cores."""

    shapes: int = bounded(1500, 40, 1_000_000)
    steps: int = bounded(3000, 1, 10_000_000)
    batch: int = bounded(256, 2, 65_536)
    components: int = bounded(64, 1, 4096)
    """Whitened directions of the code."""
    hidden: int = bounded(512, 4, 8192)
    seed: int = bounded(0, 0, 1_000_000)


@dataclass(frozen=True)
class Forged:
    """A trained flow."""

    mapper: RealNvpMapper
    seconds: float
    """Of training, once per bundle; what an earlier call had done already is not counted."""


def forge(
    bundle: Bundle, settings: ForgeSettings, work: Path, *, workers: int = 0
) -> Iterator[tuple[str, int]]:
    """Train the flow, yielding (phase, number done); the generator's return is a `Forged`.

    Everything made on the way is kept in `work` under names that tell its ingredients.
    SettingError for a bundle whose SVR model reads no images.
    """
    if not bundle.spec.has_encoder:
        raise SettingError(
            f"A {bundle.spec.kind} model reads no images, so that no flow over its codes can be trained.",
            remedy="Leave clip-forge out of --methods.",
        )
    begun = time.perf_counter()
    encoded = yield from _encode(bundle, settings, work, workers)
    torch.manual_seed(settings.seed)
    whitening = Whitening.fit(encoded.codes, components=settings.components)
    mapper = RealNvpMapper(
        feature_size=encoded.images.shape[-1], code_size=encoded.codes.shape[-1],
        components=len(whitening.scale), hidden=settings.hidden,
    )  # fmt: skip
    mapper.set_space(whitening)
    loop = LoopSettings(
        steps=settings.steps, batch=min(settings.batch, len(encoded.codes)), learning_rate=5e-4,
        weight_decay=1e-3, warmup=min(200, settings.steps // 10), seed=settings.seed,
    )  # fmt: skip
    place = work / f"forge-{_digest([bundle.sha256, settings.to_dict()])}"
    for step in run_loop("real_nvp", mapper, _ForgeLoss(mapper, encoded, loop.batch), loop, place):
        yield "flow", step.step
    mapper.to(bundle.device).requires_grad_(False)
    return Forged(mapper, time.perf_counter() - begun)


class _ForgeLoss:
    """Negative log likelihood of codes, given the feature of one image of the same shape. No text."""

    def __init__(self, mapper: RealNvpMapper, encoded: Encoded, batch: int) -> None:
        self._mapper, self._encoded, self._batch = mapper, encoded, batch
        self._white = mapper.whitening.to_white(encoded.codes)

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self._white), (self._batch,), generator=generator)
        views = torch.randint(self._encoded.images.shape[1], rows.shape, generator=generator)
        white = self._white[rows]
        white = white + _NOISE * torch.randn(white.shape, generator=generator)
        features = self._encoded.images[rows, views].float()
        return {"likelihood": self._mapper.negative_log_likelihood(white, features).mean()}


def _encode(bundle: Bundle, settings: ForgeSettings, work: Path, workers: int) -> Iterator[tuple[str, int]]:
    side = -(-max(bundle.spec.image_size, bundle.clip.image_size, 16) // 8) * 8
    corpus = work / f"corpus-forge-{settings.shapes}-{settings.seed}-{side}px"
    made = CorpusSettings(
        seed=_SEED + settings.seed, shapes=settings.shapes, views=_VIEWS, image_size=side,
        uniform_points=0, near_points=1, captions=_CAPTIONS,
    )  # fmt: skip
    for done in build_corpus(corpus, made, workers=workers or None):
        yield "shapes", done
    data = ProceduralSet.of(open_corpus(corpus))
    name = _digest([bundle.sha256, settings.shapes, settings.seed, side])
    features, codes = (work / f"{what}-forge-{name}.safetensors" for what in ("features", "codes"))
    for done in feature_parts(bundle.clip, data, features):
        yield "CLIP", done
    for done in code_parts(bundle.svr, data, codes):
        yield "codes", done
    return Encoded(**load_file(features), **load_file(codes))


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
