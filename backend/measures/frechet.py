"""Frechet distance between two sets of features, each taken for a Gaussian: FID of images, FPD of points.

|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017). With few samples the figure comes out too
large, so it is only to be compared between sets of one size; see `least_samples`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import DatasetError


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of N features."""

    mean: NDArray[np.float64]
    """[F]"""
    covariance: NDArray[np.float64]
    """[F, F], positive semidefinite."""
    count: int


def fit_gaussian(features: NDArray[Any]) -> Gaussian:
    """The Gaussian of features [N, F]; DatasetError for fewer than two, or for NaN."""
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise DatasetError(
            f"A Frechet distance needs at least 2 feature vectors, not an array of shape {values.shape}.",
            remedy="Measure more results.",
        )
    if not np.isfinite(values).all():
        raise DatasetError("Features hold NaN or infinity.", remedy="Check the weights they come from.")
    return Gaussian(values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)), len(values))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Frechet distance, at least 0; DatasetError for features of two lengths.

    The trace of (C1 C2)^(1/2) is taken from the eigenvalues of C1^(1/2) C2 C1^(1/2), which are real also
    where a covariance has no full rank.
    """
    if a.mean.shape != b.mean.shape:
        raise DatasetError(
            f"Features of {len(a.mean)} and {len(b.mean)} numbers cannot be compared.",
            remedy="Compute both with the same weights.",
        )
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ b.covariance @ root)
    overlap = float(np.sqrt(np.clip(mixed, 0, None)).sum())
    distance = float(((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance) + np.trace(b.covariance))
    return max(distance - 2 * overlap, 0.0)


def least_samples(features: int) -> int:
    """Samples below which the covariance of so many features has no full rank: the figure is then mostly
    bias, and is not given per category."""
    return features + 1
