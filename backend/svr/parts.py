"""The starter's SVR model: an image becomes a code, and the code a list of solid parts.

A field on a network or on planes blurs what it is not sure of: legs fray, edges wave. Here the decoder says
parts (kind, frame, sizes, outline, material), and the field is their union, so that whatever it says is
crisp: legs are straight, tops are flat, holes are round (our choice; assembling shapes from primitives is an
old idea of the field). A point costs a few dozen operations per part and no network at all.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.cameras import Cameras
from backend.image_encoder import SlimResNet, Stages
from backend.paint_words import Paintwork
from backend.svr import parts_layout as layout
from backend.svr.base import SvrModel, SvrSpec
from backend.svr.parts_field import PartsField
from backend.svr.parts_namer import PartNamer
from backend.svr.parts_paints import clear_paints
from backend.svr.parts_repaint import lacking_parts, repainted, shows, surface_shares
from backend.svr.parts_skin import Skin
from backend.svr.parts_stretch import stretched
from backend.svr.parts_table import table_of
from backend.view_head import ViewHead

STAGES: Stages = ((64, 2), (128, 3), (192, 3), (256, 2))
"""Of the encoder: wide where its maps are fine, since a shelf is two pixels thick (our choice)."""
_REPAINT_ROUNDS = 3
"""Corrections of a repainted code by what it decodes to: one leaves half of the paintings unsaid, three a
sixth."""


class PartsSvr(SvrModel):
    """Image [B, 3, S, S] -> code [B, C] -> rows of parts [B, SLOTS, COLUMNS] -> occupancy and colour.

    `stages` are those of the encoder, `hidden` and `blocks` scale the decoder. `azimuths` is the number of
    directions among which the encoder tells where an image was taken from; 0 tells none. `names` is what its
    parts may be called; without any they have no names.
    """

    byte_weights = ("encoder.", "viewer.")

    def __init__(self, *, code_size: int = 128, image_size: int = 96, stages: Stages = STAGES,
                 hidden: int = 640, blocks: int = 4, azimuths: int = 0,
                 names: Sequence[str] = ()) -> None:  # fmt: skip
        super().__init__()
        self._architecture = {
            "code_size": code_size, "image_size": image_size, "stages": [list(stage) for stage in stages],
            "hidden": hidden, "blocks": blocks, "azimuths": azimuths,
        }  # fmt: skip
        if names:
            self._architecture["names"] = list(names)
        self.spec = SvrSpec("parts", code_size, image_size, reads_parts=True)
        self.encoder = SlimResNet(code_size, image_size, stages)
        self.viewer = ViewHead(self.encoder.feature_size, azimuths) if azimuths else None
        self.reader = PartReader(code_size, hidden)
        self.decoder = PartDecoder(code_size, hidden, blocks)
        self.names = tuple(names)
        self.namer = PartNamer(code_size, len(names)) if names else None
        self.skin = Skin()

    def encode(self, images: Tensor) -> Tensor:
        """Codes [B, C]: the mean of what is read from images [B, 3, H, W] and from their mirror images, in
        which most shapes look as they do from the other side (our choice)."""
        codes = self.encoder.code(self.features(torch.cat([images, images.flip(-1)])))
        return codes.unflatten(0, (2, -1)).mean(0)

    def camera_of(self, image: Tensor) -> Cameras | None:
        if self.viewer is None:
            return None
        return self.viewer.cameras(self.features(image))

    def features(self, images: Tensor) -> Tensor:
        """What codes and cameras are read from [B, D], of images [B, 3, H, W] in [0, 1]."""
        size = (self.spec.image_size, self.spec.image_size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        return self.encoder.features(images)

    def encode_parts(self, tables: Tensor) -> Tensor:
        return self.reader(tables)[0]

    def repainted(self, code: Tensor, work: Paintwork) -> Tensor:
        rows = clear_paints(self.decoder(code[None]))
        said = table_of(rows)
        names = self._part_names(said[0], code)
        tables = repainted(said[0], work, names)
        goals, codes = self.encode_parts(tables), code.expand(len(tables), -1)
        # Differences, so that what a table does not hold of the code is kept.
        for _ in range(_REPAINT_ROUNDS):
            codes = codes + goals - self.encode_parts(said)
            said = self._said(codes)
        if not len(tables):
            return codes
        shares = surface_shares(rows[0])
        return codes[torch.tensor([shows(table, work, shares, names) for table in said])]

    def lacking_parts(self, code: Tensor, work: Paintwork) -> list[str]:
        table = self._said(code[None])[0]
        return lacking_parts(table, work, self._part_names(table, code), self.names)

    def stretched(self, code: Tensor, factors: Tensor) -> Tensor:
        said = self._said(code[None])
        # A difference, as of repainted codes; more rounds follow the stretched parts no better.
        step = self.encode_parts(stretched(said[0], factors)[None]) - self.encode_parts(said)
        return code + step[0]

    def strangeness(self, codes: Tensor) -> Tensor:
        return (self.encode_parts(self._said(codes)) - codes).square().mean(-1).sqrt()

    def _part_names(self, table: Tensor, code: Tensor) -> list[str]:
        """What the rows of a table [SLOTS, COLUMNS] with its code [C] are called; "" where nobody knows."""
        if self.namer is None:
            return [""] * len(table)
        return [self.names[i] for i in self.namer.named(table, code)]

    def _said(self, codes: Tensor) -> Tensor:
        """The tables of parts [B, SLOTS, COLUMNS] that codes [B, C] mean."""
        return table_of(clear_paints(self.decoder(codes)))

    def field(self, codes: Tensor) -> PartsField:
        return PartsField(self.skin, clear_paints(self.decoder(codes)))

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)


class PartReader(nn.Module):
    """Table [B, SLOTS, COLUMNS] -> mean and log deviation of its code, [B, C] each."""

    def __init__(self, code_size: int, hidden: int, blocks: int = 2) -> None:
        super().__init__()
        self.inlet = nn.Linear(layout.SLOTS * layout.COLUMNS, hidden)
        self.blocks = nn.ModuleList([ResidualBlock(hidden) for _ in range(blocks)])
        self.outlet = nn.Linear(hidden, 2 * code_size)

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor]:
        x = self.inlet(table.flatten(1))
        for block in self.blocks:
            x = block(x)
        mean, log_deviation = self.outlet(F.silu(x)).chunk(2, -1)
        return mean, log_deviation.clamp(-8, 1)


class PartDecoder(nn.Module):
    """Code [B, C] -> rows [B, SLOTS, COLUMNS], with logits where the layout has shares."""

    def __init__(self, code_size: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.inlet = nn.Linear(code_size, hidden)
        self.blocks = nn.ModuleList([ResidualBlock(hidden) for _ in range(blocks)])
        self.outlet = nn.Linear(hidden, layout.SLOTS * layout.COLUMNS)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.inlet(codes)
        for block in self.blocks:
            x = block(x)
        return self.outlet(F.silu(x)).unflatten(-1, (layout.SLOTS, layout.COLUMNS))


class ResidualBlock(nn.Module):
    """x + linear(silu(linear(silu(norm x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))
