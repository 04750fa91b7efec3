"""IM-NET for single-view reconstruction: a grey image to a code in (0, 1), point and code to an inside value.

"Learning Implicit Fields for Generative Shape Modeling" (CVPR 2019), with the public parameter names:
img_encoder.{conv_0, bn_0, res_1..res_8, conv_9, bn_9, conv_10} and generator.linear_1..linear_7. Widths are
free. IM-NET knows no colour: shapes are a plain grey until stage 3 paints them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.errors import CheckpointError
from backend.svr.base import Field, SvrModel, SvrSpec
from backend.weights import load_strictly

SLOPE = 0.02
"""Negative slope of the leaky ReLU in both networks."""
CLAMP_SLOPE = 0.01
"""Slope of the generator's last activation outside [0, 1]."""
SURFACE = 0.5
"""Generator value on the surface; 1 is inside."""
LOGITS_PER_VALUE = 10.0
"""Occupancy logit per unit of value: the values 0 and 1 become logits -5 and 5 (our choice)."""
PLAIN = 0.7
"""Grey of the surface, in sRGB (our choice)."""
LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in grey (ITU-R BT.601)."""
PUBLIC_WIDTHS = (1024, 1024, 1024, 512, 256, 128)
"""Of the generator's hidden layers."""
IMAGE_SIZE = 128
"""Pixels per side; the encoder's last convolution covers the whole map, so that no other size fits."""


class ImnetResidual(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm around a shortcut; the first may halve the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn_1 = nn.BatchNorm2d(outputs)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn_2 = nn.BatchNorm2d(outputs)
        self.shrinks = stride == 2
        if self.shrinks:
            self.conv_s = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.bn_s = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.bn_1(self.conv_1(x)), SLOPE)
        shortcut = self.bn_s(self.conv_s(x)) if self.shrinks else x
        return functional.leaky_relu(self.bn_2(self.conv_2(y)) + shortcut, SLOPE)


