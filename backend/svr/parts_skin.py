"""What stage 3 paints with: a correction of a parts model's colours that is nothing until it is tuned."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from backend.solid_patterns import draw_lattice

_SEED = 3


class Skin(nn.Module):
    """Feature planes [3, K, R, R] and a small network on them, whose last layer is zero.

    `lattice` is the noise of the patterns below it.
    """

    def __init__(self, channels: int = 12, cells: int = 64, hidden: int = 64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(_SEED)
        self.register_buffer("planes", torch.zeros(3, channels, cells, cells), persistent=False)
        self.register_buffer("lattice", draw_lattice(generator))
        self.head = nn.Sequential(
            nn.Linear(3 * channels + 3, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, 3),
        )  # fmt: skip
        for layer in (self.head[0], self.head[2]):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.head[4].weight)
        nn.init.zeros_(self.head[4].bias)

    def tensors(self) -> dict[str, Tensor]:
        """What is tuned, by name."""
        return {"planes": self.planes, **{f"head.{k}": v for k, v in self.head.named_parameters()}}

    def over(self, colors: Tensor, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        """sRGB [P, 3]: colours [P, 3] at points [P, 3] under a skin of given tensors."""
        weights = {k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")}
        planes = tensors["planes"]
        pairs = torch.stack([points[:, [0, 1]], points[:, [1, 2]], points[:, [2, 0]]]) * 2  # [3, P, 2]
        found = F.grid_sample(planes, pairs[:, :, None], padding_mode="border", align_corners=False)
        features = torch.cat([found[..., 0].flatten(0, 1).T, points], -1)
        raw = functional_call(self.head, weights, (features,))
        return (colors.clamp(0.01, 0.99).logit() + raw).sigmoid()
