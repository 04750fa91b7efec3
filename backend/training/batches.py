"""Batches of a data set as tensors: pictures for the encoders, rays with what they should see, points.

All draws come as arrays in [0, 1), so that several processes can draw alike and keep their own part.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.cameras import Cameras
from backend.datasets.base import Dataset, Picture
from backend.errors import DatasetError


@dataclass(frozen=True)
class RayBatch:
    """P rays of each of B shapes, and the truth along them."""

    origins: Tensor
    """[B, P, 3]"""
    directions: Tensor
    """[B, P, 3], of camera-space depth 1."""
    rgb: Tensor
    """[B, P, 3] in [0, 1]."""
    mask: Tensor
    """[B, P] bool: the ray should hit."""
    depth: Tensor
    """[B, P] camera-space depth; infinity where nobody knows."""


def input_batch(
    data: Dataset, shapes: np.ndarray, numbers: np.ndarray, *, size: int, background: float = 1.0
) -> Tensor:
    """Pictures [B, 3, S, S] in [0, 1] of the given shapes and numbers, before a grey `background`.

    Pictures of one size stay so (encoders bring them to theirs); others are brought to `size`. DatasetError
    where a background other than white is wanted of pictures without masks.
    """
    images = [
        _on_background(data.input(int(i), int(n) % data.records[i].inputs), background, data)
        for i, n in zip(shapes, numbers, strict=True)
    ]
    if len({image.shape for image in images}) > 1:
        images = [_resized(image, size) for image in images]
    return torch.stack(images).permute(0, 3, 1, 2)


def mask_batch(data: Dataset, shapes: np.ndarray, numbers: np.ndarray, *, size: int) -> Tensor:
    """Masks [B, 1, size, size] of the same pictures; ones where nobody marked the object."""
    masks = []
    for i, n in zip(shapes, numbers, strict=True):
        picture = data.input(int(i), int(n) % data.records[i].inputs)
        mask = np.ones(picture.rgb.shape[:2], np.float32) if picture.mask is None else picture.mask
        masks.append(_resized(torch.from_numpy(np.array(mask))[..., None], size))
    return torch.stack(masks).permute(0, 3, 1, 2)


def ray_batch(data: Dataset, shapes: np.ndarray, views: np.ndarray, places: np.ndarray) -> RayBatch:
    """Rays through pixels of one view per shape.

    views: [B] in [0, 1), which view. places: [B, P] in [0, 1), which pixel, row by row. Rays go through the
    middles of pixels, as in DVR.
    """
    worlds, lenses, pixels, colors, masks, depths = [], [], [], [], [], []
    for i, share, chosen in zip(shapes, views, places, strict=True):
        view = data.view(int(i), int(share * data.records[i].views))
        height, width = view.mask.shape
        flat = (chosen * height * width).astype(np.int64)
        row, column = flat // width, flat % width
        worlds.append(view.world_mat)
        lenses.append(view.camera_mat)
        pixels.append(np.stack([2 * column / (width - 1) - 1, 2 * row / (height - 1) - 1], axis=-1))
        colors.append(view.rgb[row, column].astype(np.float32) / 255)
        masks.append(view.mask[row, column])
        depths.append(view.depth[row, column] if view.depth is not None else np.full(len(row), np.inf))
    world, lens, pixel, color, depth = (
        torch.from_numpy(np.stack(values).astype(np.float32))
        for values in (worlds, lenses, pixels, colors, depths)
    )
    origins, directions = Cameras(world, lens).rays_at(pixel)
    return RayBatch(origins, directions, color, torch.from_numpy(np.stack(masks)), depth)


def point_batch(data: Dataset, shapes: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Points [B, P, 3], whether they are inside [B, P] (0 or 1), and colours [B, P, 3], NaN where unknown.

    places: [B, P] in [0, 1), which of the labelled points.
    """
    positions, inside, colors = [], [], []
    for i, chosen in zip(shapes, places, strict=True):
        labelled = data.points(int(i))
        rows = (chosen * len(labelled.positions)).astype(np.int64)
        positions.append(labelled.positions[rows])
        inside.append(labelled.inside[rows].astype(np.float32))
        known = labelled.colors
        colors.append(np.full((len(rows), 3), np.nan, np.float32) if known is None else known[rows])
    return tuple(torch.from_numpy(np.stack(values)) for values in (positions, inside, colors))  # type: ignore[return-value]


def _on_background(picture: Picture, background: float, data: Dataset) -> Tensor:
    """[H, W, 3] in [0, 1]; the object came on white."""
    rgb = torch.from_numpy(np.array(picture.rgb)).float().div(255)
    if background == 1:
        return rgb
    if picture.mask is None:
        raise DatasetError(
            f"The model wants objects before grey {background:g}, and {data.title} has no masks.",
            remedy="Train on a data set with masks, or another kind of model.",
        )
    beside = 1 - torch.from_numpy(np.array(picture.mask))[..., None]
    return (rgb - (1 - background) * beside).clamp(0, 1)


def _resized(image: Tensor, size: int) -> Tensor:
    """[size, size, C] of an image [H, W, C]."""
    if image.shape[:2] == (size, size):
        return image
    whole = image.permute(2, 0, 1)[None]
    scaled = F.interpolate(whole, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return scaled[0].permute(1, 2, 0)
