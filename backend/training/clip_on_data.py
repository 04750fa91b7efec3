"""Training of a small CLIP on any data set: pictures against their captions."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backend.clip_encoder import ClipEncoder
from backend.datasets.base import Dataset
from backend.training.align import captions_of
from backend.training.batches import input_batch, mask_batch
from backend.training.clip import augment
from backend.training.contrast import contrastive_loss
from backend.training.processes import own_part, process_count


class PictureTextLoss:
    """CLIP's loss over a batch of shapes, one random picture and caption of each."""

    def __init__(self, clip: ClipEncoder, data: Dataset, batch: int) -> None:
        self._clip, self._data, self._batch = clip, data, batch

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        data, clip, total = self._data, self._clip, self._batch * process_count()
        shapes = own_part(rng.choice(len(data), total, replace=total > len(data)))
        which, said = own_part(rng.random(total)), own_part(rng.random(total))
        seeds = own_part(rng.integers(2**31, size=total))
        numbers = np.array([int(u * data.records[i].inputs) for i, u in zip(shapes, which, strict=True)])
        captions = [captions_of(data, int(i)) for i in shapes]
        texts = [own[int(u * len(own))] for own, u in zip(captions, said, strict=True)]
        images = input_batch(data, shapes, numbers, size=clip.image_size)
        masks = mask_batch(data, shapes, numbers, size=images.shape[-1])
        # Each picture has its own generator, so that processes that share a batch change it alike.
        changed = torch.cat([
            augment(images[i : i + 1], masks[i : i + 1], np.random.default_rng(int(seed)))
            for i, seed in enumerate(seeds)
        ])  # fmt: skip
        image_features = F.normalize(clip.encode_image_raw(changed.to(clip.device)), dim=-1)
        text_features = F.normalize(clip.encode_text_raw(texts), dim=-1)
        scale = clip.model.logit_scale.exp().clamp(max=100)
        return {"contrastive": contrastive_loss(image_features, text_features, texts, scale)}
