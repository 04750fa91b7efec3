"""Pairs of image and shape code for an SVR model that reads no images: its own random shapes, seen by itself.

GET3D makes shapes from noise. What an encoder would answer for a picture of one is then known beforehand.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.cameras import random_cameras
from backend.clip_encoder import ClipEncoder
from backend.config import Stage2Settings
from backend.svr.base import ExplicitSvrModel
from backend.training.align import VIEWS, fill_cache

LARGEST = 128
"""Pixels per side of the views, at most."""
_CAMERAS = 1_000_003
"""Sets the cameras' seeds of one shape apart from those of the next seed's shapes."""


def generated_parts(
    clip: ClipEncoder, svr: ExplicitSvrModel, count: int, seed: int, stage2: Stage2Settings, cache: Path
) -> Iterator[int]:
    """Fill `cache` with pairs of a model that reads no images, yielding shapes done.

    `codes` [N, C] are random ones, `images` [N, VIEWS, F] features of the model's own views of them, from
    stage 2's cameras. There are no captions: `texts` are the images again, so that a flow mixes two views.
    """
    with torch.no_grad():
        codes = svr.sample_codes(count, torch.Generator().manual_seed(seed))

    def view_features(shape: int) -> Tensor:
        cameras = random_cameras(
            VIEWS, torch.Generator().manual_seed(seed * _CAMERAS + shape),
            distance=stage2.distance, elevation_deg=stage2.elevation_deg,
        ).to(svr.device)  # fmt: skip
        size = min(clip.image_size, LARGEST)
        rgb = svr.render(codes[shape : shape + 1], cameras, size).rgb  # [V, H, W, 3]
        return clip.encode_image(rgb.permute(0, 3, 1, 2)).half().cpu()

    def encode(shapes: np.ndarray) -> dict[str, Tensor]:
        images = torch.stack([view_features(int(shape)) for shape in shapes])
        return {"images": images, "texts": images.clone(), "codes": codes[shapes].cpu()}

    return fill_cache(cache, count, encode)
