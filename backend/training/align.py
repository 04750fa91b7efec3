"""Stage 1: features of images to shape codes. The paper's regression, and our flow.

Images are encoded once by the frozen CLIP and SVR model. A shape's target is its code averaged over the
views: what one view cannot see is then not noise to the mapper (our choice).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from backend import losses
from backend.clip_encoder import ClipEncoder
from backend.datasets.base import Dataset
from backend.datasets.procedural.captions import plain_prompt
from backend.device import autocast
from backend.flow_mapper import FlowMapper
from backend.losses import STAGE1_WEIGHTS
from backend.mapper import Mapper, mix_noise
from backend.svr.base import SvrModel
from backend.training.batches import input_batch
from backend.training.contrast import contrastive_loss
from backend.training.processes import own_part, process_count
from backend.whitening import Whitening

VIEWS, CAPTIONS = 3, 4
"""Views and captions of each shape that stage 1 uses."""
FLOW_NETWORK = {"hidden": 384, "blocks": 4, "steps": 16}
"""Width and residual blocks of a new flow, and its Euler steps from noise to a code."""
TOWER_WEIGHT, TOWER_SCALE = 0.1, 30.0
"""Weight of the shape tower's loss beside the flow's, and what its cosines are multiplied by."""
FREE_SHARE = 0.1
"""Share of a batch that is shown no condition, so that the flow can be guided."""
EARLY_SHARE = 0.1
"""Share of a batch at times before the flow's start, which is never asked there but may get another start."""
_PART = 16
"""Shapes that are encoded at a time: seconds with a large CLIP, so that a cancel is heard."""


@dataclass(frozen=True)
class Encoded:
    """A data set seen through CLIP and the SVR model."""

    images: Tensor
    """Unit image features [N, V, F]."""
    texts: Tensor
    """Unit text features of the captions [N, T, F]."""
    codes: Tensor
    """Shape codes averaged over the views [N, C]."""

    def to(self, device: torch.device) -> "Encoded":
        return Encoded(*(values.to(device) for values in (self.images, self.texts, self.codes)))


def encode_images(clip: ClipEncoder, data: Dataset, cache: Path, precision: str = "float32") -> Tensor:
    """Unit features [N, VIEWS, F] in half precision of the images of a data set; computed once, then read
    from the `cache` file. Many at a time, which suits small CLIPs."""

    def encode(shapes: np.ndarray) -> dict[str, Tensor]:
        images = input_batch(data, *_pairs(shapes), size=clip.image_size).to(clip.device)
        with autocast(clip.device, precision):
            raw = clip.encode_image_raw(images)
        features = F.normalize(raw.float(), dim=-1)
        return {"images": features.reshape(len(shapes), VIEWS, -1).half().cpu()}

    clip.eval()
    return _finished(fill_cache(cache, len(data), encode, part=128), cache)["images"]


def encode_captions(clip: ClipEncoder, captions: Sequence[Sequence[str]], cache: Path) -> Tensor:
    """Unit features [N, T, F] in half precision of the T captions of each shape; kept in the `cache` file."""

    def encode(rows: np.ndarray) -> dict[str, Tensor]:
        texts = [text for row in rows for text in captions[row]]
        # By length, so that short texts need not wait for long ones.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i].split()))
        found = [
            clip.encode_text_raw([texts[i] for i in order[j : j + 256]]) for j in range(0, len(order), 256)
        ]
        features = torch.empty(len(texts), found[0].shape[-1])
        features[order] = F.normalize(torch.cat(found).float(), dim=-1).cpu()
        return {"texts": features.reshape(len(rows), -1, features.shape[-1]).half()}

    clip.eval()
    return _finished(fill_cache(cache, len(captions), encode, part=1024), cache)["texts"]


def captions_of(data: Dataset, shape: int) -> tuple[str, ...]:
    """The captions of a shape; "a CATEGORY" where the data set has none."""
    record = data.records[shape]
    return record.captions or (plain_prompt(record.category),)


def feature_parts(
    clip: ClipEncoder, data: Dataset, cache: Path, order: np.ndarray | None = None
) -> Iterator[int]:
    """Fill `cache` with unit features in half precision of images (`images` [N, VIEWS, F]) and of captions
    (`texts` [N, CAPTIONS, F]), yielding shapes done; `order` lists the shapes otherwise."""
    order = np.arange(len(data)) if order is None else order

    def encode(rows: np.ndarray) -> dict[str, Tensor]:
        shapes = order[rows]
        raw = clip.encode_image(input_batch(data, *_pairs(shapes), size=clip.image_size).to(clip.device))
        words = []
        for shape in shapes:
            own = captions_of(data, shape)
            words += [own[number % len(own)] for number in range(CAPTIONS)]
        texts = F.normalize(clip.encode_text_raw(words).float(), dim=-1)
        return {
            "images": raw.reshape(len(shapes), VIEWS, -1).half().cpu(),
            "texts": texts.reshape(len(shapes), -1, texts.shape[-1]).half().cpu(),
        }

    clip.eval()
    return fill_cache(cache, len(order), encode)


