"""Inception features from a weights file of the user's, for an FID that others can compare with.

Two layouts are read: torchvision's own (1000 classes), and the converted one that FID programs use (1008
classes), whose network differs from torchvision's in how its blocks pool. Only 2048 numbers before the last
layer are taken. Nothing is downloaded, and nothing but weights is read from the file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from backend.checkpoint_file import read_state_dict
from backend.errors import CheckpointError

SIDE = 299
FID_CLASSES = 1008
_MEAN_POOLED = (
    "Mixed_5b",
    "Mixed_5c",
    "Mixed_5d",
    "Mixed_6b",
    "Mixed_6c",
    "Mixed_6d",
    "Mixed_6e",
    "Mixed_7b",
)
_MAX_POOLED = "Mixed_7c"
_PART = 16


def load_inception(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from pictures [N, V, S, S, 3] to features [N, V, 2048]; CheckpointError for other files."""
    from torchvision.models import inception_v3

    weights = {k: v for k, v in read_state_dict(path).items() if not k.startswith("AuxLogits.")}
    last = weights.get("fc.weight")
    if last is None or last.ndim != 2 or last.shape[1] != 2048:
        raise CheckpointError(
            f"{path.name} holds no Inception v3 (fc.weight is missing or has another shape).",
            remedy="Give torchvision's inception_v3 file, or the converted one that FID programs use.",
        )
    net = inception_v3(
        weights=None, num_classes=last.shape[0], aux_logits=False, transform_input=False, init_weights=False
    )
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path.name} does not fit Inception v3: {str(error).splitlines()[-1].strip()[:200]}",
            remedy="Give torchvision's inception_v3 file, or the converted one that FID programs use.",
        ) from error
    net.fc = nn.Identity()
    if last.shape[0] == FID_CLASSES:
        pool_as_fid(net)
    net.eval().requires_grad_(False)
    return lambda images: _features(net, images)


def pool_as_fid(net: nn.Module) -> None:
    """Make the pooling branches those of the network that FID was defined with: borders do not count as
    zeros in means, and the last block takes the greatest value instead of the mean."""
    for name in _MEAN_POOLED:
        getattr(net, name).branch_pool.register_forward_pre_hook(_without_border)
    block = getattr(net, _MAX_POOLED)
    kept: list[Tensor] = []
    block.register_forward_pre_hook(lambda module, given: kept.append(given[0]))
    block.branch_pool.register_forward_pre_hook(
        lambda module, given: (F.max_pool2d(kept.pop(), kernel_size=3, stride=1, padding=1),)
    )


def _without_border(module: nn.Module, given: tuple[Any, ...]) -> tuple[Tensor]:
    """Means over 3 x 3 cells whose zeros outside the map counted, corrected to the cells inside."""
    pooled: Tensor = given[0]
    ones = torch.ones_like(pooled[:1, :1])
    return (pooled / F.avg_pool2d(ones, kernel_size=3, stride=1, padding=1),)


@torch.no_grad()
def _features(net: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = images.reshape(-1, *images.shape[2:])
    parts = []
    for start in range(0, len(flat), _PART):
        pictures = torch.from_numpy(np.ascontiguousarray(flat[start : start + _PART])).permute(0, 3, 1, 2)
        resized = F.interpolate(
            pictures.float() / 255, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=False
        )
        parts.append(net(2 * resized - 1))
    return torch.cat(parts).reshape(*images.shape[:2], -1).numpy()
