"""The losses of the paper's three stages, unweighted; weights live in settings, the reference's in
STAGE1_WEIGHTS.

Stage 1: DVR's losses L_D, summed over rays and divided by the batch size, the background loss and the
mapper's regression. Stage 2: the CLIP loss. Stage 3: prior and white removal.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

WHITE_SUM = 2.8
"""A colour whose channels sum to more than this counts as white (stage 3)."""


@dataclass(frozen=True)
class Stage1Weights:
    """Weights of the reference's stage 1."""

    color: float = 1.0
    depth: float = 10.0
    freespace: float = 1.0
    occupancy: float = 1.0
    normal: float = 0.05
    background: float = 30.0
    regression: float = 2000.0


STAGE1_WEIGHTS = Stage1Weights()


def color_loss(rgb: Tensor, true_rgb: Tensor, mask: Tensor) -> Tensor:
    """L1 of colours [B, P, 3] over rays that hit and should (mask [B, P]), summed over rays, per shape."""
    return ((rgb - true_rgb).abs() * mask[..., None]).sum() / len(rgb)


def depth_loss(depth: Tensor, true_depth: Tensor, mask: Tensor) -> Tensor:
    """L1 of camera-space depths [B, P] over mask [B, P] where the truth is finite, summed, per shape."""
    counted = mask & true_depth.isfinite()
    return (depth[counted] - true_depth[counted]).abs().sum() / len(depth)


def freespace_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Points [B, P] on rays that should miss (mask) must be free: cross entropy to 0, summed, per shape."""
    return (functional.softplus(logits) * mask).sum() / len(logits)


def occupancy_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Points [B, P] on rays that wrongly miss (mask) belong inside: cross entropy to 1, summed, per shape."""
    return (functional.softplus(-logits) * mask).sum() / len(logits)


def normal_loss(normals: Tensor, neighbours: Tensor, batch: int) -> Tensor:
    """Unit normals [K, 3] at hits against those at near neighbours [K, 3]: length of the difference, summed,
    per shape.

    Adding 1e-12 under the root keeps the gradient finite where both agree.
    """
    return ((normals - neighbours).square().sum(-1) + 1e-12).sqrt().sum() / batch


def background_loss(rgb: Tensor, mask: Tensor) -> Tensor:
    """L_bg: colours [..., 3] decoded at misses must be white; the mean counts hits (mask [...]) as 0."""
    return ((1 - rgb).abs() * (~mask.bool())[..., None]).mean()


def regression_loss(proposed: Tensor, codes: Tensor) -> Tensor:
    """Mean |M(f_I) - E_S(I)| over codes [B, C]; nothing of it reaches the SVR model."""
    return (proposed - codes.detach()).abs().mean()


def clip_loss(view_features: Tensor, text_feature: Tensor) -> Tensor:
    """Sum over views [V, F] of 1 - cosine to the text feature [F] or [1, F] (stages 2 and 3)."""
    return (1 - functional.cosine_similarity(view_features, text_feature, dim=-1)).sum()


def prior_loss(logits: Tensor, original_logits: Tensor) -> Tensor:
    """Mean |logit - original decoder's logit| over rendered points (stage 3, shape and texture)."""
    return (logits - original_logits).abs().mean()


def white_removal_loss(original_logits: Tensor, rgb: Tensor) -> Tensor:
    """Mean original logit [...] at points whose colour [..., 3] has turned white; 0 where none has (stage 3).

    Lowering it moves those points out of the original shape, which removes what looks like background. This
    is the mean that the reference means; its code reads four outputs of the first such point only.
    """
    white = (rgb.detach().sum(-1) > WHITE_SUM).to(original_logits.dtype)
    return (original_logits * white).sum() / white.sum().clamp(min=1)
