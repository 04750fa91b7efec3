"""The image encoder of the models that are trained here."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class _Block(nn.Module):
    """A residual block of two 3 x 3 convolutions with BatchNorm (ResNet-18's)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


Stages = Sequence[Sequence[int]]
"""Channels and residual blocks of each of four stages; all but the first halve the map."""


def stages_of(width: int) -> Stages:
    """Those of a slim ResNet-18."""
    return ((width, 1), (2 * width, 1), (4 * width, 2), (8 * width, 2))


class SlimResNet(nn.Module):
    """A slim ResNet-18 that keeps its last map, a sixteenth of the image on each side: where things are in
    the image matters for the code."""

    def __init__(self, code_size: int, image_size: int, stages: Stages) -> None:
        super().__init__()
        inputs = stages[0][0]
        trunk: list[nn.Module] = [
            nn.Conv2d(3, inputs, 5, 2, 2, bias=False),
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
        ]
        for i, (outputs, blocks) in enumerate(stages):
            trunk.append(_Block(inputs, outputs, 1 if i == 0 else 2))
            trunk += [_Block(outputs, outputs, 1) for _ in range(blocks - 1)]
            inputs = outputs
        self.trunk = nn.Sequential(*trunk)
        side = image_size // 16
        self.squeeze = nn.Conv2d(inputs, inputs // 2, 1)
        self.feature_size = inputs // 2 * side * side
        self.fc = nn.Linear(self.feature_size, code_size)

    def features(self, images: Tensor) -> Tensor:
        """What the code is read from, [B, feature_size]."""
        return F.relu(self.squeeze(self.trunk((images - 0.5) / 0.25))).flatten(1)

    def code(self, features: Tensor) -> Tensor:
        """[B, code_size]"""
        return self.fc(features)

    def forward(self, images: Tensor) -> Tensor:
        return self.code(self.features(images))
