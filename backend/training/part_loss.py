"""How far rows that a parts model says are from a shape's own table of parts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.svr import parts_layout as layout
from backend.svr.parts_table import of_kinds

LENGTHS, CLASSES, COLORS = 6.0, 1.0, 2.0
"""Weights of errors in units of the cube, of cross entropies, and of colour errors."""
_CORNER = 4.0 / layout.CORNERS
"""Weight of a corner's error: a whole outline counts as four."""


def part_loss(rows: Tensor, table: Tensor) -> dict[str, Tensor]:
    """Losses of rows [B, SLOTS, COLUMNS] (logits where the layout has shares) against tables.

    Parts are compared in the order in which their program makes them. Every shape counts alike, and within a
    shape every part; what a kind of part does not use is not compared.
    """
    exists = table[..., layout.EXISTS]
    share = exists / exists.sum(1, keepdim=True).clamp_min(1) / len(table)  # [B, SLOTS]
    kind = table[..., layout.KIND]
    used, round_kinds, outlined = (column.to(rows) for column in of_kinds())
    error = (rows - table).abs()
    size = torch.maximum(
        table[..., layout.PARAMS][..., :3].amax(-1), table[..., layout.OUTLINE].abs().amax(-1)
    )
    turned = error[..., layout.AXIS_Y].sum(-1) + error[..., layout.AXIS_X].sum(-1) * (1 - kind @ round_kinds)
    lengths = (
        error[..., layout.CENTER].sum(-1)
        + size * turned
        + (error[..., layout.PARAMS] * (kind @ used)).sum(-1)
        + _CORNER * error[..., layout.OUTLINE].sum(-1) * (kind @ outlined)
        + error[..., layout.BLEND]
    )
    pattern = table[..., layout.PATTERN]
    patterned = 1 - pattern[..., 0]
    colors = (
        error[..., layout.COLOR_A].sum(-1)
        + patterned * (error[..., layout.COLOR_B].sum(-1) + 2 * error[..., layout.SCALE])
    )  # fmt: skip
    there = F.binary_cross_entropy_with_logits(rows[..., layout.EXISTS], exists, reduction="none")
    cut = F.binary_cross_entropy_with_logits(rows[..., layout.CUT], table[..., layout.CUT], reduction="none")
    named = -(rows[..., layout.KIND].log_softmax(-1) * kind).sum(-1)
    looked = -(rows[..., layout.PATTERN].log_softmax(-1) * pattern).sum(-1)
    return {
        "lengths": LENGTHS * (lengths * share).sum(),
        "exists": CLASSES * there.sum(1).mean() / 4,
        "kinds": CLASSES * ((named + cut) * share).sum(),
        "patterns": 0.5 * CLASSES * (looked * share).sum(),
        "colors": COLORS * (colors * share).sum(),
    }
