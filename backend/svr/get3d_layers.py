"""The building blocks of GET3D's networks: linear layers and convolutions whose inputs a style scales.

The architecture is StyleGAN2's ("Analyzing and Improving the Image Quality of StyleGAN", section 2 and
appendix B), as GET3D uses it. Weights are stored as for unit-variance initialisation and scaled at run time
(equalised learning rate). Written from the papers; parameter names are those of the public checkpoints.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.2
"""Negative slope of the leaky ReLU; its output is scaled by sqrt(2) to keep the variance."""
STYLE_SIZE = 512
"""Numbers in a style, a row of GET3D's latents."""
_DEMODULATION_FLOOR = 1e-8
_BLUR = (1.0, 3.0, 3.0, 1.0)
"""Taps of the separable filter that smooths upsampled maps."""


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return functional.leaky_relu(x, LEAK) * math.sqrt(2)


def blur_filter() -> Tensor:
    """The smoothing filter [4, 4]; sums to 1."""
    taps = torch.tensor(_BLUR)
    return torch.outer(taps, taps) / taps.sum() ** 2


class EqualLinear(nn.Module):
    """A linear layer with weights scaled by rate / sqrt(inputs) and biases by rate."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self._weight_gain, self._rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self._weight_gain, self.bias * self._rate)


class StyledLinear(nn.Module):
    """A linear layer whose inputs a style scales, brought back to unit variance (demodulated)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = EqualLinear(STYLE_SIZE, inputs, bias=1.0)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """[B, P, outputs] of x [B, P, inputs] and styles [B, 512]."""
        weight = self.weight * self.affine(style)[:, None]  # [B, outputs, inputs]
        weight = weight * (weight.square().sum(-1, keepdim=True) + _DEMODULATION_FLOOR).rsqrt()
        return torch.baddbmm(self.bias, x, weight.mT)


class StyledConvolution(nn.Module):
    """A 3 x 3 convolution with style, demodulation, fixed noise and leaky ReLU; may double the resolution."""

    def __init__(self, inputs: int, outputs: int, resolution: int, *, doubles: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.affine = EqualLinear(STYLE_SIZE, inputs, bias=1.0)
        self.register_buffer("resample_filter", blur_filter())
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self._doubles = doubles

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """[B, outputs, R, R] of x [B, inputs, R, R], or of half that resolution, and styles [B, 512]."""
        batch = len(x)
        weight = self.weight * self.affine(style)[:, None, :, None, None]  # [B, O, I, 3, 3]
        power = weight.square().sum((2, 3, 4), keepdim=True)
        weight = weight * (power + _DEMODULATION_FLOOR).rsqrt()
        x = x.reshape(1, -1, *x.shape[2:])  # one group of channels per shape of the batch
        if self._doubles:
            x = functional.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=batch)
            blur = (4 * self.resample_filter).expand(x.shape[1], 1, -1, -1)
            x = functional.conv2d(x, blur, padding=1, groups=x.shape[1])
        else:
            x = functional.conv2d(x, weight.flatten(0, 1), padding=1, groups=batch)
        x = x.reshape(batch, -1, *x.shape[2:]) + self.noise_const * self.noise_strength
        return leaky(x + self.bias[:, None, None])


class StyledPixels(nn.Module):
    """A 1 x 1 convolution with style and without demodulation: from features to values."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = EqualLinear(STYLE_SIZE, inputs, bias=1.0)
        self._gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """[B, outputs, ...] of x [B, inputs, ...] and styles [B, 512]."""
        weight = self.weight[:, :, 0, 0] * (self.affine(style) * self._gain)[:, None]  # [B, outputs, inputs]
        values = torch.baddbmm(self.bias[:, None], weight, x.flatten(2))
        return values.reshape(len(x), -1, *x.shape[2:])


def double(maps: Tensor, blur: Tensor) -> Tensor:
    """Maps [B, C, R, R] at twice the resolution, smoothed by the filter [4, 4]."""
    channels = maps.shape[1]
    taps = (4 * blur).expand(channels, 1, -1, -1)
    return functional.conv_transpose2d(maps, taps, stride=2, padding=1, groups=channels)
