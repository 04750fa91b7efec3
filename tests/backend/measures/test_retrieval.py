"""CLIP R-precision: features whose nearest text is known, ties, refusals."""

import pytest
import torch

from backend.errors import DatasetError
from backend.measures.retrieval import r_precision


def test_known_neighbours() -> None:
    texts = torch.eye(3)
    images = torch.tensor([[5.0, 1, 1], [1, 5, 1], [5, 1, 1], [1, 1, 1.01]])
    assert r_precision(images, texts, [0, 1, 2, 2]) == [True, True, False, True]
    assert not any(r_precision(images[:3], texts, [1, 2, 1]))


def test_a_clip_that_tells_nothing_apart_scores_nothing() -> None:
    assert not any(r_precision(torch.ones(3, 4), torch.ones(3, 4), [0, 1, 2]))


def test_refusals() -> None:
    with pytest.raises(DatasetError, match="2 different texts"):
        r_precision(torch.ones(1, 4), torch.ones(1, 4), [0])
    with pytest.raises(DatasetError, match="one text per result"):
        r_precision(torch.ones(2, 4), torch.ones(3, 4), [0])
