"""The starter's SVR model: a small image encoder, and a decoder whose field lives on three feature planes.

A DVR decoder evaluates a wide network at every point. Here a convolutional generator turns the shape code
into three axis-aligned planes once per shape, and a point costs three bilinear look-ups and a tiny network:
the same surface for about a hundredth of the work per point, which is what makes the starter quick on a CPU
(our choice; the idea of tri-planes is also GET3D's).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from backend.image_encoder import SlimResNet, stages_of
from backend.svr.base import Field, SvrModel, SvrSpec

_FREQUENCIES = 2


class TriplaneField(Field):
    """Shapes given by planes [B, 3, G + K, R, R]: G channels for geometry, K for colour."""

    def __init__(self, model: "TriplaneSvr", planes: Tensor) -> None:
        self._model = model
        self.planes = planes

    def occupancy(self, points: Tensor) -> Tensor:
        geometry = self.planes[:, :, : self._model.geometry_channels]
        return self._model.occupancy_head(_features(geometry, points)).squeeze(-1)

    def color(self, points: Tensor) -> Tensor:
        return torch.sigmoid(self._model.color_head(_features(self.planes, points)))

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        # Colour reads all channels, occupancy the first of each plane among them: the planes are asked once.
        features = _features(self.planes, points)
        channels, geometry = self.planes.shape[2], self._model.geometry_channels
        looked_up, waves = features[..., : 3 * channels], features[..., 3 * channels :]
        of_geometry = looked_up.unflatten(-1, (3, channels))[..., :geometry].flatten(-2)  # [B, P, 3 G]
        logits = self._model.occupancy_head(torch.cat([of_geometry, waves], -1)).squeeze(-1)
        return logits, torch.sigmoid(self._model.color_head(features))

    def __getitem__(self, index: int) -> "TriplaneField":
        return TriplaneField(self._model, self.planes[index : index + 1])

    def detach(self) -> "TriplaneField":
        return TriplaneField(self._model, self.planes.detach())

    def tensors(self, part: str) -> dict[str, Tensor]:
        head, planes = self._parts(part)
        return {"planes": planes, **{f"head.{k}": v for k, v in head.named_parameters()}}

    def evaluate(self, part: str, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        head, _ = self._parts(part)
        weights = {k.removeprefix("head."): v for k, v in tensors.items() if k != "planes"}
        raw = functional_call(head, weights, (_features(tensors["planes"], points),))
        return raw.squeeze(-1) if part == "occupancy" else raw.sigmoid()

    def _parts(self, part: str) -> tuple[nn.Module, Tensor]:
        """The head of a part and the planes that it reads."""
        if part == "occupancy":
            return self._model.occupancy_head, self.planes[:, :, : self._model.geometry_channels]
        return self._model.color_head, self.planes


class TriplaneSvr(SvrModel):
    """Image [B, 3, S, S] -> code [B, C] -> planes -> occupancy and colour.

    `width` scales the encoder; `widths` are the generator's channels at 4, 8, 16, ... cells, and the planes
    have twice the cells of the last entry's: four entries give planes of 64 x 64. The last `low_pass`
    doublings are low-passed: transposed convolutions leave a checkerboard, which shows as ribs on surfaces.
    """

    def __init__(self, *, code_size: int = 256, image_size: int = 64, width: int = 32,
                 widths: Sequence[int] = (256, 192, 120, 96), geometry_channels: int = 12,
                 color_channels: int = 4, hidden: int = 64, iso_logit: float = 0.0,
                 low_pass: int = 0) -> None:  # fmt: skip
        super().__init__()
        self._architecture = {
            "code_size": code_size, "image_size": image_size, "width": width, "widths": list(widths),
            "geometry_channels": geometry_channels, "color_channels": color_channels, "hidden": hidden,
            "iso_logit": iso_logit, "low_pass": low_pass,
        }  # fmt: skip
        self.spec = SvrSpec("triplane", code_size, image_size, iso_logit)
        self.geometry_channels = geometry_channels
        planes = geometry_channels + color_channels
        self.encoder = SlimResNet(code_size, image_size, stages_of(width))
        self.generator = _PlaneGenerator(code_size, tuple(widths), planes, low_pass)
        self.occupancy_head = _head(geometry_channels, hidden, 1)
        self.color_head = _head(planes, hidden, 3)

    def encode(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.spec.image_size:
            size = (self.spec.image_size, self.spec.image_size)
            images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        return self.encoder(images)

    def field(self, codes: Tensor) -> TriplaneField:
        return TriplaneField(self, self.generator(codes))

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)

    def code_layers(self) -> tuple[list[str], list[str]]:
        """Names of the linear layers that give codes, and of those that take them."""
        mods = [f"generator.mods.{i}" for i in range(len(self.generator.mods))]
        return ["encoder.fc"], ["generator.start", *mods]


class _PlaneGenerator(nn.Module):
    """Code -> planes [B, 3, channels, R, R]: from 4 x 4 up by transposed convolutions, each modulated by
    the code. In the last two doublings the three planes have convolutions of their own (groups)."""

    def __init__(self, code_size: int, widths: tuple[int, ...], channels: int, low_pass: int) -> None:
        super().__init__()
        self.channels = channels
        self.first_low_passed = len(widths) - low_pass
        sizes = (*widths, 3 * channels)
        groups = [1] * (len(widths) - 2) + [3, 3]
        self.start = nn.Linear(code_size, widths[0] * 16)
        self.ups = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.mods = nn.ModuleList()
        for inputs, outputs, group in zip(sizes[:-1], sizes[1:], groups, strict=True):
            self.ups.append(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, groups=group))
            self.norms.append(nn.GroupNorm(6, outputs))
            self.mods.append(nn.Linear(code_size, 2 * outputs))
        self.out = nn.Conv2d(sizes[-1], sizes[-1], 1, groups=3)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.start(codes).reshape(len(codes), -1, 4, 4).contiguous(memory_format=torch.channels_last)
        for level, (up, norm, mod) in enumerate(zip(self.ups, self.norms, self.mods, strict=True)):
            gain, shift = mod(codes)[:, :, None, None].chunk(2, 1)  # [B, W, 1, 1] each
            x = up(x)
            if level >= self.first_low_passed:
                x = _low_passed(x)
            x = F.silu(norm(x) * (1 + gain) + shift)
        planes = self.out(x)
        return planes.reshape(len(codes), 3, self.channels, *planes.shape[-2:])


def _low_passed(x: Tensor) -> Tensor:
    """Maps [B, C, H, W] under the binomial filter 1 2 1 along both axes."""
    row = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def _head(channels: int, hidden: int, outputs: int) -> nn.Sequential:
    inputs = 3 * channels + 3 + 6 * _FREQUENCIES
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )


def _features(planes: Tensor, points: Tensor) -> Tensor:
    """Plane features and the position itself at points [B, P, 3] -> [B, P, 3 C + 3 + 6 F]."""
    b, _, channels, r, _ = planes.shape
    grid = 2 * torch.stack([points[..., [0, 1]], points[..., [2, 1]], points[..., [0, 2]]], 1)  # [B, 3, P, 2]
    sampled = F.grid_sample(
        planes.reshape(b * 3, channels, r, r), grid.reshape(b * 3, 1, -1, 2), mode="bilinear",
        padding_mode="border", align_corners=False,
    )  # [B * 3, C, 1, P]  # fmt: skip
    sampled = sampled.reshape(b, 3 * channels, -1).transpose(1, 2)  # [B, P, 3 C]
    waves = [points]
    for i in range(_FREQUENCIES):
        angle = points * (2 ** (i + 1) * torch.pi)
        waves += [torch.sin(angle), torch.cos(angle)]
    return torch.cat([sampled, *waves], -1)
