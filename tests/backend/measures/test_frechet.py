"""Frechet distance: closed forms of Gaussians, sets without full rank, refusals."""

import numpy as np
import pytest

from backend.errors import DatasetError
from backend.measures.frechet import Gaussian, fit_gaussian, frechet_distance


def _gaussian(mean: list[float], covariance: list[list[float]]) -> Gaussian:
    return Gaussian(np.array(mean, float), np.array(covariance, float), 1000)


def test_two_gaussians_on_a_line() -> None:
    # (m1 - m2)^2 + (s1 - s2)^2
    a, b = _gaussian([1.0], [[4.0]]), _gaussian([4.0], [[25.0]])
    assert frechet_distance(a, b) == pytest.approx(9.0 + 9.0, abs=1e-12)


def test_commuting_covariances() -> None:
    # Diagonal covariances: the sum over the axes of (root of c1 - root of c2)^2.
    a = _gaussian([0, 0, 0], np.diag([1.0, 4.0, 9.0]).tolist())
    b = _gaussian([0, 2, 0], np.diag([4.0, 4.0, 0.0]).tolist())
    assert frechet_distance(a, b) == pytest.approx(4.0 + 1.0 + 0.0 + 9.0, abs=1e-12)


def test_covariances_that_do_not_commute() -> None:
    # For 2 x 2 matrices tr sqrt(X) = sqrt(tr X + 2 sqrt(det X)), here with X = A B.
    a, b = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[3.0, 0.0], [0.0, 1.0]])
    product = a @ b
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    found = frechet_distance(_gaussian([0, 0], a.tolist()), _gaussian([0, 0], b.tolist()))
    assert found == pytest.approx(expected, abs=1e-12)


def test_sets_of_features() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 6))
    same, shifted = fit_gaussian(features), fit_gaussian(features + np.array([3, 0, 0, 0, 0, 4.0]))
    assert frechet_distance(same, same) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(same, shifted) == pytest.approx(25.0, abs=1e-9)
    doubled = fit_gaussian(2 * (features - features.mean(axis=0)) + features.mean(axis=0))
    # Covariances C and 4 C: tr(C + 4 C - 2 * 2 C) = tr C
    assert frechet_distance(same, doubled) == pytest.approx(np.trace(same.covariance), rel=1e-9)
    few, others = fit_gaussian(features[:3]), fit_gaussian(features[3:6])
    assert 0 < frechet_distance(few, others) == pytest.approx(frechet_distance(others, few), rel=1e-6)


def test_features_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(DatasetError, match="at least 2"):
        fit_gaussian(np.zeros((1, 4)))
    with pytest.raises(DatasetError, match="NaN"):
        fit_gaussian(np.full((3, 4), np.nan))
    with pytest.raises(DatasetError, match="4 and 2 numbers"):
        frechet_distance(fit_gaussian(np.eye(4)), fit_gaussian(np.eye(2)))
