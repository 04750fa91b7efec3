"""CLIP R-precision (Dream Fields, and the paper): is a result's own text the one that CLIP finds nearest?"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from backend.clip_encoder import ClipEncoder
from backend.errors import DatasetError


def r_precision(images: Tensor, texts: Tensor, right: Sequence[int]) -> list[bool]:
    """For image features [N, F] and text features [M, F]: whether the text `right[n]` has the highest cosine.

    Equal cosines count against it, so that a CLIP that tells nothing apart scores nothing.
    """
    if len(images) != len(right):
        raise DatasetError(
            f"{len(images)} results cannot be matched with {len(right)} texts.",
            remedy="Give one text per result.",
        )
    if len(texts) < 2:
        raise DatasetError("R-precision needs at least 2 different texts.", remedy="Give more prompts.")
    cosines = functional.normalize(images, dim=-1) @ functional.normalize(texts, dim=-1).T
    own = torch.tensor(list(right), device=cosines.device)[:, None]
    highest = cosines.gather(1, own)
    rivals = cosines.scatter(1, own, -torch.inf)
    return [bool(found) for found in (highest > rivals.max(dim=1, keepdim=True).values)[:, 0]]


@torch.no_grad()
def shape_feature(clip: ClipEncoder, views: Tensor) -> Tensor:
    """Unit feature [F] of a result: the mean over its views [V, S, S, 3] in [0, 1]."""
    features = clip.encode_image(views.permute(0, 3, 1, 2).to(clip.device))
    return functional.normalize(features.mean(dim=0), dim=-1).cpu()
