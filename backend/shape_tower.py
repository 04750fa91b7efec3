"""CLIP's third tower: a shape code as a feature in CLIP space.

An image tower judges a shape by a few small views, which hide much; this one sees the code itself. It ranks
what a generative mapper proposes (our choice).
"""

from torch import Tensor, nn
from torch.nn import functional as F


class ShapeTower(nn.Module):
    """Code [B, C] -> unit feature [B, F]."""

    def __init__(self, code_size: int, feature_size: int, hidden: int = 512) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(code_size, hidden), nn.LayerNorm(hidden), nn.SiLU(),
            nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.SiLU(),
            nn.Linear(hidden, feature_size),
        )  # fmt: skip

    def forward(self, codes: Tensor) -> Tensor:
        return F.normalize(self.net(codes), dim=-1)
