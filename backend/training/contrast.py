"""CLIP's contrastive loss between the features of two towers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.training.processes import from_all, texts_from_all


def contrastive_loss(
    features: Tensor, partners: Tensor, names: Sequence[str], scale: Tensor | float
) -> Tensor:
    """Symmetric cross entropy of unit features [B, F] and their unit partners [B, F], against those of all
    processes. Equal names (captions, say) count as the same thing; `scale` multiplies cosines."""
    all_names, all_features, all_partners = texts_from_all(names), from_all(features), from_all(partners)
    numbers = {name: number for number, name in enumerate(all_names)}
    own, others = (torch.tensor([numbers[name] for name in part]) for part in (names, all_names))
    same = (own[:, None] == others).float().to(features.device)
    targets = same / same.sum(1, keepdim=True)
    to_partners, to_features = scale * features @ all_partners.T, scale * partners @ all_features.T
    return (F.cross_entropy(to_partners, targets) + F.cross_entropy(to_features, targets)) / 2
