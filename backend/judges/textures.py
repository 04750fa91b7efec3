"""Which texture a surface shows, told by hand-made statistics of its colours. No CLIP involved.

`python -m backend.judges.textures` trains the judge in about a minute on fresh procedural shapes painted in
one material each (other seeds than any corpus), prints how often it is right on shapes held out, and writes
textures.npz beside this file, which is what `load_judge` reads.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.materials import PATTERNS, Material, patterned, plain
from backend.datasets.procedural.shape import PackedShape
from backend.errors import DatasetError
from backend.judges.colors import NAMES
from backend.judges.solid import Surface, shape_surface

TEXTURES = (
    "plain", "wood", "metal", "gold", "marble", "glass", "brick", "rust", "leaf", "zebra", "checker",
    "stripes", "dots", "flame", "ice",
)  # fmt: skip
PER_TEXTURE = 60
"""Shapes of each texture that the judge learns from."""
_STREAM = 0x54455854
"""Sets the judge's shapes apart from every corpus and from the other judges'."""
_DISTANCES = (0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.3)
"""Edges of the bins in which pairs of points are compared."""
_PAIRS, _CENTERS, _NEIGHBOURS = 8000, 400, 48
_LEVEL = 0.35
"""A pair is level where the height makes at most this share of its distance, upright above 1 - this."""
_STEPS, _HIDDEN, _RATE, _DECAY = 400, 64, 5e-3, 3e-2
_FUZZ = 0.03
"""Greatest noise on the colours of surfaces that are learned from; results of a model are a little fuzzy."""
FILE = Path(__file__).with_name("textures.npz")


@dataclass(frozen=True)
class TextureJudge:
    """A small network over the statistics of a surface."""

    network: nn.Sequential
    center: NDArray[np.float64]
    scale: NDArray[np.float64]

    def save(self, path: Path = FILE) -> None:
        """Write the weights."""
        weights = {name: tensor.numpy() for name, tensor in self.network.state_dict().items()}
        np.savez_compressed(path, center=self.center, scale=self.scale, **weights)

    def shares(self, surface: Surface) -> dict[str, float]:
        """Certainty of each texture, greatest first."""
        values = (texture_statistics(surface) - self.center) / self.scale
        with torch.no_grad():
            certainty = self.network(torch.from_numpy(values).float()[None]).softmax(-1)[0].tolist()
        order = sorted(range(len(TEXTURES)), key=lambda i: -certainty[i])
        return {TEXTURES[i]: certainty[i] for i in order}

    def texture_of(self, surface: Surface) -> str:
        """The texture that it shows most likely; "" where nothing is seen."""
        return next(iter(self.shares(surface))) if len(surface.points) else ""


def load_judge(path: Path = FILE) -> TextureJudge:
    """The trained judge; DatasetError where its file is missing or of another version."""
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        network = _network(len(values["center"]), torch.Generator())
        network.load_state_dict({name: torch.from_numpy(values[name]) for name in network.state_dict()})
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DatasetError(
            f"The texture judge {path} cannot be read: {error}.",
            remedy="Train it: python -m backend.judges.textures",
        ) from error
    return TextureJudge(network.eval(), values["center"], values["scale"])


def train_judge(per_texture: int = PER_TEXTURE, *, seed: int = 0) -> TextureJudge:
    """A judge that learned from `per_texture` fresh shapes of each texture."""
    rows, labels = [], []
    rng = np.random.default_rng([_STREAM, seed, 1])
    for label, texture in enumerate(TEXTURES):
        for surface in textured_surfaces(texture, per_texture, seed=seed):
            noise = rng.normal(0, _FUZZ * rng.random() ** 2, surface.colors.shape)
            fuzzy = np.clip(surface.colors + noise, 0, 1).astype(np.float32)
            rows.append(texture_statistics(Surface(surface.points, fuzzy)))
            labels.append(label)
    values = np.stack(rows)
    center, scale = values.mean(axis=0), values.std(axis=0) + 1e-3
    inputs = torch.from_numpy((values - center) / scale).float()
    generator = torch.Generator().manual_seed(seed)
    network = _network(inputs.shape[1], generator)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    target = torch.tensor(labels)
    for _ in range(_STEPS):
        noisy = inputs + 0.1 * torch.randn(inputs.shape, generator=generator)
        loss = nn.functional.cross_entropy(network(noisy), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return TextureJudge(network.eval(), center, scale)


def textured_surfaces(texture: str, count: int, *, seed: int = 0) -> list[Surface]:
    """What is seen of `count` fresh shapes of all categories that are painted in one texture all over."""
    rng = np.random.default_rng([_STREAM, seed, TEXTURES.index(texture)])
    names = list(CATEGORIES)
    surfaces = []
    for i in range(count):
        shape = make(names[(i * 7 + seed) % len(names)], rng).shape
        color = NAMES[int(rng.integers(len(NAMES)))]
        material = plain(color, rng) if texture == "plain" else patterned(texture, rng)
        surfaces.append(shape_surface(painted(shape, material)))
    return surfaces


def painted(shape: PackedShape, material: Material) -> PackedShape:
    """The shape with every part in one material."""
    m = material
    row = np.array([PATTERNS.index(m.pattern), *m.color_a, *m.color_b, m.scale, *m.phase], np.float32)
    return dataclasses.replace(shape, materials=np.tile(row, (len(shape.materials), 1)))


def texture_statistics(surface: Surface) -> NDArray[np.float64]:
    """Colours, how they run over height, and how pairs of points differ by distance and direction."""
    from skimage.color import rgb2lab

    rgb, points = surface.colors.astype(np.float64), surface.points.astype(np.float64)
    lab = rgb2lab(rgb) / 100
    rng = np.random.default_rng(len(points))
    first, second, middle = _two_colors(lab)
    share = np.clip((lab - first) @ (second - first) / max(((second - first) ** 2).sum(), 1e-6), 0, 1)
    height = points[:, 1] - points[:, 1].mean()
    slope = (height[:, None] * (lab - lab.mean(0))).mean(0) / max((height**2).mean(), 1e-6)
    spread = np.quantile(lab, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0).reshape(-1)
    colors = [*lab.mean(0), *lab.std(0), *spread, *first, *second, share.mean(), middle, *slope]
    a, b = rng.integers(len(points), size=(2, _PAIRS))
    near = _near_partners(points, rng)
    a, b = np.concatenate([a, near[0]]), np.concatenate([b, near[1]])
    away = points[a] - points[b]
    distance = np.linalg.norm(away, axis=1)
    steep = np.abs(away[:, 1]) / np.maximum(distance, 1e-9)
    differ = np.linalg.norm(lab[a] - lab[b], axis=1)
    scale = max(float(differ.mean()), 0.01)
    pairs = []
    for low, high in zip((0.0, *_DISTANCES[:-1]), _DISTANCES, strict=True):
        within = (distance >= low) & (distance < high)
        for chosen in (within & (steep < _LEVEL), within & (steep > 1 - _LEVEL)):
            pairs.append(float(differ[chosen].mean()) / scale if chosen.any() else 1.0)
    return np.array([*colors, scale, *pairs])


def _near_partners(points: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Pairs [2, K] of points that are close to each other: random pairs seldom are."""
    from scipy.spatial import cKDTree

    chosen = rng.integers(len(points), size=min(len(points), _CENTERS))
    _, found = cKDTree(points).query(points[chosen], k=min(_NEIGHBOURS, len(points)))
    return np.stack([np.repeat(chosen, found.shape[1]), found.reshape(-1)])


