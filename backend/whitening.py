"""Whitened shape-code space: the principal components of the training codes, each with deviation 1.

Stage 2 moves a code, and a generative mapper draws codes, in this space, where one step means the same in
every direction (our choice; the paper moves mapper weights).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Whitening:
    """code = mean + (white * scale) @ basis."""

    mean: Tensor
    """[C]"""
    basis: Tensor
    """[K, C], orthonormal rows."""
    scale: Tensor
    """[K], standard deviations along the rows, greatest first."""

    @classmethod
    def fit(cls, codes: Tensor, *, components: int) -> "Whitening":
        """The `components` (at most C) strongest principal directions of codes [N, C]."""
        mean = codes.mean(dim=0)
        _, singular, rows = torch.linalg.svd(codes - mean, full_matrices=False)
        kept = min(components, len(singular))
        deviation = singular[:kept] / max(len(codes) - 1, 1) ** 0.5
        return cls(mean, rows[:kept].contiguous(), deviation.clamp_min(1e-6))

    @classmethod
    def identity(cls, size: int) -> "Whitening":
        """The space as it is, for bundles without statistics."""
        return cls(torch.zeros(size), torch.eye(size), torch.ones(size))

    def to_code(self, white: Tensor) -> Tensor:
        """Codes [..., C] of whitened vectors [..., K]."""
        return self.mean + self.offset(white)

    def offset(self, white: Tensor) -> Tensor:
        """Change [..., C] of a code for a whitened change [..., K]."""
        return (white * self.scale) @ self.basis

    def to_white(self, codes: Tensor) -> Tensor:
        """Whitened vectors [..., K] of codes [..., C]; what lies outside the K directions is lost."""
        return (codes - self.mean) @ self.basis.T / self.scale

    def to(self, device: torch.device) -> "Whitening":
        return Whitening(self.mean.to(device), self.basis.to(device), self.scale.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """As named in a bundle's files."""
        return {"code_mean": self.mean, "code_basis": self.basis, "code_scale": self.scale}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "Whitening":
        """KeyError where one of the three is missing."""
        return cls(*(tensors[name].float() for name in ("code_mean", "code_basis", "code_scale")))
