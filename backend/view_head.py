"""Where an image was taken from, guessed beside its shape.

A table looks alike from two sides and a bottle from all, so that the azimuth is one of several classes and
not a number (our choice).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.cameras import Cameras, look_at

_HIDDEN = 96
ELEVATION_DEG, DISTANCE = (17.5, 22.5), (1.7, 0.2)
"""Middle and half range of the elevations and distances that are usual in training."""
_FARTHEST = 2.0
"""Half ranges beyond which no answer is believed."""


class ViewHead(nn.Module):
    """Features [B, D] of an encoder -> logits [B, N] of N azimuths from 0 on, and elevation and distance
    [B, 2] from their middles, in half ranges."""

    def __init__(self, features: int, azimuths: int) -> None:
        super().__init__()
        self.azimuths = azimuths
        self.net = nn.Sequential(nn.Linear(features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, azimuths + 2))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        said = self.net(features)
        return said[:, : self.azimuths], said[:, self.azimuths :]

    @torch.no_grad()
    def cameras(self, features: Tensor) -> Cameras:
        """The likeliest camera of each image's features [B, D]."""
        logits, rest = self(features)
        share = logits.softmax(-1)
        around = torch.stack([share.roll(1, -1), share, share.roll(-1, -1)], -1)  # [B, N, 3]
        best = share.argmax(-1)
        before, at, after = around[torch.arange(len(best)), best].unbind(-1)
        # Between the neighbours of the likeliest azimuth, by their shares.
        azimuth = (best + (after - before) / (before + at + after)) * 360 / self.azimuths
        elevation, distance = rest.clamp(-_FARTHEST, _FARTHEST).unbind(-1)
        return look_at(
            azimuth,
            ELEVATION_DEG[0] + ELEVATION_DEG[1] * elevation,
            DISTANCE[0] + DISTANCE[1] * distance,
        ).to(features.device)


def view_loss(said: tuple[Tensor, Tensor], cameras: Tensor) -> Tensor:
    """Of what a head says against true cameras [B, 3]: azimuth and elevation in degrees, distance.

    Cross entropy with the two azimuths next to the true one, in shares of their nearness, and the absolute
    error of the others in half ranges.
    """
    logits, rest = said
    count = logits.shape[-1]
    place = cameras[:, 0] % 360 * count / 360
    lower, share = place.long() % count, (place - place.floor())[:, None]
    target = F.one_hot(lower, count) * (1 - share) + F.one_hot((lower + 1) % count, count) * share
    elevation = (cameras[:, 1] - ELEVATION_DEG[0]) / ELEVATION_DEG[1]
    distance = (cameras[:, 2] - DISTANCE[0]) / DISTANCE[1]
    return F.cross_entropy(logits, target) + F.l1_loss(rest, torch.stack([elevation, distance], -1))