def _two_colors(lab: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The two colours that explain most, the darker first, and the share of points far from both."""
    from scipy.cluster.vq import kmeans2

    start = lab[np.argsort(lab[:, 0])[[len(lab) // 10, -len(lab) // 10 - 1]]]
    centers = start
    if np.linalg.norm(start[1] - start[0]) > 1e-3:  # else a cluster would be empty
        centers = kmeans2(lab, start, minit="matrix", iter=8)[0]
        centers = centers[np.argsort(centers[:, 0])]
    gap = np.linalg.norm(centers[1] - centers[0])
    nearest = np.linalg.norm(lab[:, None] - centers, axis=-1).min(axis=1)
    return centers[0], centers[1], float((nearest > 0.25 * max(gap, 0.02)).mean())


def _network(inputs: int, generator: torch.Generator) -> nn.Sequential:
    first, last = nn.Linear(inputs, _HIDDEN), nn.Linear(_HIDDEN, len(TEXTURES))
    with torch.no_grad():
        for layer in (first, last):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / layer.in_features**0.5)
            layer.bias.zero_()
    return nn.Sequential(first, nn.SiLU(), last)


def accuracy(judge: TextureJudge, count: int, *, seed: int) -> dict[str, float]:
    """Share of fresh true shapes of each texture that the judge names rightly."""
    return {
        texture: float(
            np.mean([judge.texture_of(s) == texture for s in textured_surfaces(texture, count, seed=seed)])
        )
        for texture in TEXTURES
    }


if __name__ == "__main__":
    trained = train_judge()
    trained.save()
    found = accuracy(trained, 12, seed=1)
    sys.stdout.writelines(f"{texture}: {100 * value:.0f} %\n" for texture, value in found.items())
    sys.stdout.write(f"mean: {100 * float(np.mean(list(found.values()))):.0f} %\n")
