"""Reading a user's image file into the tensor that the encoders take."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.errors import ImageError

LARGEST_SIDE = 8192
"""Pixels; larger files are refused before they are decoded."""
_KEPT_SIDE = 512
"""Pixels per side of what is handed on; no encoder sees more."""

_REMEDY = "Give a PNG, JPEG or WebP picture of one object, best on a plain background."


def read_image(path: Path) -> tuple[Tensor, str]:
    """A square image [1, 3, S, S] in [0, 1] on white, and the file's SHA-256.

    Transparent parts and the margins that make it square are white. ImageError where it cannot be used.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"The image {path} cannot be read: {error.strerror}.", remedy=_REMEDY) from error
    try:
        with Image.open(path) as opened:
            if max(opened.size) > LARGEST_SIDE or min(opened.size) < 8:
                raise ImageError(
                    f"The image {path} has {opened.size[0]} x {opened.size[1]} pixels.",
                    remedy=f"Give an image with sides of 8 to {LARGEST_SIDE} pixels.",
                )
            turned = ImageOps.exif_transpose(opened)
            if turned.mode.startswith("I;16"):  # convert() would clip the 16 bits, to white
                turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
            picture = turned.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"The image {path} cannot be decoded: {str(error).rstrip('.')}.", remedy=_REMEDY
        ) from error
    picture.thumbnail((_KEPT_SIDE, _KEPT_SIDE), Image.Resampling.BICUBIC)
    side = max(picture.size)
    square = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    square.alpha_composite(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    pixels = np.asarray(square.convert("RGB"), dtype=np.float32) / 255  # [S, S, 3]
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous(), hashlib.sha256(data).hexdigest()