class ImnetEncoder(nn.Module):
    """Grey image [B, 1, 128, 128] in [0, 1] on white to code [B, C] in (0, 1)."""

    def __init__(self, width: int, code_size: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(1, width, 7, 2, 3, bias=False)
        self.bn_0 = nn.BatchNorm2d(width)
        widths = [width * factor for factor in (1, 1, 1, 2, 2, 4, 4, 8, 8)]
        for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            self.add_module(f"res_{number}", ImnetResidual(inputs, outputs))
        self.conv_9 = nn.Conv2d(widths[-1], widths[-1], 4, 2, 1, bias=False)
        self.bn_9 = nn.BatchNorm2d(widths[-1])
        self.conv_10 = nn.Conv2d(widths[-1], code_size, 4)

    def forward(self, images: Tensor) -> Tensor:
        # White becomes 0, so that padding is background.
        x = functional.leaky_relu(self.bn_0(self.conv_0(1 - images)), SLOPE)
        for number in range(1, 9):
            x = self.get_submodule(f"res_{number}")(x)
        x = functional.leaky_relu(self.bn_9(self.conv_9(x)), SLOPE)
        return self.conv_10(x).flatten(1).sigmoid()


class ImnetGenerator(nn.Module):
    """Point and code to one value: 1 inside, 0 outside, 0.5 on the surface."""

    def __init__(self, code_size: int, widths: Sequence[int]) -> None:
        super().__init__()
        for number, (inputs, outputs) in enumerate(pairwise((3 + code_size, *widths, 1)), start=1):
            self.add_module(f"linear_{number}", nn.Linear(inputs, outputs))
        self.layers = len(widths) + 1

    def code_term(self, codes: Tensor) -> Tensor:
        """What codes [B, C] add to the first layer, [B, 1, width]; independent of the points."""
        first = self.get_submodule("linear_1")
        return functional.linear(codes, first.weight[:, 3:], first.bias)[:, None]

    def forward(self, points: Tensor, code_term: Tensor) -> Tensor:
        """Values [B, P] at points [B, P, 3]."""
        x = functional.linear(points, self.get_submodule("linear_1").weight[:, :3]) + code_term
        for number in range(2, self.layers + 1):
            x = self.get_submodule(f"linear_{number}")(functional.leaky_relu(x, SLOPE))
        x = x[..., 0]
        return torch.maximum(torch.minimum(x, CLAMP_SLOPE * x + 1 - CLAMP_SLOPE), CLAMP_SLOPE * x)


class ImnetField(Field):
    """The shapes of a batch of codes; their share of the first layer was computed once."""

    def __init__(self, generator: ImnetGenerator, code_term: Tensor, *, detached: bool = False) -> None:
        self._generator = generator
        self._code_term = code_term
        self._detached = detached

    def values(self, points: Tensor) -> Tensor:
        """The generator's values [B, P] at points [B, P, 3]: above 0.5 is inside."""
        if self._detached:
            with torch.no_grad():
                return self._generator(points, self._code_term)
        return self._generator(points, self._code_term)

    def occupancy(self, points: Tensor) -> Tensor:
        return LOGITS_PER_VALUE * (self.values(points) - SURFACE)

    def color(self, points: Tensor) -> Tensor:
        return torch.full_like(points, PLAIN)

    def __getitem__(self, index: int) -> "ImnetField":
        return ImnetField(self._generator, self._code_term[index][None], detached=self._detached)

    def detach(self) -> "ImnetField":
        return ImnetField(self._generator, self._code_term.detach(), detached=True)


class ImnetModel(SvrModel):
    """IM-NET as an SVR model without colour."""

    def __init__(
        self, code_size: int = 256, encoder_width: int = 64, widths: Sequence[int] = PUBLIC_WIDTHS
    ) -> None:
        super().__init__()
        self.spec = SvrSpec("imnet", code_size, IMAGE_SIZE, has_color=False)
        self.img_encoder = ImnetEncoder(encoder_width, code_size)
        self.generator = ImnetGenerator(code_size, widths)
        self._architecture = {
            "code_size": code_size,
            "encoder_width": encoder_width,
            "widths": list(widths),
        }

    def encode(self, images: Tensor) -> Tensor:
        """Codes [B, C] in (0, 1) of images [B, 3, H, W] in [0, 1] on white; made grey and 128 x 128 here."""
        grey = (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        if grey.shape[-2:] != (IMAGE_SIZE, IMAGE_SIZE):
            size = (IMAGE_SIZE, IMAGE_SIZE)
            grey = functional.interpolate(grey, size, mode="bilinear", antialias=True, align_corners=False)
        return self.img_encoder(grey)

    def field(self, codes: Tensor) -> ImnetField:
        return ImnetField(self.generator, self.generator.code_term(codes))

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)

    @classmethod
    def from_public(cls, weights: Mapping[str, Tensor]) -> "ImnetModel":
        """A model from a public single-view checkpoint, in evaluation mode; sizes are read from the tensors.

        Every key must fit, else CheckpointError names the keys.
        """
        for key, dimensions in (("img_encoder.conv_10.weight", 4), ("generator.linear_1.weight", 2)):
            if key not in weights or weights[key].ndim != dimensions:
                raise CheckpointError(
                    f"{key} is missing or has another shape; these are not the weights of IM-NET's "
                    "single-view reconstruction.",
                    remedy="Give IM-NET's SVR checkpoint: it has img_encoder.* and generator.linear_*.",
                )
        layers = sum(k.startswith("generator.") and k.endswith(".weight") for k in weights)
        hidden = [weights.get(f"generator.linear_{i}.weight") for i in range(1, layers)]
        if any(matrix is None for matrix in hidden):
            raise CheckpointError(
                f"The {layers} layers generator.linear_* are not numbered from 1.",
                remedy="Give IM-NET's SVR checkpoint unchanged.",
            )
        last = weights["img_encoder.conv_10.weight"]
        model = cls(last.shape[0], last.shape[1] // 8, [matrix.shape[0] for matrix in hidden])
        load_strictly(model, weights)
        return model.eval()
