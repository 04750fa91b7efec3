"""Features for the Frechet distances, trained here on procedural shapes.

FID is usually told by an Inception network and FPD by a PointNet trained on ShapeNet; neither can be had
offline. These two small networks learn to name category and colour (pictures) and category (points) of
procedural shapes, and their last hidden layers serve instead. Figures can be compared only with figures from
the very same features, which is why reports carry their digest.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from backend.config import Settings, bounded
from backend.evaluation_cache import Arrays, cached
from backend.measures.samples import Samples
from backend.training.loop import LoopSettings, run_loop

IMAGE_FEATURES, POINT_FEATURES = 48, 32
"""Few, so that a few hundred samples fill the covariance."""
_PART = 256
"""Pictures or point sets looked at together."""


@dataclass(frozen=True)
class NetSettings(Settings):
    """Training of the two networks."""

    steps: int = bounded(1200, 1, 1_000_000)
    batch: int = bounded(48, 2, 4096)
    points: int = bounded(512, 16, 100_000)
    """Points of a set that a step looks at."""
    seed: int = bounded(0, 0, 2**31)


class ImageNet(nn.Module):
    """Pictures [B, 3, S, S] in [0, 1] -> features [B, 48], from which category and colour are read."""

    def __init__(self, categories: int, colors: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (width, 2 * width, 4 * width, 4 * width):
            layers += [
                nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            ]  # fmt: skip
            inputs = outputs
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.squeeze = nn.Linear(4 * inputs, IMAGE_FEATURES)
        self.category = nn.Linear(IMAGE_FEATURES, categories)
        self.color = nn.Linear(IMAGE_FEATURES, colors)

    def features(self, images: Tensor) -> Tensor:
        return F.relu(self.squeeze(self.trunk((images - 0.75) / 0.3)))


class PointNet(nn.Module):
    """Point sets [B, P, 3] in the unit box -> features [B, 32], from which the category is read."""

    def __init__(self, categories: int) -> None:
        super().__init__()
        self.each = nn.Sequential(
            nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 192)
        )
        self.squeeze = nn.Sequential(nn.Linear(192, 96), nn.ReLU(), nn.Linear(96, POINT_FEATURES))
        self.category = nn.Linear(POINT_FEATURES, categories)

    def features(self, points: Tensor) -> Tensor:
        return F.relu(self.squeeze(self.each(4 * points).amax(dim=1)))


@dataclass(frozen=True)
class FeatureNets:
    """The two trained networks."""

    image: ImageNet
    point: PointNet
    categories: tuple[str, ...]
    sha256: str
    """Of both networks' weights."""

    @torch.no_grad()
    def of_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features [N, V, 48] of pictures [N, V, S, S, 3]."""
        flat = images.reshape(-1, *images.shape[2:])
        parts = [self.image.features(_pictures(flat[i : i + _PART])) for i in range(0, len(flat), _PART)]
        return torch.cat(parts).reshape(*images.shape[:2], -1).numpy()

    @torch.no_grad()
    def of_points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features [N, 32] of point sets [N, P, 3]."""
        starts = range(0, len(points), _PART)
        return torch.cat(
            [self.point.features(torch.from_numpy(points[i : i + _PART])) for i in starts]
        ).numpy()

    @torch.no_grad()
    def accuracy(self, samples: Samples) -> dict[str, float]:
        """Share of pictures and of point sets whose category is named rightly."""
        wanted = np.searchsorted(self.categories, samples.categories)
        images = torch.from_numpy(self.of_images(samples.images))
        guesses = self.image.category(images).argmax(dim=-1).numpy()  # [N, V]
        solids = self.point.category(torch.from_numpy(self.of_points(samples.points))).argmax(dim=-1).numpy()
        right = float((guesses == wanted[:, None]).mean()), float((solids == wanted).mean())
        return {"images": round(right[0], 4), "points": round(right[1], 4)}


