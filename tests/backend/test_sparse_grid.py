"""The sparse grid against the dense one: same signs everywhere, same samples wherever the surface is."""

import numpy as np
import pytest

from backend.sparse_grid import grid_points, relay, sample_grid


def run(generator):
    fractions = []
    try:
        while True:
            fractions.append(next(generator))
    except StopIteration as stop:
        return stop.value, fractions


def sampler(function, asked):
    def sample(points):
        asked.append(len(points))
        yield 0.5
        return function(points.astype(np.float64)).astype(np.float32)

    return sample


def two_balls(p):
    big = 0.3 - np.linalg.norm(p + 0.1, axis=-1)
    small = 0.05 - np.linalg.norm(p - [0.31, 0.3, 0.29], axis=-1)
    return np.maximum(big, small)


def wavy(p):
    return np.sin(9 * p).sum(axis=-1) - 0.4


@pytest.mark.parametrize("function", [two_balls, wavy])
@pytest.mark.parametrize("resolution", [64, 130])
def test_sparse_grid_agrees_with_the_dense_grid(function, resolution):
    asked, all_asked = [], []
    sparse, fractions = run(sample_grid(sampler(function, asked), resolution, 0.5))
    dense, _ = run(sample_grid(sampler(function, all_asked), sparse.resolution, 0.5, levels=0))
    np.testing.assert_array_equal(sparse.values > 0, dense.values > 0)
    np.testing.assert_array_equal(sparse.surface, dense.surface)
    np.testing.assert_array_equal(sparse.values[sparse.surface], dense.values[dense.surface])
    assert sum(asked) < 0.6 * sum(all_asked)
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1


@pytest.mark.parametrize(("asked_for", "made"), [(16, 16), (33, 33), (64, 64), (65, 66), (129, 132)])
def test_resolution_is_rounded_up_to_what_halving_needs(asked_for, made):
    grid, _ = run(sample_grid(sampler(two_balls, []), asked_for, 0.5))
    assert grid.resolution == made and grid.values.shape == (made + 1,) * 3


def test_grid_points_span_the_cube():
    corners = grid_points(np.array([[0, 0, 0], [8, 4, 2]], np.int32), 8, 0.5)
    np.testing.assert_array_equal(corners, np.array([[-0.5, -0.5, -0.5], [0.5, 0.0, -0.25]], np.float32))


def test_relay_maps_fractions_and_hands_on_the_result():
    def inner():
        yield 0.0
        yield 0.5
        return "done"

    assert run(relay(inner(), 0.2, 0.6)) == ("done", [0.2, 0.4])
