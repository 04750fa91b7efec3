"""From a photograph with the object's mask to the image that SS3D's encoder takes.

The object is cut out onto black, padded to a square with a margin, and resized; exactly as the published
models were trained, bytes included.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.errors import ImageError

MASK_THRESHOLD = 0.3
"""Mask values above it count for the bounding box."""
MARGIN = 30
"""Black pixels of the source image on each side of the square."""


def mask_box(mask: NDArray[np.floating]) -> tuple[int, int, int, int]:
    """First and past-the-last row, first and past-the-last column of the object in a mask [H, W] in [0, 1].

    ImageError where the mask is empty.
    """
    inside = mask > MASK_THRESHOLD
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        raise ImageError(
            f"The mask shows no object: its greatest value is {mask.max(initial=0):.2f}.",
            remedy="Give a mask that is white on the object.",
        )
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def prepare_image(
    rgb: NDArray[np.uint8], mask: NDArray[np.floating], *, size: int = 224
) -> tuple[Tensor, tuple[int, int, int, int]]:
    """Image [1, 3, size, size] in [0, 1] on black, and the object's box as in `mask_box`.

    rgb: [H, W, 3]. mask: [H, W] in [0, 1], soft edges welcome. ImageError where they do not fit together.
    """
    from PIL import Image

    if rgb.shape != (*mask.shape, 3):
        raise ImageError(
            f"The image has shape {rgb.shape}, the mask {mask.shape}.",
            remedy="Give an RGB image and a mask of the same height and width.",
        )
    top, bottom, left, right = mask_box(mask)
    # Single precision decides which products of 8-bit numbers are rounded down to the next byte.
    cut = rgb[top:bottom, left:right] * mask[top:bottom, left:right, None].astype(np.float32)
    side = max(bottom - top, right - left)
    # Rounded down on both sides, so that an odd difference leaves the square one pixel short.
    rows, columns = (side - (bottom - top)) // 2 + MARGIN, (side - (right - left)) // 2 + MARGIN
    padded = np.pad(cut.astype(np.uint8), ((rows, rows), (columns, columns), (0, 0)))
    resized = Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None]  # [1, 3, size, size]
    return pixels / 255, (top, bottom, left, right)