def code_parts(svr: SvrModel, data: Dataset, cache: Path, order: np.ndarray | None = None) -> Iterator[int]:
    """Fill `cache` with `codes` [N, C], the mean over VIEWS views of a shape, yielding shapes done; `order`
    lists the shapes otherwise. The object stands on the SVR model's own background.

    Where the model reads parts and the data has them, codes are those of the parts.
    """
    order = np.arange(len(data)) if order is None else order
    spec = svr.spec

    def encode(rows: np.ndarray) -> dict[str, Tensor]:
        shapes = order[rows]
        if spec.reads_parts and data.has_parts:
            tables = torch.from_numpy(np.stack([data.parts(int(shape)) for shape in shapes]))
            return {"codes": svr.encode_parts(tables.to(svr.device)).cpu()}
        images = input_batch(data, *_pairs(shapes), size=spec.image_size, background=spec.background)
        codes = svr.encode(images.to(svr.device)).reshape(len(shapes), VIEWS, -1)
        return {"codes": codes.mean(1).cpu()}

    svr.eval()
    return fill_cache(cache, len(order), encode)


@torch.no_grad()
def fill_cache(
    cache: Path, count: int, encode: Callable[[np.ndarray], dict[str, Tensor]], *, part: int = _PART
) -> Iterator[int]:
    """Write the tensors of `encode(shapes)` for all of `count` shapes, `part` at a time, to the file `cache`,
    yielding shapes done. Its parts lie beside it until it is whole, so that a stopped run goes on."""
    if cache.exists():
        return
    cache.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, count, part):
        shapes = np.arange(start, min(start + part, count))
        path = cache.with_name(f"{cache.stem}-part-{start}-{start + len(shapes)}.safetensors")
        if not path.exists():
            _save_whole(encode(shapes), path)
        parts.append(path)
        yield int(shapes[-1]) + 1
    loaded = [load_file(path) for path in parts]
    _save_whole({name: torch.cat([tensors[name] for tensors in loaded]) for name in loaded[0]}, cache)
    for path in parts:
        path.unlink()


def choose_noise_scale(images: Tensor) -> float:
    """Noise scale for `mix_noise` that suits a CLIP's unit image features [N, V, F] (our choice).

    CLIPs differ in how narrow a cone their features fill: seen from the origin, features with the mean
    cosine c deviate by sqrt((1 - c) / c) from their common direction. Noise of half that length blurs a
    feature without hiding which shape it is of. At c = 0.735 this is the paper's ratio of 3 to 10, scale
    0.23. The scale is kept in [0.05, 0.6].
    """
    vectors = images.float().flatten(0, 1)
    n = len(vectors)
    # |sum|^2 = n + sum of the cosines of all pairs of two
    cosine = (float(vectors.sum(0).square().sum()) - n) / (n * (n - 1))
    ratio = 0.5 * (max(1 - cosine, 0.0) / max(cosine, 1e-6)) ** 0.5
    return min(max(ratio / (1 + ratio), 0.05), 0.6)


def new_flow(
    encoded: Encoded, *, seed: int, components: int = 64, bank: int = 4096,
    described: Encoded | None = None, **network: float,
) -> FlowMapper:  # fmt: skip
    """An untrained generative mapper in the sizes of the features and codes, with its whitened space of at
    most `components` directions (those of `described`, where there are more) and its bank of `bank` images
    set; `network` goes to its constructor."""
    torch.manual_seed(seed)
    whitening = Whitening.fit((described or encoded).codes, components=components)
    mapper = FlowMapper(
        feature_size=encoded.images.shape[-1], code_size=encoded.codes.shape[-1],
        components=len(whitening.scale), bank_size=bank, **{**FLOW_NETWORK, **network},
    )  # fmt: skip
    mapper.set_space(whitening, *draw_bank(encoded, bank, torch.Generator().manual_seed(seed)))
    return mapper


def adapted_flow(
    source: FlowMapper, encoded: Encoded, *, seed: int, bank: int = 4096, **network: float
) -> FlowMapper:
    """A generative mapper that goes on from one with other features for the same codes: what it knows of the
    codes stays, how features lead to them is learnt anew. `network` goes to its constructor."""
    torch.manual_seed(seed)
    sizes = {"feature_size": encoded.images.shape[-1], "bank_size": bank}
    mapper = FlowMapper(**{**source.architecture(), **sizes, **network})
    weights = mapper.state_dict()
    fitting = {
        name: value for name, value in source.state_dict().items() if value.shape == weights[name].shape
    }
    mapper.load_state_dict({**weights, **fitting})
    mapper.set_space(source.whitening, *draw_bank(encoded, bank, torch.Generator().manual_seed(seed)))
    return mapper


