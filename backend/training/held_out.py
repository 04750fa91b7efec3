"""How well a mapper answers for shapes that it was not trained on.

Codes are compared in the mapper's own terms: how far from the SVR model's code, and whether the right shape
is among the nearest. Both need CLIP features and codes only, so they hold for any CLIP and SVR model.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.mapper import Mapper
from backend.training.align import Encoded
from backend.whitening import Whitening

SHARE = 10
"""One shape of so many is held out."""
NEAREST = 5
"""A retrieval counts where the right shape is among so many."""


def split(encoded: Encoded) -> tuple[Encoded, Encoded]:
    """The shapes to train on, and the last tenth."""
    first = len(encoded.codes) - max(1, len(encoded.codes) // SHARE)

    def rows(chosen: slice) -> Encoded:
        return Encoded(encoded.images[chosen], encoded.texts[chosen], encoded.codes[chosen])

    return rows(slice(first)), rows(slice(first, None))


@torch.no_grad()
def mapping_quality(
    mapper: Mapper, encoded: Encoded, whitening: Whitening, *, captioned: bool
) -> dict[str, float]:
    """Figures over N shapes; `captioned` says whether the texts are captions.

    error: mean |M(f) - code| as a share of the error of always answering the mean code, for the first image
    (0 is perfect, 1 knows nothing). top5: share of shapes whose code is among the five nearest to M(f), by
    whitened distance; text_error and text_top5 are the same for the first caption. clip_top5: share of
    captions whose image CLIP itself finds so, which bounds what a mapper can do. chance: 5 / N.
    """
    images, texts = encoded.images[:, 0].float(), encoded.texts[:, 0].float()
    figures = _figures(mapper, images, encoded.codes, whitening)
    if captioned:
        told = _figures(mapper, texts, encoded.codes, whitening)
        figures |= {f"text_{name}": value for name, value in told.items()}
        figures["clip_top5"] = _top(texts @ F.normalize(images, dim=-1).T)
    n = len(images)
    return {name: round(v, 4) for name, v in figures.items()} | {
        "chance": round(min(1.0, NEAREST / n), 4),
        "shapes": n,
    }


def _figures(mapper: Mapper, features: Tensor, codes: Tensor, whitening: Whitening) -> dict[str, float]:
    guess = mapper.propose(features, torch.Generator().manual_seed(0), 0.0)
    known_nothing = (whitening.mean - codes).abs().mean().clamp_min(1e-12)
    distances = torch.cdist(whitening.to_white(guess), whitening.to_white(codes))  # [N, N]
    return {"error": float((guess - codes).abs().mean() / known_nothing), "top5": _top(-distances)}


def _top(similarity: Tensor) -> float:
    """Share of the rows of [N, N] whose diagonal is among the greatest `NEAREST`."""
    nearest = similarity.topk(min(NEAREST, len(similarity)), dim=-1).indices
    own = torch.arange(len(similarity))[:, None]
    return float((nearest == own).any(-1).float().mean())
