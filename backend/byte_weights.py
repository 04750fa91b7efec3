"""Weights in eight bits: whole numbers, and a scale for every row of a matrix or kernel of a convolution.

Half the size of half precision, for networks that can bear it (our choice): no weight moves by more than a
254th of the greatest in its row.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
"""Ends the name of the scales of the weights that are named before it."""
_MOST = 127


def to_bytes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight [N, ...] as int8 of the same shape and float32 scales [N]."""
    rows = weight.detach().float().flatten(1)
    scale = rows.abs().amax(1) / _MOST
    whole = (rows / torch.where(scale > 0, scale, 1)[:, None]).round()
    return whole.to(torch.int8).view_as(weight), scale


def from_bytes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with their scales multiplied in; what has none stays as it is."""
    scales = {name.removesuffix(SCALE) for name in tensors if name.endswith(SCALE)}
    scaled = {name for name in scales if name in tensors and tensors[name].dtype == torch.int8}
    spread = {
        name: tensors[name + SCALE].view(-1, *[1] * (tensors[name].dim() - 1)) * tensors[name]
        for name in scaled
    }
    rest = {name: t for name, t in tensors.items() if name.removesuffix(SCALE) not in scaled}
    return {**rest, **spread}