class FlowLoss:
    """Conditional flow matching, straight paths from noise to whitened codes, and the shape tower's contrast.

    The condition is an image feature of the shape mixed with the feature of one of its captions by a random
    share. Captions among the conditions are a departure from the paper, which sees no text in training; the
    procedural corpus has them for nothing. The tower learns to tell which code a condition is of, unless it
    is not to be trained.
    """

    def __init__(
        self, mapper: FlowMapper, encoded: Encoded, batch: int, described: Encoded | None = None,
        precision: str = "float32", weights: Tensor | None = None,
    ) -> None:  # fmt: skip
        """described: further shapes for half of each batch, whose `images` are captions too. weights: of the
        whitened dimensions [K], with the mean 1."""
        self._precision = precision
        device = mapper.inlet.bias.device
        self._weights = torch.ones(mapper.components) if weights is None else weights
        self._weights = self._weights.to(device)
        self._mapper = mapper
        self._sets = [one.to(device) for one in (encoded, described) if one is not None]
        self._batch = batch
        self._white = [mapper.whitening.to_white(one.codes) for one in self._sets]

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        total = self._batch * process_count()
        conditions, ends, codes = [], [], []
        for encoded, white in zip(self._sets, self._white, strict=True):
            rows = torch.randint(len(encoded.codes), (total // len(self._sets),), generator=generator)
            conditions.append(mixed_condition(encoded, rows, generator))
            ends.append(white[rows])
            codes.append(encoded.codes[rows])
        condition, end = own_part(torch.cat(conditions)), own_part(torch.cat(ends))
        device = end.device
        start = own_part(torch.randn((total, end.shape[-1]), generator=generator)).to(device)
        time = own_part(self.times(total, generator)).to(device)
        free = own_part(torch.rand((total, 1), generator=generator)).to(device) < FREE_SHARE
        middle = start + time[:, None] * (end - start)
        with autocast(middle.device, self._precision):
            guess = self._mapper.velocity(middle, time, condition.masked_fill(free, 0)).float()
        flow = (self._weights * (guess - (end - start)).square()).mean()
        if not any(weight.requires_grad for weight in self._mapper.tower.parameters()):
            return {"flow": flow}
        seen = self._mapper.tower(own_part(torch.cat(codes)))
        # A code is its own name: equal ones are the same shape.
        names = [str(row[:4].tolist()) for row in own_part(torch.cat(codes))]
        return {
            "flow": flow,
            "tower": TOWER_WEIGHT * contrastive_loss(seen, condition, names, TOWER_SCALE),
        }

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        """Times [count] in [0, 1], most of them after the mapper's start."""
        time = torch.rand(count, generator=generator)
        early = torch.rand(count, generator=generator) < EARLY_SHARE
        return torch.where(early, time, self._mapper.start + (1 - self._mapper.start) * time)


class RegressionLoss:
    """The paper's stage 1: L1 between M(noisy image feature) and the code (reference weight 2000)."""

    def __init__(self, mapper: Mapper, encoded: Encoded, batch: int, noise_scale: float) -> None:
        self._mapper = mapper
        self._encoded = encoded.to(next(mapper.parameters()).device)
        self._batch = batch
        self._noise_scale = noise_scale

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        encoded, total = self._encoded, self._batch * process_count()
        rows = torch.randint(len(encoded.codes), (total,), generator=generator)
        views = torch.randint(encoded.images.shape[1], (total,), generator=generator)
        features = mix_noise(encoded.images[rows, views].float(), self._noise_scale, generator)
        proposed, codes = self._mapper(own_part(features)), own_part(encoded.codes[rows])
        return {"regression": STAGE1_WEIGHTS.regression * losses.regression_loss(proposed, codes)}


def mixed_condition(encoded: Encoded, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Unit conditions [B, F]: a random share of a view's feature and of a caption's."""
    views = torch.randint(encoded.images.shape[1], rows.shape, generator=generator)
    captions = torch.randint(encoded.texts.shape[1], rows.shape, generator=generator)
    share = torch.rand((len(rows), 1), generator=generator).to(encoded.codes.device)
    image, text = encoded.images[rows, views].float(), encoded.texts[rows, captions].float()
    return F.normalize(share * text + (1 - share) * image, dim=-1)


def draw_bank(encoded: Encoded, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Unit image features [size, F] of random views of random shapes, and the shapes' codes [size, C]."""
    rows = torch.randperm(len(encoded.codes), generator=generator)[:size]
    if len(rows) < size:
        rows = rows.repeat(size // len(rows) + 1)[:size]
    views = torch.randint(encoded.images.shape[1], rows.shape, generator=generator)
    return encoded.images[rows, views].float(), encoded.codes[rows]


def _finished(parts: Iterator[int], cache: Path) -> dict[str, Tensor]:
    for _ in parts:
        pass
    return load_file(cache)


def _save_whole(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def _pairs(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and view of the first VIEWS images of each shape."""
    return np.repeat(shapes, VIEWS), np.tile(np.arange(VIEWS), len(shapes))
