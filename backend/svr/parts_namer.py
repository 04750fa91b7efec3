"""What the parts of a decoded shape are called.

A shape of parts does not say which of them are its wheels. This small network does, from a part's form and
place and the code of the whole, so that a paint goes where a prompt wants it (our choice).
"""

import torch
from torch import Tensor, nn

from backend.svr import parts_layout as layout

_HIDDEN = 96
_FORM = layout.PATTERN.start
"""Columns of a table that tell form and place; what follows is paint."""


class PartNamer(nn.Module):
    """Tables [B, SLOTS, COLUMNS] and their codes [B, C] -> logits [B, SLOTS, N] of N names."""

    def __init__(self, code_size: int, names: int) -> None:
        super().__init__()
        self.whole = nn.Linear(code_size, _HIDDEN)
        self.part = nn.Linear(_FORM, _HIDDEN)
        self.net = nn.Sequential(
            nn.LayerNorm(_HIDDEN), nn.SiLU(),
            nn.Linear(_HIDDEN, _HIDDEN), nn.SiLU(),
            nn.Linear(_HIDDEN, names),
        )  # fmt: skip

    def forward(self, tables: Tensor, codes: Tensor) -> Tensor:
        return self.net(self.part(tables[..., :_FORM]) + self.whole(codes)[:, None])

    @torch.no_grad()
    def named(self, table: Tensor, code: Tensor) -> list[int]:
        """The likeliest name of each row of a table [SLOTS, COLUMNS] with its code [C]."""
        return self(table[None], code[None])[0].argmax(-1).tolist()
