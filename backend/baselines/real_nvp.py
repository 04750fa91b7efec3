"""A conditional normalising flow over shape codes: affine couplings (RealNVP, Dinh et al. 2017).

An exact, invertible map between whitened shape codes and Gaussian noise, given a feature; CLIP-Forge uses one
between image features in training and text features at test time.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from backend.mapper import Mapper
from backend.whitening import Whitening

LARGEST_LOG_SCALE = 2.0
"""Of one coupling: keeps a young flow from blowing up."""


class RealNvpMapper(Mapper):
    """Feature [B, F] -> code [B, C] through `couplings` invertible steps in K whitened dimensions."""

    def __init__(
        self, *, feature_size: int, code_size: int, components: int, hidden: int = 512, couplings: int = 6
    ) -> None:
        super().__init__()
        self._architecture = {
            "feature_size": feature_size, "code_size": code_size, "components": components,
            "hidden": hidden, "couplings": couplings,
        }  # fmt: skip
        self.components = components
        self.register_buffer("code_mean", torch.zeros(code_size))
        self.register_buffer("code_basis", torch.zeros(components, code_size))
        self.register_buffer("code_scale", torch.ones(components))
        places = torch.arange(components)
        self.couplings = nn.ModuleList(
            [_Coupling((places + i) % 2 == 0, feature_size, hidden) for i in range(couplings)]
        )

    @property
    def whitening(self) -> Whitening:
        """The space in which the flow lives."""
        return Whitening(self.code_mean, self.code_basis, self.code_scale)

    def set_space(self, whitening: Whitening) -> None:
        """Fix the whitened space."""
        self.code_mean, self.code_basis, self.code_scale = whitening.mean, whitening.basis, whitening.scale

    def to_noise(self, white: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Noise [B, K] of whitened codes [B, K] given unit features [B, F], and the log determinant [B]."""
        log_determinant = white.new_zeros(len(white))
        for coupling in self.couplings:
            white, change = coupling(white, features)
            log_determinant = log_determinant + change
        return white, log_determinant

    def from_noise(self, noise: Tensor, features: Tensor) -> Tensor:
        """Whitened codes [B, K] of noise [B, K]: the inverse of `to_noise`."""
        for coupling in reversed(self.couplings):
            noise = coupling.inverse(noise, features)
        return noise

    def negative_log_likelihood(self, white: Tensor, features: Tensor) -> Tensor:
        """Of whitened codes [B, K], per dimension: [B]."""
        noise, log_determinant = self.to_noise(white, features)
        gauss = 0.5 * (noise.square() + math.log(2 * math.pi)).sum(dim=-1)
        return (gauss - log_determinant) / self.components

    def propose(
        self, features: Tensor, generator: torch.Generator | None, diversity: float,
        near: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Codes [B, C]; `diversity` is the temperature of the noise, 0 gives the most likely code."""
        noise = torch.zeros(len(features), self.components, device=features.device)
        if diversity > 0:
            noise = diversity * torch.randn(noise.shape, generator=generator).to(noise)
        return self.whitening.to_code(self.from_noise(noise, features))

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)


class _Coupling(nn.Module):
    """x at the kept places, x * exp(s) + t at the others; s and t from the kept places and the feature."""

    def __init__(self, kept: Tensor, feature_size: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("kept", kept.float())
        size = len(kept)
        self._feature_scale = feature_size**0.5  # unit features have tiny entries; bring them to about 1
        self.net = nn.Sequential(
            nn.Linear(size + feature_size, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, 2 * size),
        )  # fmt: skip
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self._change(x, features)
        return x * scale.exp() + shift, scale.sum(dim=-1)

    def inverse(self, y: Tensor, features: Tensor) -> Tensor:
        scale, shift = self._change(y, features)  # the kept places are the same before and after
        return (y - shift) * (-scale).exp()

    def _change(self, x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        given = torch.cat([x * self.kept, self._feature_scale * features], dim=-1)
        scale, shift = ((1 - self.kept) * self.net(given).reshape(len(x), 2, -1).transpose(0, 1)).unbind(0)
        return LARGEST_LOG_SCALE * torch.tanh(scale / LARGEST_LOG_SCALE), shift
