"""A generative M: flow matching over shape codes, conditioned on the text and started from a near image.

The paper's M regresses, so it answers a text with the mean of all codes that fit it, and a mean of sharp
codes decodes to rags. This mapper draws one code that fits instead (our choice): in whitened code space it
carries noise to a code along a learnt velocity. The images are the stepping stones literally: of a bank of
training images and their codes, one that fits the text is picked, and its code, under much noise, is where
the flow starts. What comes out is a new shape, not the bank's.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backend.mapper import Mapper
from backend.shape_tower import ShapeTower
from backend.whitening import Whitening

NEAR_START = 0.4
"""Where the flow starts from a code that is known, such as that of an image: near enough to keep its gist,
far enough for the flow to make a clean shape of it (measured: .65 and .2 give worse shapes)."""
SETTLED = 0.4
"""Last share of the flow that the middle of a blend goes through."""


class FlowMapper(Mapper):
    """Feature [B, F] -> code [B, C] by `steps` Euler steps in K whitened dimensions."""

    def __init__(self, *, feature_size: int = 256, code_size: int = 256, components: int = 64,
                 hidden: int = 512, blocks: int = 4, bank_size: int = 4096, neighbours: int = 8,
                 steps: int = 12, start: float = 0.0, guidance: float = 1.0) -> None:  # fmt: skip
        """start: share of the bank's code in the flow's start, 0 (noise alone) to below 1. guidance: how far
        the velocity goes from that of no condition to that of the prompt; 1 is there, more is beyond
        (classifier-free guidance; needs a flow that was trained without conditions now and then)."""
        super().__init__()
        self._architecture = {
            "feature_size": feature_size, "code_size": code_size, "components": components, "hidden": hidden,
            "blocks": blocks, "bank_size": bank_size, "neighbours": neighbours, "steps": steps,
            "start": start, "guidance": guidance,
        }  # fmt: skip
        self.steps, self.neighbours, self.components = steps, neighbours, components
        self.start, self.guidance = start, guidance
        self.register_buffer("bank", torch.zeros(bank_size, feature_size))
        self.register_buffer("bank_codes", torch.zeros(bank_size, code_size))
        self.register_buffer("code_mean", torch.zeros(code_size))
        self.register_buffer("code_basis", torch.zeros(components, code_size))
        self.register_buffer("code_scale", torch.ones(components))
        self.inlet = nn.Linear(components, hidden)
        self.condition = nn.Sequential(
            nn.Linear(feature_size + 32, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )
        self.blocks = nn.ModuleList([_ModulatedBlock(hidden) for _ in range(blocks)])
        self.outlet = nn.Linear(hidden, components)
        self.tower = ShapeTower(code_size, feature_size)
        nn.init.zeros_(self.outlet.weight)
        nn.init.zeros_(self.outlet.bias)

    @property
    def whitening(self) -> Whitening:
        """The space in which the flow lives."""
        return Whitening(self.code_mean, self.code_basis, self.code_scale)

    def set_space(self, whitening: Whitening, bank: Tensor, codes: Tensor) -> None:
        """Fix the whitened space and the bank: unit image features [N, F], and codes [N, C] of the shapes."""
        self.code_mean, self.code_basis, self.code_scale = whitening.mean, whitening.basis, whitening.scale
        self.bank, self.bank_codes = bank, codes

    def velocity(self, white: Tensor, time: Tensor, features: Tensor) -> Tensor:
        """Velocity [B, K] at whitened codes [B, K], times [B] in [0, 1], unit conditions [B, F]; zeros are no
        condition."""
        frequencies = torch.arange(1, 17, device=time.device) * torch.pi
        angle = time[:, None] * frequencies
        waves = torch.cat([torch.sin(angle), torch.cos(angle)], -1)  # [B, 32]
        size = features.shape[-1] ** 0.5  # unit features have tiny entries; bring them to about 1
        condition = self.condition(torch.cat([features * size, waves], -1))
        x = self.inlet(white)
        for block in self.blocks:
            x = block(x, condition)
        return self.outlet(F.silu(x))

    def propose(
        self, features: Tensor, generator: torch.Generator | None, diversity: float,
        near: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Codes [B, C]; `diversity` is the temperature of the starting noise. 0 needs no generator: each
        text's nearest entry of the bank and the middle of the noise.

        near: a code [C], under noise the flow's start instead of a bank's. What an encoder saw in an image
        is so made a shape that there could be.
        """
        start = NEAR_START
        if near is None:
            start = self.start
            near = self.bank_codes[self._picked(features, generator, diversity)]
        white = torch.zeros(len(features), self.components, device=features.device)
        if diversity > 0:
            white = diversity * torch.randn(white.shape, generator=generator).to(white)
        white = (1 - start) * white + start * self.whitening.to_white(near)
        return self.whitening.to_code(self._carried(white, start, features))

    def between(self, first: Tensor, second: Tensor, weight: float) -> Tensor:
        """A mixture of codes is the code of no shape; the last of the flow, without a text, brings it to one
        that there could be (our choice). The ends stay as they are, and what is near to them nearly so. A
        flow that is not guided may never have been without a text; its mixtures stay mixtures."""
        mixed = super().between(first, second, weight)
        if self.guidance == 1:
            return mixed
        start = 1 - SETTLED * 4 * weight * (1 - weight)
        white = start * self.whitening.to_white(mixed[None])
        settled = self._carried(white, start, mixed.new_zeros(1, self.bank.shape[1]))
        # The difference, so that what whitening leaves out is kept.
        return mixed + self.whitening.offset(settled[0] - self.whitening.to_white(mixed))

    def _carried(self, white: Tensor, start: float, features: Tensor) -> Tensor:
        """Whitened codes [B, K] along the flow from the time `start` to its end."""
        step = (1 - start) / self.steps
        for i in range(self.steps):
            time = torch.full((len(white),), start + i * step, device=white.device)
            white = white + self._guided(white, time, features) * step
        return white

    def _picked(self, features: Tensor, generator: torch.Generator | None, diversity: float) -> Tensor:
        """Entries of the bank [B] that fit, one of the nearest each."""
        fitting = features @ (self.bank + self.tower(self.bank_codes)).T
        near = fitting.topk(min(self.neighbours, len(self.bank)), dim=-1).indices  # [B, N]
        if diversity <= 0:
            return near[:, 0]
        pick = torch.randint(near.shape[1], (len(near), 1), generator=generator).to(near)
        return near.gather(1, pick)[:, 0]

    def _guided(self, white: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        if self.guidance == 1:
            return self.velocity(white, time, condition)
        conditions = torch.cat([condition, torch.zeros_like(condition)])
        bound, free = self.velocity(white.repeat(2, 1), time.repeat(2), conditions).chunk(2)
        return free + self.guidance * (bound - free)

    def agreement(self, codes: Tensor, features: Tensor) -> Tensor:
        return (self.tower(codes) * features).sum(-1)

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)


class _ModulatedBlock(nn.Module):
    """A residual block whose normalised input is scaled and shifted by the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        self.net = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, shift, gate = self.modulation(F.silu(condition)).chunk(3, -1)
        return x + gate * self.net(self.norm(x) * (1 + gain) + shift)
