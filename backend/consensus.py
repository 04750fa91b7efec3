"""Which of some shapes is nearest to what they all may be.

Shapes that have the outline of an object differ in what it does not tell, and boards that stand a little
beside the true ones overlap with nothing of them. So not the likeliest shape is the best answer, but the one
whose expected overlap with the true shape is greatest (the choice of least Bayes risk; that it is made here
is our choice).
"""

import torch
from torch import Tensor

from backend.rendering.occupancy_grid import build_grid
from backend.svr.base import SvrModel

_CELLS = 32
"""Per axis of the grids whose overlaps are taken."""
_SHARPNESS = 2.0
"""By how much the log of a shape's chance of being the true one grows with its rank."""


@torch.no_grad()
def expected_overlaps(svr: SvrModel, codes: Tensor, rank: Tensor) -> Tensor:
    """Expected IoU [N], 0 to 1, of the shape of each of codes [N, C] with the true one, if that is one of
    them; the greater its rank [N], the likelier. Two empty shapes overlap nothing."""
    chance = (_SHARPNESS * rank).softmax(0)
    solids = torch.stack([_solid(svr, code) for code in codes])
    shared = solids @ solids.mT
    size = shared.diagonal()
    either = size[:, None] + size - shared
    return shared / either.clamp_min(1) @ chance


def _solid(svr: SvrModel, code: Tensor) -> Tensor:
    """The corners of a grid, 1 where they lie in the shape of a code [C]."""
    grid = build_grid(svr.field(code[None]), _CELLS, svr.spec.iso_logit, device=code.device)
    return (grid.logits > 0).flatten().float()
