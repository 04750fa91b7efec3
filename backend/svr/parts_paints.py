"""Clear paints: parts whose colours are nearly the same share one, and a colour strays little from those that
things are painted in.

What a decoder says of a code between two shapes is a colour between theirs, for every part another: mud. The
shape programs paint in named colours and the tints of materials, so that is what parts are drawn to (our
choice). Gradients pass straight through, so that stage 2 can carry a part from one paint to another.
"""

import functools

import torch
from torch import Tensor

from backend.named_colors import COLORS, TINTS
from backend.svr import parts_layout as layout

SAME = 0.1
"""Distance in sRGB at which two parts' colours still count, by a factor exp(-1/2), as one paint."""
_MERGES = 2
"""Steps towards the mean of like colours."""
SURE = 0.04
"""Distances to two paints that differ by this leave little doubt which is meant."""
STRAY = 0.06
"""Farthest that a colour strays from its paint: about what the shape programs let it."""


def clear_paints(rows: Tensor) -> Tensor:
    """Rows [B, SLOTS, COLUMNS], with logits where the layout has shares, whose main colours are merged where
    parts of one pattern nearly share them, and drawn to the known paints."""
    pattern = rows[..., layout.PATTERN].argmax(-1)
    there = rows[..., layout.EXISTS] > 0
    alike = (pattern[:, :, None] == pattern[:, None]) & there[:, None]
    alike = alike | torch.eye(rows.shape[1], dtype=torch.bool, device=rows.device)
    merged = rows[..., layout.COLOR_A].clamp(0, 1)
    for _ in range(_MERGES):
        away = (merged[:, :, None] - merged[:, None]).square().sum(-1)
        share = torch.exp(away / (-2 * SAME**2)) * alike
        merged = share @ merged / share.sum(-1, keepdim=True)
    drawn = merged + _to_paint(merged.detach(), pattern)  # straight through: gradients know of no paints
    return torch.cat([rows[..., : layout.COLOR_A.start], drawn, rows[..., layout.COLOR_A.stop :]], -1)


def _to_paint(colors: Tensor, pattern: Tensor) -> Tensor:
    """What brings colours [B, SLOTS, 3] of patterns [B, SLOTS] to within STRAY of a paint."""
    known, usual = (table.to(colors) for table in _known_paints())
    away = (colors[..., None, :] - known).square().sum(-1) + usual[pattern]
    stray = colors - torch.softmax(away / (-2 * SURE**2), dim=-1) @ known
    length = stray.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return stray * ((STRAY / length).clamp(max=1) - 1)


@functools.cache
def _known_paints() -> tuple[Tensor, Tensor]:
    """The named colours and the materials' tints [N, 3], and of each pattern [P, N] 0 where it comes in the
    paint, else infinity: a material with tints has those, all else the named colours, leather both."""
    paints = [*COLORS.values(), *(rgb for mains, _ in TINTS.values() for rgb in mains)]
    owners = [name for name, (mains, _) in TINTS.items() for _ in mains]
    usual = torch.full((len(layout.PATTERNS), len(paints)), torch.inf)
    for row, pattern in zip(usual, layout.PATTERNS, strict=True):
        if pattern not in TINTS or pattern == "leather":
            row[: len(COLORS)] = 0
        for i, owner in enumerate(owners, len(COLORS)):
            if owner == pattern:
                row[i] = 0
    return torch.tensor(paints), usual
