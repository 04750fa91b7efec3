"""M, the CLIP2Shape mapper: from a CLIP feature to a shape code (method, stage 1).

`Mapper` is what the pipeline asks; `RegressingMapper` is the paper's, with the public parameter names.
`mix_noise` makes image features text-like in stage 1, and different results of one text at test time.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.errors import CheckpointError, SettingError
from backend.weights import load_strictly

PAPER_WIDTHS = (*[512] * 9, *[256] * 4)
"""Sizes before, between and after the paper's twelve layers."""
SLOPE = 0.02
"""Negative slope of the leaky ReLU between layers."""


class Mapper(nn.Module, ABC):
    """Proposes shape codes for CLIP features."""

    @abstractmethod
    def propose(
        self, features: Tensor, generator: torch.Generator, diversity: float, near: Tensor | None = None
    ) -> Tensor:
        """Codes [B, C] for unit-length features [B, F].

        diversity in [0, 1]: 0 gives the most likely code, more gives codes further from it, drawn with the
        generator. near: a code [C] to stay near to, that of an image say; mappers that cannot ignore it.
        """

    def between(self, first: Tensor, second: Tensor, weight: float) -> Tensor:
        """The code [C] between two, at `weight` in [0, 1]: 0 is the first, 1 the second."""
        return torch.lerp(first, second, weight)

    def agreement(self, codes: Tensor, features: Tensor) -> Tensor:
        """How well codes [B, C] fit unit features [B, F] by the codes alone: cosines [B], for ranking. Zeros
        where a mapper cannot tell."""
        return codes.new_zeros(len(codes))

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Constructor arguments, for bundle.json."""


class RegressingMapper(Mapper):
    """Linear layers with leaky ReLU between, trained to regress the SVR model's code of the same image."""

    def __init__(self, widths: Sequence[int] = PAPER_WIDTHS) -> None:
        super().__init__()
        if len(widths) < 2:
            raise SettingError(
                f"A mapper with widths {tuple(widths)} has no layer.", remedy="Give at least two widths."
            )
        self.widths = tuple(widths)
        layers = {f"linear_{i}": nn.Linear(*sizes) for i, sizes in enumerate(pairwise(self.widths), start=1)}
        self.generator = nn.ModuleDict(layers)
        for layer in layers.values():
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Codes [B, C] of unit-length features [B, F]."""
        first, *rest = self.generator.values()
        x: Tensor = first(features)
        for layer in rest:
            x = layer(functional.leaky_relu(x, SLOPE))
        return x

    def propose(
        self, features: Tensor, generator: torch.Generator, diversity: float, near: Tensor | None = None
    ) -> Tensor:
        """Codes of the features, mixed with noise of scale `diversity` first."""
        codes: Tensor = self(mix_noise(features, diversity, generator) if diversity else features)
        return codes

    def architecture(self) -> dict[str, Any]:
        return {"widths": list(self.widths)}

    @classmethod
    def from_public(cls, weights: Mapping[str, Tensor]) -> "RegressingMapper":
        """A mapper from the generator.linear_{i}.* tensors of an ISS checkpoint; others are ignored."""
        ours = {k: v for k, v in weights.items() if k.startswith("generator.")}
        names = [f"generator.linear_{i}.weight" for i in range(1, len(ours) // 2 + 1)]
        matrices = [ours[name] for name in names if name in ours and ours[name].ndim == 2]
        if not matrices or len(matrices) < len(names):
            raise CheckpointError(
                f"The {len(ours)} generator.* tensors are not numbered linear layers; this is no ISS mapper.",
                remedy="Give an ISS checkpoint of stage 1 or 2; its model part has generator.linear_1 on.",
            )
        mapper = cls([matrices[0].shape[1], *(m.shape[0] for m in matrices)])
        load_strictly(mapper, ours)
        return mapper.eval()


def mix_noise(features: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """(1 - scale) * feature + scale * random unit vector, brought to unit length, for features [B, F].

    The reference mixes un-normalised ViT-B/32 features of length about 10 with scale 0.75, so that noise and
    feature stand 3 to 10; for unit-length features scale 0.23 does the same. scale lies in [0, 1].
    """
    if not 0 <= scale <= 1:
        raise SettingError(f"Noise scale is {scale}, outside 0 to 1.", remedy="Choose it between 0 and 1.")
    noise = torch.randn(features.shape, generator=generator, device=generator.device).to(features)
    mixed = (1 - scale) * features + scale * functional.normalize(noise, dim=-1)
    return functional.normalize(mixed, dim=-1)
