"""The mapper of ISS with GET3D: from a CLIP feature to a geometry style and a texture style.

A trunk of linear layers with layer norm and two heads, with the public parameter names linear_{1..7}g1,
linear_4 (geometry) and linear_4x (texture). Public state dicts also hold linear_1 to linear_3, which nothing
uses; they are left out.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.errors import CheckpointError
from backend.mapper import SLOPE, Mapper, mix_noise
from backend.weights import load_strictly

TRUNK = 7
"""Linear layers before the heads."""
_UNUSED = re.compile(r"linear_[123]\.(weight|bias)")


class Get3dMapper(Mapper):
    """Feature [B, F] to code [B, 2 * style]: the geometry style, then the texture style."""

    def __init__(
        self, feature_size: int = 512, hidden: int = 2048, narrow: int = 512, style: int = 512
    ) -> None:
        """hidden: width of the trunk; narrow: of its last layer; style: of each head."""
        super().__init__()
        widths = [feature_size, *[hidden] * (TRUNK - 1), narrow]
        for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            self.add_module(f"linear_{number}g1", nn.Linear(inputs, outputs))
        self.linear_4 = nn.Linear(narrow, style)
        self.linear_4x = nn.Linear(narrow, style)
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(layer.bias, 0.01)
        self._architecture = {
            "feature_size": feature_size,
            "hidden": hidden,
            "narrow": narrow,
            "style": style,
        }

    def forward(self, features: Tensor) -> Tensor:
        """Codes of unit-length features."""
        x = features
        for number in range(1, TRUNK + 1):
            x = self.get_submodule(f"linear_{number}g1")(x)
            x = functional.leaky_relu(functional.layer_norm(x, x.shape[-1:]), SLOPE)
        return torch.cat([self.linear_4(x), self.linear_4x(x)], dim=-1)

    def propose(
        self, features: Tensor, generator: torch.Generator, diversity: float, near: Tensor | None = None
    ) -> Tensor:
        """Codes of the features, mixed with noise of scale `diversity` first."""
        return self(mix_noise(features, diversity, generator) if diversity else features)

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)

    @classmethod
    def from_public(cls, weights: Mapping[str, Tensor]) -> "Get3dMapper":
        """A mapper from a public state dict, in evaluation mode; sizes are read from the tensors.

        Every key must fit, else CheckpointError names the keys.
        """
        ours = {key: tensor for key, tensor in weights.items() if not _UNUSED.fullmatch(key)}
        needed = ("linear_1g1.weight", f"linear_{TRUNK}g1.weight", "linear_4.weight")
        absent = [key for key in needed if key not in ours or ours[key].ndim != 2]
        if absent:
            raise CheckpointError(
                f"{', '.join(absent)}: missing or no matrix; this is no mapper of ISS-GET3D.",
                remedy="Give the mapper's state dict: it has linear_1g1 to linear_7g1, linear_4, linear_4x.",
            )
        first, last, head = (ours[key] for key in needed)
        mapper = cls(first.shape[1], first.shape[0], last.shape[0], head.shape[0])
        load_strictly(mapper, ours)
        return mapper.eval()
