"""Where the surface of a shape of parts lies, whatever part it belongs to, as a loss.

Many shapes are asked at once: a GPU waits for nothing so much as for one small shape after the other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.svr import parts_layout as layout
from backend.svr.parts_field import SHARP, SOFTNESS, Parts, there

_POINTS, _NEAR = 1500, 400
"""Points drawn in the cube, and those nearest to the true surface that are compared."""
_SPREAD = 3.0
"""Logits of the field that count as one: a surface that is 0.03 off still feels which way to go."""
_FAR = 1e9
"""Distance to a part that is not there."""


def volume_loss(rows: Tensor, tables: Tensor, generator: torch.Generator) -> Tensor:
    """Cross entropy of being inside the shapes of rows [B, SLOTS, COLUMNS], at random points near the
    surfaces of the shapes of tables: where a surface lies counts, not which part it belongs to."""
    points = (torch.rand((len(rows), _POINTS, 3), generator=generator) - 0.5).to(rows.device)
    with torch.no_grad():
        logits = occupancy_of_all(tables, points)
    near = logits.abs().topk(_NEAR, largest=False).indices
    chosen = points.gather(1, near[..., None].expand(-1, -1, 3))
    said = occupancy_of_all(rows, chosen)
    return F.binary_cross_entropy_with_logits(said / _SPREAD, (logits.gather(1, near) > 0).to(said))


def occupancy_of_all(rows: Tensor, points: Tensor) -> Tensor:
    """Occupancy logits [B, P] of the shapes of rows [B, SLOTS, COLUMNS] at their points [B, P, 3], as of
    `PartsField`."""
    exists = there(rows)
    shape, slot = exists.nonzero(as_tuple=True)
    own = rows[exists]
    each = points.new_full((len(rows), rows.shape[1], points.shape[1]), _FAR)
    each = each.index_put((shape, slot), Parts.of(own).distances(points[shape]))
    cut = ((rows[..., layout.CUT] > 0) & exists)[..., None]
    blend = torch.where(exists, rows[..., layout.BLEND], 0)[..., None]
    whole = each.new_full((len(rows), points.shape[1]), _FAR)
    for i in range(int(slot.max()) + 1):
        part, radius = each[:, i], blend[:, i].clamp_min(SHARP)
        overlap = (radius - (whole - part).abs()).clamp_min(0) / radius
        rounded = torch.where(blend[:, i] > SHARP, overlap.square() * radius * 0.25, 0)
        whole = torch.where(cut[:, i], torch.maximum(whole, -part), torch.minimum(whole, part) - rounded)
    return -whole / SOFTNESS
