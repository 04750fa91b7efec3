"""GET3D's mapping networks: from Gaussian noise to styles, one for geometry and one for texture."""

import torch
from torch import Tensor, nn

from backend.svr.get3d_layers import STYLE_SIZE, EqualLinear, leaky

LAYERS = 8
RATE = 0.01
"""Learning rate multiplier: weights are stored divided by it."""


class Get3dMapping(nn.Module):
    """Noise z [B, 512] to style w [B, 512], the same for all layers of the synthesis."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(LAYERS):
            self.add_module(f"fc{number}", EqualLinear(STYLE_SIZE, STYLE_SIZE, rate=RATE))
        self.register_buffer("w_avg", torch.zeros(STYLE_SIZE))

    def forward(self, noise: Tensor, truncation: float = 1.0) -> Tensor:
        """truncation: 1 keeps the style, less pulls it towards the average style, 0 is the average."""
        x = noise * (noise.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for number in range(LAYERS):
            x = leaky(self.get_submodule(f"fc{number}")(x))
        return torch.lerp(self.w_avg, x, truncation)