def train_nets(
    samples: Samples, settings: NetSettings, *, key: dict[str, Any], cache: Path | None
) -> FeatureNets:
    """Networks trained on true shapes; from the cache where they were trained before.

    key: what the samples follow from.
    """
    categories = tuple(sorted(set(samples.categories.tolist())))
    colors = tuple(sorted(set(samples.colors.tolist())))
    image, point = ImageNet(len(categories), len(colors)), PointNet(len(categories))

    def train() -> Arrays:
        torch.manual_seed(settings.seed)
        fresh_image, fresh_point = ImageNet(len(categories), len(colors)), PointNet(len(categories))
        labels = torch.from_numpy(np.searchsorted(categories, samples.categories))
        tints = torch.from_numpy(np.searchsorted(colors, samples.colors))
        with tempfile.TemporaryDirectory() as folder:
            loss = _ImageLoss(fresh_image, samples.images, labels, tints, settings)
            _run("image_features", fresh_image, loss, settings, Path(folder))
            _run("point_features", fresh_point, _PointLoss(fresh_point, samples.points, labels, settings),
                 settings, Path(folder))  # fmt: skip
        both = {"image": fresh_image, "point": fresh_point}
        return {f"{n}.{k}": v.numpy() for n, net in both.items() for k, v in net.state_dict().items()}

    arrays = cached(cache, "features", {**settings.to_dict(), "samples": key}, train)
    for name, net in (("image", image), ("point", point)):
        own = {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}
        net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in own.items()})
        net.eval()
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return FeatureNets(image, point, categories, digest.hexdigest())


class _ImageLoss:
    """Cross entropy of category and colour, of one random view of each shape, sometimes mirrored."""

    def __init__(
        self, net: ImageNet, images: NDArray[np.uint8], labels: Tensor, tints: Tensor, settings: NetSettings
    ) -> None:
        self._net, self._images, self._labels, self._tints = net, images, labels, tints
        self._batch = min(settings.batch, len(images))

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self._images), (self._batch,), generator=generator)
        views = torch.randint(self._images.shape[1], rows.shape, generator=generator)
        pictures = _pictures(self._images[rows.numpy(), views.numpy()])
        mirrored = torch.rand(len(rows), 1, 1, 1, generator=generator) < 0.5
        features = self._net.features(torch.where(mirrored, pictures.flip(-1), pictures))
        return {
            "category": F.cross_entropy(self._net.category(features), self._labels[rows]),
            "color": F.cross_entropy(self._net.color(features), self._tints[rows]),
        }


class _PointLoss:
    """Cross entropy of the category, of a random part of each set's points, a little moved."""

    def __init__(
        self, net: PointNet, points: NDArray[np.float32], labels: Tensor, settings: NetSettings
    ) -> None:
        self._net, self._points, self._labels = net, points, labels
        self._batch = min(settings.batch, len(points))
        self._count = min(settings.points, points.shape[1])

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self._points), (self._batch,), generator=generator)
        chosen = torch.randperm(self._points.shape[1], generator=generator)[: self._count]
        points = torch.from_numpy(self._points[rows.numpy()][:, chosen.numpy()])
        points = points + 0.005 * torch.randn(points.shape, generator=generator)
        logits = self._net.category(self._net.features(points))
        return {"category": F.cross_entropy(logits, self._labels[rows])}


def _run(name: str, net: nn.Module, loss: Any, settings: NetSettings, folder: Path) -> None:
    loop = LoopSettings(
        steps=settings.steps, batch=settings.batch, learning_rate=2e-3, weight_decay=0.01,
        warmup=min(50, settings.steps), checkpoint_every=settings.steps, seed=settings.seed,
    )  # fmt: skip
    steps: Iterator[Any] = run_loop(name, net, loss, loop, folder)
    for _ in steps:
        pass


def _pictures(images: NDArray[np.uint8]) -> Tensor:
    """[B, 3, S, S] in [0, 1] of pictures [B, S, S, 3]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
