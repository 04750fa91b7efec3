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
    scaled = {name for name, t in tensors.items() if t.dtype == torch.int8 and name + SCALE in tensors}
    rest = {name: t for name, t in tensors.items() if name.removesuffix(SCALE) not in scaled}
    return rest | {name: _spread(tensors[name + SCALE], tensors[name]) * tensors[name] for name in scaled}


def _spread(scale: Tensor, weight: Tensor) -> Tensor:
    """Scales [N] in a shape that multiplies a weight [N, ...]."""
    return scale.view(-1, *[1] * (weight.dim() - 1))
