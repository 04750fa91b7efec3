"""How well shape codes fit a CLIP feature by themselves, before anything is rendered (our choice).

A drawn code may agree with the text and yet mean no clean shape: parts overlap, or hang beside each other.
Such codes are strange to the SVR model too, which would write another code for the shape that they mean.
"""

from dataclasses import dataclass

from torch import Tensor

from backend.mapper import Mapper
from backend.svr.base import SvrModel


@dataclass(frozen=True)
class CodeFit:
    """Asks the mapper and the SVR model."""

    mapper: Mapper
    svr: SvrModel
    strangeness_weight: float
    """At least 0; the agreement has weight 1."""

    def __call__(self, codes: Tensor, feature: Tensor) -> Tensor:
        """Fit [B] of codes [B, C] to a unit feature [F]: the agreement, -1 to 1, less the weighted
        strangeness; 0 where neither model can tell."""
        agreement = self.mapper.agreement(codes, feature.expand(len(codes), -1))
        if not self.strangeness_weight:
            return agreement
        return agreement - self.strangeness_weight * self.svr.strangeness(codes)
