"""What a decoder says of parts, written as the shape programs write it: shares are zeros and ones, and what a
kind of part does not use has its usual value. The reader of tables knows no other."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.svr import parts_layout as layout

USUAL_SCALE = 0.15
"""Size of the pattern where there is none."""


def table_of(rows: Tensor) -> Tensor:
    """Table [..., SLOTS, COLUMNS] of rows with logits where the layout has shares."""
    table = rows.clone()
    for column in (layout.EXISTS, layout.CUT):
        table[..., column] = (rows[..., column] > 0).to(rows)
    for columns in (layout.KIND, layout.PATTERN):
        chosen = rows[..., columns]
        table[..., columns] = F.one_hot(chosen.argmax(-1), chosen.shape[-1]).to(rows)
    kind = table[..., layout.KIND]
    used, round_kinds, outlined = (column.to(rows) for column in of_kinds())
    table[..., layout.PARAMS] *= kind @ used
    table[..., layout.OUTLINE] *= (kind @ outlined)[..., None]
    any_turn = rows.new_tensor([1.0, 0.0, 0.0])
    turned = (kind @ round_kinds)[..., None] > 0
    table[..., layout.AXIS_X] = torch.where(turned, any_turn, table[..., layout.AXIS_X])
    plain = table[..., layout.PATTERN.start] > 0
    table[..., layout.COLOR_B] = torch.where(
        plain[..., None], table[..., layout.COLOR_A], table[..., layout.COLOR_B]
    )
    table[..., layout.SCALE] = torch.where(plain, USUAL_SCALE, table[..., layout.SCALE])
    return table * table[..., [layout.EXISTS]]


def of_kinds() -> tuple[Tensor, Tensor, Tensor]:
    """Of each kind: which params it uses [K, 4], whether it is round [K], whether it has an outline [K]."""
    counts = torch.tensor([layout.PARAM_COUNTS[kind] for kind in layout.KINDS])
    used = (torch.arange(4) < counts[:, None]).float()
    round_kinds = torch.tensor([float(kind in layout.ROUND_KINDS) for kind in layout.KINDS])
    outlined = torch.tensor([float(kind in ("prism", "lathe")) for kind in layout.KINDS])
    return used, round_kinds, outlined
